"""Contents pass between Shoal and libtorrent, both ways, whole and with equal bytes."""

import asyncio
import random
import signal
import sys
from pathlib import Path

import pytest
from tests.interop.children import Child
from tests.interop.programs import venv_python
from tests.swarm.contents import MULTI, make as make_ours, write_tree

from shoal.disk import Disk
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe
from shoal.swarm.progress import Wish
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.torrent import Torrent

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]

LOCAL = "127.0.0.1"
SCRIPT = str(Path(__file__).parent / "bittorrent_libtorrent.py")
FILES = {**MULTI, "\u00fcber \u2603.txt": 70_000, "deep/er/\u65e5\u672c": 5, "large": 3_000_000}


def libtorrent(*arguments: str, ready: str) -> Child:
    return Child([venv_python("libtorrent"), SCRIPT, *arguments], ready=ready)


@pytest.fixture
def source(tmp_path):
    write_tree(tmp_path / "source" / "multi", FILES)
    return tmp_path / "source" / "multi"


def run(main) -> None:
    async def bounded():
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


def check_same(a: Path, b: Path) -> None:
    files = sorted(path.relative_to(a) for path in a.rglob("*") if path.is_file())
    there = sorted(path.relative_to(b) for path in b.rglob("*") if path.is_file())
    assert [each for each in there if ".pad" not in each.parts] == files
    for each in files:
        assert (a / each).read_bytes() == (b / each).read_bytes()


def made_by_libtorrent(source: Path, out: Path, version: str) -> Torrent:
    with libtorrent("make", str(source), str(out), version, "32768", ready="made"):
        return Torrent.decode(out.read_bytes())


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_both_make_the_same_torrent(source, tmp_path, version):
    theirs = made_by_libtorrent(source, tmp_path / "x.torrent", version)
    ours = make_ours(source, version, 32768)
    assert sorted(f.name for f in theirs.layout.files if not f.pad) == sorted(
        f.name for f in ours.layout.files if not f.pad
    )
    if version != "v1":  # libtorrent orders files as it finds them where no tree says otherwise
        assert dict(theirs.layers) == dict(ours.layers)


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("by", ["torrent", "magnet"])
def test_we_fetch_from_libtorrent(source, tmp_path, version, by):
    path = tmp_path / "x.torrent"
    torrent = made_by_libtorrent(source, path, version)
    with libtorrent("run", str(path), str(source.parent), ready=r"port (\d+)") as seed:
        seed.wait_for("complete")
        port = int(seed.match[1])
        what = Magnet.parse(str(torrent.magnet())) if by == "magnet" else torrent

        async def main():
            disk = Disk()
            async with Swarm(disk, random.Random(1)) as swarm:
                got = await swarm.download(what, str(tmp_path / "out"), peers=[(LOCAL, port)])
                await got.done.wait()
            await disk.close()

        run(main)
    check_same(source, tmp_path / "out" / "multi")


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("by", ["torrent", "magnet"])
def test_libtorrent_fetches_from_us(source, tmp_path, version, by):
    async def main():
        disk = Disk()
        async with Swarm(disk, random.Random(1)) as swarm:
            port = await swarm.listen(LOCAL)
            shared = await swarm.share(str(source), Recipe(version, 32768))
            path = tmp_path / "x.torrent"
            path.write_bytes(shared.torrent.encode())
            what = str(shared.torrent.magnet(((LOCAL, port),))) if by == "magnet" else str(path)
            await asyncio.to_thread(fetch, what, f"{LOCAL}:{port}")
        await disk.close()

    def fetch(what: str, peer: str) -> None:
        with libtorrent("run", what, str(tmp_path / "out"), peer, ready=r"port (\d+)") as leech:
            leech.wait_for(r"^complete", 30)

    (tmp_path / "out").mkdir()
    run(main)
    check_same(source, tmp_path / "out" / "multi")


