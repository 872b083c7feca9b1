"""Contents pass between Shoal and aria2, which takes loopback peers from a tracker alone."""

import asyncio
import random
import shutil
import signal
import sys
from pathlib import Path

import pytest
from tests.interop.children import Child, free_port
from tests.interop.programs import program
from tests.interop.test_bittorrent_libtorrent import GET, check_same
from tests.swarm.contents import make, write_tree

from shoal.discovery.index import Index
from shoal.discovery.tracker_server import Tracker, TrackerServer
from shoal.disk import Disk
from shoal.net.web import Web
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.sources import TrackerSource

pytestmark = [pytest.mark.interop, pytest.mark.timeout(45)]

LOCAL = "127.0.0.1"
FILES = {"a": 100_000, "b \u00fc": 1_500_000, "sub/c": 5, "d": 70_001}


@pytest.fixture
def source(tmp_path):
    write_tree(tmp_path / "source" / "multi", FILES)
    return tmp_path / "source" / "multi"


def aria2(folder: Path, what: str, seed: int) -> list[str]:
    folder.mkdir(exist_ok=True)
    return [
        program("aria2c"), "--enable-dht=false", "--bt-enable-lpd=false", "--interface=127.0.0.1",
        "--enable-peer-exchange=false", f"--dir={folder}", f"--listen-port={free_port()}",
        f"--seed-time={seed}", "--bt-tracker-interval=1", "--check-integrity=true",
        "--bt-seed-unverified=false", what,
    ]  # fmt: skip


async def announced(tracker: Tracker) -> None:
    """Wait until the first peer is known."""
    async with asyncio.timeout(20):
        while not tracker.index.entries:  # noqa: ASYNC110 (the tracker has no event for it)
            await asyncio.sleep(0.05)


def run(work) -> None:
    """Call `work(disk, tracker, its URL, source of peers)` beside a tracker."""

    async def main():
        disk, web, rng = Disk(), Web(), random.Random(1)
        tracker = Tracker(Index(life=60), rng, interval=1)

        async def fetch(url: str) -> bytes:
            return (await web.get(url))[1]

        async with asyncio.timeout(20), TrackerServer(tracker, host=LOCAL, port=0) as server:
            url = f"http://{LOCAL}:{server.port}/announce"
            await work(disk, tracker, url, lambda each: TrackerSource(each, rng=rng, fetch=fetch))
        await web.aclose()
        await disk.close()

    asyncio.run(main())


KINDS = pytest.mark.parametrize("by", ["torrent", "magnet"])  # of v1: aria2 hashes hybrids wrongly


@KINDS
def test_aria2_fetches_from_us(source, tmp_path, by):
    async def work(disk, tracker, url, maker):
        async with Swarm(disk, random.Random(2), makers=[maker]) as swarm:
            await swarm.listen(LOCAL)
            shared = await swarm.share(str(source), Recipe("v1", 32768, trackers=((url,),)))
            path = tmp_path / "x.torrent"
            path.write_bytes(shared.torrent.encode())
            await announced(tracker)
            what = str(path) if by == "torrent" else str(shared.torrent.magnet())
            await asyncio.to_thread(fetch, what)

    def fetch(what: str) -> None:
        with Child(aria2(tmp_path / "out", what, 0)) as leech:
            assert leech.wait() == 0

    run(work)
    for leftover in (tmp_path / "out").glob("*.aria2"):
        leftover.unlink()
    check_same(source, tmp_path / "out" / "multi")


@KINDS
def test_we_fetch_from_aria2(source, tmp_path, by):
    async def work(disk, tracker, url, maker):
        recipe = Recipe("v1", 32768, trackers=((url,),))
        torrent = await make_torrent(disk, str(source), recipe)
        path = tmp_path / "x.torrent"
        path.write_bytes(torrent.encode())
        shutil.copytree(source, tmp_path / "theirs" / "multi")
        seed = await asyncio.to_thread(Child, aria2(tmp_path / "theirs", str(path), 60))
        with seed:
            await announced(tracker)
            async with Swarm(disk, random.Random(2), makers=[maker]) as swarm:
                what = torrent if by == "torrent" else Magnet.parse(str(torrent.magnet()))
                got = await swarm.download(what, str(tmp_path / "out"))
                await got.done.wait()

    run(work)
    check_same(source, tmp_path / "out" / "multi")


def test_aria2_goes_on_after_it_was_killed(source, tmp_path):
    async def work(disk, tracker, url, maker):
        settings = SwarmSettings(up=800_000)
        async with Swarm(disk, random.Random(2), makers=[maker], settings=settings) as swarm:
            await swarm.listen(LOCAL)
            shared = await swarm.share(str(source), Recipe("v1", 32768, trackers=((url,),)))
            path = tmp_path / "x.torrent"
            path.write_bytes(shared.torrent.encode())
            await announced(tracker)
            command = [*aria2(tmp_path / "out", str(path), 0), "--auto-save-interval=1"]
            first = await asyncio.to_thread(Child, command)
            with first:
                while shared.progress().sent < 700_000:  # noqa: ASYNC110 (it tells no event)
                    await asyncio.sleep(0.02)
                first.signal(signal.SIGKILL)
            second = await asyncio.to_thread(Child, command)
            with second:
                assert await asyncio.to_thread(second.wait) == 0

    run(work)
    for leftover in (tmp_path / "out").glob("*.aria2"):
        leftover.unlink()
    check_same(source, tmp_path / "out" / "multi")


def test_we_go_on_after_we_were_killed(source, tmp_path):
    torrent = make(source, "v1")
    path = tmp_path / "x.torrent"
    path.write_bytes(torrent.encode())
    command = aria2(source.parent, str(path), 60)
    port = next(word.partition("=")[2] for word in command if "listen-port" in word)
    with Child(command, port=int(port)):
        get = [sys.executable, "-c", GET, str(path), str(tmp_path / "out"), port]
        with Child([*get, "600000"], ready=r"pieces [2-9]\d") as first:
            first.signal(signal.SIGKILL)
            first.wait()
        with Child([*get, "0"]) as second:
            assert second.wait() == 0
            received = int(second.log.rsplit("pieces ", 1)[1].split()[1])
    assert received < torrent.layout.size - 10 * 32768
    check_same(source, tmp_path / "out" / "multi")
