"""Shoal to Shoal over real sockets: every kind of torrent, links, limits, kills."""

import asyncio
import random
from pathlib import Path

import pytest
from tests.swarm.contents import MULTI, counting, write_tree

from shoal.disk import Disk
from shoal.errors import DiskFullError, UsageError
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe
from shoal.swarm.progress import Wish
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings

LOCAL = "127.0.0.1"


@pytest.fixture
def multi(tmp_path):
    write_tree(tmp_path / "source" / "multi", {**MULTI, "\u00fcber \u2603": 300_000})
    return tmp_path / "source" / "multi"


def swarm(disk: Disk, seed: int, **settings) -> Swarm:
    return Swarm(disk, random.Random(seed), settings=SwarmSettings(**settings))


def run(main) -> None:
    async def bounded():
        async with asyncio.timeout(15):
            await main()

    asyncio.run(bounded())


def same(a: Path, b: Path) -> bool:
    files = sorted(path.relative_to(a) for path in a.rglob("*") if path.is_file())
    there = sorted(path.relative_to(b) for path in b.rglob("*") if path.is_file())
    return files == there and all((a / f).read_bytes() == (b / f).read_bytes() for f in files)


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
@pytest.mark.parametrize("by", ["torrent", "magnet"])
def test_a_folder_passes_from_node_to_node(multi, tmp_path, version, by):
    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(multi), Recipe(version, 32768))
            what = shared.torrent
            if by == "magnet":
                what = Magnet.parse(str(what.magnet(((LOCAL, port),))))
            got = await b.download(what, str(tmp_path / "out"), peers=[(LOCAL, port)])
            await got.done.wait()
        await disk.close()

    run(main)
    assert same(multi, tmp_path / "out" / "multi")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["multi"]


def test_progress_is_told_until_it_is_complete(multi, tmp_path):
    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(multi), Recipe("v1", 32768))
            got = await b.download(shared.torrent, str(tmp_path / "out"))
            watched = [got.progress()]
            assert "0 peers" in watched[0].waiting
            got.found([(LOCAL, port)])
            watched += [report async for report in got.watch(0.01)]
            assert watched[-1].done == watched[-1].total == sum(MULTI.values()) + 300_000
            assert watched[-1].pieces == watched[-1].pieces_total
        await disk.close()

    run(main)


def test_only_the_chosen_files_are_fetched(multi, tmp_path):
    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(multi), Recipe("v1", 32768))
            got = await b.download(
                shared.torrent, str(tmp_path / "out"), Wish(select=["g", "f4*"]),
                peers=[(LOCAL, port)],
            )  # fmt: skip
            await got.done.wait()
        await disk.close()

    run(main)
    out = tmp_path / "out" / "multi"
    assert (out / "sub" / "g").read_bytes() == counting(20_000)
    assert (out / "f40000").read_bytes() == counting(40_000)
    assert sorted(path.name for path in out.iterdir()) == ["f40000", "sub"]


def test_a_download_goes_on_where_it_was_stopped(multi, tmp_path):
    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a:
            port = await a.listen(LOCAL)
            shared = await a.share(str(multi), Recipe("hybrid", 32768))
            async with swarm(disk, 2, down=300_000) as b:
                half = await b.download(
                    shared.torrent, str(tmp_path / "out"), peers=[(LOCAL, port)]
                )
                async for report in half.watch(0.01):
                    if report.pieces >= 3:
                        break
            kept = half.progress().pieces
            async with swarm(disk, 3) as c:
                rest = await c.download(
                    shared.torrent, str(tmp_path / "out"), peers=[(LOCAL, port)]
                )
                await rest.done.wait()
                fetched = rest.progress().received
        await disk.close()
        assert 0 < kept < shared.torrent.layout.count
        assert fetched < shared.torrent.layout.size

    run(main)
    assert same(multi, tmp_path / "out" / "multi")


@pytest.mark.slow
def test_a_full_disk_is_told_and_survived(multi, tmp_path):
    class Full(Disk):
        full = True

        async def write(self, path, offset, chunks):
            if self.full and "out" in path and chunks:
                raise DiskFullError(f"cannot write {path}: no space left")
            await super().write(path, offset, chunks)

    async def main():
        disk = Full()
        async with swarm(disk, 1) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(multi), Recipe("v1", 32768))
            got = await b.download(shared.torrent, str(tmp_path / "out"), peers=[(LOCAL, port)])
            async for report in got.watch(0.01):
                if "no space" in report.waiting:
                    break
            assert got.progress().pieces == 0
            disk.full = False
            await got.done.wait()
            assert got.progress().problem == ""
        await disk.close()

    run(main)
    assert same(multi, tmp_path / "out" / "multi")


