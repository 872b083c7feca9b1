"""Contents pass between Shoal and Transmission, which never dials on loopback: we do."""

import asyncio
import random
import signal
import sys

import pytest
from tests.interop.children import Child
from tests.interop.test_bittorrent_libtorrent import FILES as ALL, GET, check_same
from tests.interop.transmission import LOCAL, Transmission
from tests.swarm.contents import make, write_tree

from shoal.disk import Disk
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

FILES = {name: size for name, size in ALL.items() if size}  # it makes no empty files
KINDS = pytest.mark.parametrize("by", ["torrent", "magnet"])  # of v1: 3.00 reads no hybrid


@pytest.fixture
def source(tmp_path):
    write_tree(tmp_path / "source" / "multi", FILES)
    return tmp_path / "source" / "multi"


def run(work, **settings) -> None:
    """Call `work(swarm)`."""

    async def main():
        disk = Disk()
        chosen = SwarmSettings(**settings)
        async with asyncio.timeout(100), Swarm(disk, random.Random(1), settings=chosen) as swarm:
            await work(swarm)
        await disk.close()

    asyncio.run(main())


async def serve(swarm: Swarm, transfer, leech: Transmission, share: float) -> float:
    """Dial the leech until it has its share: it closes on a seed before it has the metadata."""
    waiting = asyncio.create_task(asyncio.to_thread(leech.until, share))
    while not waiting.done():
        if not transfer.session.peers:
            swarm.dial(transfer, (LOCAL, leech.port))
        await asyncio.wait([waiting], timeout=0.5)
    return await waiting


@KINDS
def test_transmission_fetches_from_us(source, tmp_path, by):
    async def work(swarm):
        shared = await swarm.share(str(source), Recipe("v1", 32768))
        path = tmp_path / "x.torrent"
        path.write_bytes(shared.torrent.encode())
        with Transmission(tmp_path / "home") as leech:
            what = str(path) if by == "torrent" else str(shared.torrent.magnet())
            leech.add(what, tmp_path / "out")
            await serve(swarm, shared, leech, 1)

    run(work)
    check_same(source, tmp_path / "out" / "multi")


@KINDS
def test_we_fetch_from_transmission(source, tmp_path, by):
    torrent = make(source, "v1")
    path = tmp_path / "x.torrent"
    path.write_bytes(torrent.encode())

    async def work(swarm):
        with Transmission(tmp_path / "home") as seed:
            seed.add(str(path), source.parent)
            await asyncio.to_thread(seed.until, 1)
            what = torrent if by == "torrent" else Magnet.parse(str(torrent.magnet()))
            got = await swarm.download(what, str(tmp_path / "out"), peers=[(LOCAL, seed.port)])
            await got.done.wait()

    run(work)
    check_same(source, tmp_path / "out" / "multi")


def test_transmission_goes_on_after_it_was_killed(source, tmp_path):
    async def work(swarm):
        shared = await swarm.share(str(source), Recipe("v1", 32768))
        path = tmp_path / "x.torrent"
        path.write_bytes(shared.torrent.encode())
        with Transmission(tmp_path / "home") as leech:
            leech.add(str(path), tmp_path / "out")
            await serve(swarm, shared, leech, 0.2)
            leech.signal(signal.SIGKILL)
            leech.wait()
        with Transmission(tmp_path / "home") as leech:
            leech.add(str(path), tmp_path / "out")  # if it has forgotten
            await serve(swarm, shared, leech, 1)

    run(work, up=1_000_000)
    check_same(source, tmp_path / "out" / "multi")


def test_we_go_on_after_we_were_killed(source, tmp_path):
    torrent = make(source, "v1")
    path = tmp_path / "x.torrent"
    path.write_bytes(torrent.encode())
    with Transmission(tmp_path / "home") as seed:
        seed.add(str(path), source.parent)
        seed.until(1)
        command = [sys.executable, "-c", GET, str(path), str(tmp_path / "out"), str(seed.port)]
        with Child([*command, "800000"], ready=r"pieces [3-9]\d") as first:
            first.signal(signal.SIGKILL)
            first.wait()
        with Child([*command, "0"]) as second:
            assert second.wait() == 0
            received = int(second.log.rsplit("pieces ", 1)[1].split()[1])
    assert received < torrent.layout.size - 20 * 32768
    check_same(source, tmp_path / "out" / "multi")