def test_libtorrent_goes_on_after_it_was_killed(source, tmp_path):
    (tmp_path / "out").mkdir()

    async def main():
        disk = Disk()
        async with Swarm(disk, random.Random(1), settings=SwarmSettings(up=1_000_000)) as swarm:
            port = await swarm.listen(LOCAL)
            shared = await swarm.share(str(source), Recipe("hybrid", 32768))
            path = tmp_path / "x.torrent"
            path.write_bytes(shared.torrent.encode())
            await asyncio.to_thread(twice, str(path), f"{LOCAL}:{port}")
        await disk.close()

    def twice(path: str, peer: str) -> None:
        arguments = ("run", path, str(tmp_path / "out"), peer)
        with libtorrent(*arguments, ready="checked 0") as first:
            first.wait_for("port")
            signal.pthread_sigmask(signal.SIG_BLOCK, [])
            try:
                first.wait_for("complete", 1.5)
            except AssertionError:
                first.signal(signal.SIGKILL)
        with libtorrent(*arguments, ready=r"checked \d+") as second:
            second.wait_for(r"^complete", 30)

    run(main)
    check_same(source, tmp_path / "out" / "multi")


GET = """
import asyncio, random, sys
from shoal.disk import Disk
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.torrent import Torrent

async def main(path, folder, port, down):
    torrent = Torrent.decode(open(path, "rb").read())
    async with Swarm(Disk(), random.Random(1), settings=SwarmSettings(down=float(down))) as swarm:
        got = await swarm.download(torrent, folder, peers=[("127.0.0.1", int(port))])
        async for report in got.watch(0.02):
            print("pieces", report.pieces, report.received, flush=True)

asyncio.run(main(*sys.argv[1:]))
print("done", flush=True)
"""


def test_we_go_on_after_we_were_killed(source, tmp_path):
    path = tmp_path / "x.torrent"
    torrent = made_by_libtorrent(source, path, "hybrid")
    with libtorrent("run", str(path), str(source.parent), ready=r"port (\d+)") as seed:
        seed.wait_for("complete")
        command = [sys.executable, "-c", GET, str(path), str(tmp_path / "out"), seed.match[1]]
        with Child([*command, "800000"], ready=r"pieces [3-9]\d") as first:
            first.signal(signal.SIGKILL)
            first.wait()
            kept = int(first.log.rsplit("pieces ", 1)[1].split()[0])
        with Child([*command, "0"]) as second:
            assert second.wait() == 0
            received = int(second.log.rsplit("pieces ", 1)[1].split()[1])
    assert received <= torrent.layout.size - (kept - len(FILES)) * 32768
    check_same(source, tmp_path / "out" / "multi")


def test_we_and_libtorrent_fetch_at_once_and_trade(source, tmp_path):
    path = tmp_path / "x.torrent"
    made_by_libtorrent(source, path, "v1")
    (tmp_path / "theirs").mkdir()

    async def main():
        disk = Disk()
        async with Swarm(disk, random.Random(1)) as a, Swarm(disk, random.Random(2)) as b:
            torrent = Torrent.decode(path.read_bytes())
            port = await a.listen(LOCAL)
            ours = await a.download(torrent, str(tmp_path / "ours"), Wish(seed=True))
            words = ("run", str(path), str(tmp_path / "theirs"), f"{LOCAL}:{port}")
            with libtorrent(*words, ready=r"port (\d+)") as leech:
                where = await b.listen(LOCAL)
                paths = [str(source.parent / file.name) for file in torrent.layout.files]
                b.seed(torrent, "", paths, up=2_000_000)
                ours.found([(LOCAL, where)])
                await ours.done.wait()
                # it may drop who becomes a seed just while it has nothing to ask for: we dial back
                await asyncio.to_thread(leech.wait_for, r"^complete", 20)
        await disk.close()

    run(main)
    check_same(source, tmp_path / "ours" / "multi")
    check_same(source, tmp_path / "theirs" / "multi")
