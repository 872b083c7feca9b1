"""kill -9 at any moment loses no piece that was reported, and corrupts none: real processes."""

import asyncio
import os
import random
import re
import signal
import sys

import pytest
from tests.interop.children import Child
from tests.swarm.contents import counting, write_tree
from tests.swarm.test_service import same

from shoal.disk import Disk
from shoal.swarm.exchange import Exchange
from shoal.swarm.make import Recipe
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.torrent import Torrent

LOCAL = "127.0.0.1"
FILES = {"a": 700_001, "b/\u00fc": 2_500_000, "b/empty": 0, "c": 90_000}
LIVES = 32
UP = 1_000_000.0  # bytes/s of the seed: the content takes longer than most lives
LONGEST = 0.25  # seconds until a life ends
PATH = {"PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
HAVE = re.compile(r"^life (\d+) port (\d+) have(.*)$", re.MULTILINE)


@pytest.fixture
def source(tmp_path):
    write_tree(tmp_path / "source" / "multi", FILES)
    return tmp_path / "source" / "multi"


def line_of(torrent: Torrent, folder) -> bytes:
    """The content as it lies in a folder now; what is missing is zeros."""
    line = bytearray(torrent.layout.end)
    for file in torrent.layout.files:
        path = folder / file.name
        if path.exists() and not file.pad:
            data = path.read_bytes()
            line[file.offset : file.offset + len(data)] = data
    return bytes(line)


class Lives:
    """The lives of one download, and what they reported."""

    def __init__(self, child: Child, torrent: Torrent, source, out) -> None:
        self.child = child
        self.torrent = torrent
        self.reported: dict[int, None] = {}
        self.folder = out
        self.right = line_of(torrent, source)

    def begin(self, life: int) -> int:
        """A new life; its process."""
        self.child.say("live")
        return int(self.child.wait_for(rf"^process {life} is (\d+)\.$")[1])

    def ended(self, life: int) -> None:
        """What was ever reported is there again at once, and right on the disk."""
        self.child.wait_for(rf"^life {life} ended")
        told = [found for found in HAVE.finditer(self.child.log) if int(found[1]) == life]
        if told:
            assert set(self.reported) <= {int(word) for word in told[0][3].split()}
        for found in told:
            self.reported.update(dict.fromkeys(map(int, found[3].split())))
        there, size = line_of(self.torrent, self.folder), self.torrent.layout.piece_length
        for piece in self.reported:
            part = slice(piece * size, piece * size + self.torrent.layout.data_size(piece))
            assert there[part] == self.right[part], f"piece {piece} was lost"


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("version", ["v1", "hybrid"])
def test_a_download_that_is_killed_many_times_keeps_all_it_reported(
    source, tmp_path, version, monkeypatch
):
    bad: list[int] = []
    monkeypatch.setattr(Exchange, "failed", lambda self, piece, *_: bad.append(piece))
    rng = random.Random(5)

    async def main():
        disk = Disk()
        settings = SwarmSettings(up=UP)
        async with (
            Swarm(disk, random.Random(1), settings=settings) as seed,
            Swarm(disk, random.Random(2)) as leech,
        ):
            port = await seed.listen(LOCAL)
            torrent = (await seed.share(str(source), Recipe(version, 32768))).torrent
            path = tmp_path / "x.torrent"
            path.write_bytes(torrent.encode())
            got = await leech.download(torrent, str(tmp_path / "leech"))
            words = [str(path), str(tmp_path / "out"), f"{LOCAL}:{port}"]
            command = [sys.executable, "-m", "tests.swarm.victim", *words]
            with Child(command, environment=PATH) as child:
                lives = Lives(child, torrent, source.parent, tmp_path / "out")
                for life in range(LIVES):
                    process = await asyncio.to_thread(lives.begin, life)
                    await asyncio.sleep(rng.uniform(0, LONGEST))
                    got.found((LOCAL, int(each[2])) for each in HAVE.finditer(child.log))
                    await asyncio.sleep(rng.uniform(0, LONGEST / 5))
                    os.kill(process, signal.SIGKILL)
                    await asyncio.to_thread(lives.ended, life)
                await asyncio.to_thread(lives.begin, LIVES)
                await asyncio.to_thread(child.wait_for, "^complete")
                got.found((LOCAL, int(each[2])) for each in HAVE.finditer(child.log))
                await got.done.wait()
                assert lives.reported
        await disk.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert not bad, "a piece that was served was wrong"
    assert same(source, tmp_path / "leech" / "multi")
    assert same(source, tmp_path / "out" / "multi")
    assert (source / "c").read_bytes() == counting(90_000)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_shoal_get_that_is_killed_goes_on_where_it_was(source, tmp_path):
    rng = random.Random(6)
    environment = {**PATH, "SHOAL_HOME": str(tmp_path / "home"), "SHOAL_PROFILE": "local"}
    kept = 0

    def pieces(child: Child) -> list[int]:
        """What it had, each time that it said so while it downloaded."""
        said = r'"state": ?"(?:downloading|seeding|stopped)".*?"pieces": ?(\d+)'
        return [int(number) for number in re.findall(said, child.log)]

    async def main():
        nonlocal kept
        disk = Disk()
        async with Swarm(disk, random.Random(1), settings=SwarmSettings(up=UP / 2)) as seed:
            port = await seed.listen(LOCAL)
            torrent = (await seed.share(str(source), Recipe("v1", 32768))).torrent
            path = tmp_path / "x.torrent"
            path.write_bytes(torrent.encode())
            command = [sys.executable, "-m", "shoal", "--json", "get", str(path)]
            command += ["-o", str(tmp_path / "out"), "--peer", f"{LOCAL}:{port}"]
            for _ in range(4):
                child = await asyncio.to_thread(
                    Child, command, environment=environment, ready='"pieces": ?[1-9]'
                )
                with child:
                    await asyncio.sleep(rng.uniform(0, 0.5))
                    child.signal(signal.SIGKILL)
                    assert pieces(child)[0] >= kept
                    kept = pieces(child)[-1]
            child = await asyncio.to_thread(Child, command, environment=environment)
            with child:
                assert await asyncio.to_thread(child.wait) == 0
                assert pieces(child)[0] >= kept
        await disk.close()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert kept
    assert same(source, tmp_path / "out" / "multi")