@pytest.mark.slow
def test_what_cannot_fit_is_told_before_the_download(multi, tmp_path):
    class Small(Disk):
        room = 100_000

        async def free(self, path):
            return self.room

    async def main():
        disk = Small()
        async with swarm(disk, 1) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(multi), Recipe("v1", 32768))
            got = await b.download(shared.torrent, str(tmp_path / "out"), peers=[(LOCAL, port)])
            async for report in got.watch(0.01):
                if "room for 100,000 bytes" in report.waiting:
                    break
            assert got.exchange is None
            disk.room = 10_000_000
            await got.done.wait()
        await disk.close()

    run(main)
    assert same(multi, tmp_path / "out" / "multi")


def test_pieces_larger_than_the_memory_go_through_the_part_file(tmp_path):
    write_tree(tmp_path, {"big": 9_000_000})

    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a, swarm(disk, 2, piece_memory=1 << 20) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(tmp_path / "big"), Recipe("hybrid", 4 << 20))
            out = str(tmp_path / "out")
            got = await b.download(shared.torrent, out, peers=[(LOCAL, port)])
            await got.done.wait()
        await disk.close()

    run(main)
    assert (tmp_path / "out" / "big").read_bytes() == counting(9_000_000)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["big"]


@pytest.mark.slow
def test_three_who_fetch_at_once_also_serve_each_other(tmp_path):
    write_tree(tmp_path, {"file": 4_000_000})

    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a, swarm(disk, 2) as b, swarm(disk, 3) as c:
            swarms = [a, b, c]
            ports = [await each.listen(LOCAL) for each in swarms]
            shared = await a.share(str(tmp_path / "file"), Recipe("v1", 32768), up=1_500_000)
            leeches = [
                await each.download(
                    shared.torrent, str(tmp_path / f"out{number}"), Wish(seed=True),
                    peers=[(LOCAL, port) for port in ports if port != each.port],
                )
                for number, each in enumerate(swarms[1:])
            ]  # fmt: skip
            for leech in leeches:
                await leech.done.wait()
            assert sum(leech.progress().sent for leech in leeches) > 500_000
            assert shared.progress().sent < 7_900_000
        await disk.close()

    run(main)
    for number in range(2):
        assert (tmp_path / f"out{number}" / "file").read_bytes() == counting(4_000_000)


def test_connections_are_bounded(tmp_path):
    write_tree(tmp_path, {"file": 100_000})

    async def main():
        disk = Disk()
        async with swarm(disk, 1, connections=5) as a:
            port = await a.listen(LOCAL)
            await a.share(str(tmp_path / "file"), Recipe("v1"))
            streams = [await asyncio.open_connection(LOCAL, port) for _ in range(20)]
            await asyncio.sleep(0.2)
            assert len(a._wires) <= 5
            for _, writer in streams:
                writer.close()
        await disk.close()

    run(main)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\0"])
def test_a_link_that_names_a_host_which_cannot_be_harms_no_other_transfer(tmp_path, host):
    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a:
            other = await a.download(Magnet.parse("ab" * 20), str(tmp_path / "other"))
            peers = [(host, 80), (LOCAL, 70_000)]
            bad = await a.download(Magnet.parse("cd" * 20), str(tmp_path / "bad"), peers=peers)
            await asyncio.sleep(0.3)
            assert not other.ended.is_set()
            assert not bad.ended.is_set()
        await disk.close()

    run(main)


def test_a_source_that_is_broken_ends_its_transfer_alone(tmp_path, caplog):
    class Broken:
        waiting = ""

        async def run(self):
            raise ValueError("broken")

        async def stop(self):
            pass

    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a:
            other = await a.download(Magnet.parse("ab" * 20), str(tmp_path / "other"))
            a.makers.append(lambda transfer: Broken())
            bad = await a.download(Magnet.parse("cd" * 20), str(tmp_path / "bad"))
            await bad.ended.wait()
            assert "mistake" in str(bad.failure)
            assert not other.ended.is_set()
        await disk.close()

    run(main)
    assert "broken" in caplog.text


def test_closing_twice_is_safe_and_nothing_is_started_afterwards(tmp_path):
    write_tree(tmp_path, {"file": 1000})

    async def main():
        disk = Disk()
        async with swarm(disk, 1) as a:
            await a.share(str(tmp_path / "file"), Recipe("v1"))
            with pytest.raises(UsageError, match="already"):
                await a.share(str(tmp_path / "file"), Recipe("v1"))
        await a.aclose()
        with pytest.raises(UsageError):
            await a.share(str(tmp_path / "file"), Recipe("v2"))
        await disk.close()

    run(main)


@pytest.mark.slow
def test_peers_that_come_are_counted_while_they_stay():
    async def main():
        async with swarm(Disk(), 1, connections=3) as a:
            port = await a.listen(LOCAL)
            for _ in range(2):
                pipes = [await asyncio.open_connection(LOCAL, port) for _ in range(8)]
                ends = [asyncio.ensure_future(reader.read()) for reader, _ in pipes]
                refused, stay = await asyncio.wait(ends, timeout=0.2)
                assert (len(refused), len(stay), len(a._wires)) == (5, 3, 3)
                for _, writer in pipes:
                    writer.close()
                while a._wires:  # noqa: ASYNC110 their end has no event
                    await asyncio.sleep(0.01)

    run(main)
