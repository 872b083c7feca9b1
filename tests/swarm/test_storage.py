"""What was proven stays, whatever happens to the disk; nothing leaves the folder."""

import asyncio
import os
from random import Random

import pytest
from tests.swarm.contents import MULTI, PIECE, counting, make, write_tree

from shoal.disk import Disk
from shoal.errors import DiskFullError, ProtocolError, StorageError
from shoal.sim.disk import SimDisk
from shoal.sim.loop import SimLoop
from shoal.swarm.pieces import BLOCK, Bitfield
from shoal.swarm.resume import Resume
from shoal.swarm.storage import Storage
from shoal.swarm.survey import runs_of
from shoal.swarm.torrent import Torrent


@pytest.fixture
def multi(tmp_path):
    write_tree(tmp_path / "source" / "multi", MULTI)
    return tmp_path / "source" / "multi"


def line_of(torrent: Torrent) -> bytes:
    """The content as one line of bytes."""
    whole = bytearray(torrent.layout.end)
    for file in torrent.layout.files:
        if not file.pad:
            whole[file.offset : file.end] = counting(file.length)
    return bytes(whole)


def pieces_of(torrent: Torrent, numbers) -> list[tuple[int, memoryview]]:
    line, layout = memoryview(line_of(torrent)), torrent.layout
    return [
        (piece, line[piece * layout.piece_length :][: layout.data_size(piece)])
        for piece in numbers
    ]  # fmt: skip


def run(torrent: Torrent, folder, work, **more):
    """Call `work` with a storage in this folder."""

    async def main():
        disk = Disk()
        try:
            return await work(Storage(disk, torrent, str(folder), **more))
        finally:
            await disk.close()

    return asyncio.run(main())


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_pieces_become_the_files_again(multi, tmp_path, version):
    torrent = make(multi, version)

    async def work(storage):
        await storage.make_empty_files()
        order = list(range(torrent.layout.count))
        await storage.write(pieces_of(torrent, order[::-1]))
        assert list(await storage.load()) == order
        read = await storage.read(0, torrent.layout.end, Bitfield.full(len(order)))
        assert bytes(read) == line_of(torrent)
        await storage.finish(Bitfield.full(len(order)))

    run(torrent, tmp_path / "out", work)
    for name, size in MULTI.items():
        assert (tmp_path / "out" / "multi" / name).read_bytes() == counting(size)
    assert os.listdir(tmp_path / "out") == ["multi"]


def test_a_note_that_was_half_written_at_a_kill_does_not_stay(multi, tmp_path):
    torrent = make(multi, "v1")

    async def work(storage):
        await storage.write(pieces_of(torrent, range(torrent.layout.count)))
        await storage.save(Bitfield(torrent.layout.count))
        await storage.disk.write(f"{storage.notes}/resume.0.new", 0, [b"half"])
        await storage.finish(Bitfield.full(torrent.layout.count))

    run(torrent, tmp_path / "out", work)
    assert os.listdir(tmp_path / "out") == ["multi"]


def test_while_pieces_come_no_note_is_believed_of_a_file_that_is_written(multi, tmp_path):
    torrent = make(multi, "v1")

    async def work(storage):
        await storage.write(pieces_of(torrent, [2]))
        nothing = Bitfield(torrent.layout.count)
        await storage.save(nothing, last=False)  # 2 is on the disk, but nobody was told yet
        again = Storage(storage.disk, torrent, storage.folder)
        assert 2 in await again.load()
        await storage.save(nothing, last=False)  # by now it would be known
        assert 2 not in await again.load()

    run(torrent, tmp_path / "out", work)


def test_all_room_is_taken_before_a_download_if_so_wished(multi):
    torrent = make(multi, "hybrid")

    async def main():
        disk = SimDisk(Random(1), capacity=torrent.layout.size + 100)
        storage, nothing = Storage(disk, torrent, "/out"), Bitfield(torrent.layout.count)
        before = await disk.free("/")
        await storage.reserve(nothing, full=False)
        assert await disk.free("/") == before
        await storage.reserve(nothing, full=True)
        assert await disk.free("/") == before - torrent.layout.size
        assert list(await storage.load()) == [0]  # of one byte, a zero
        await storage.reserve(nothing, full=True)  # once
        order = list(range(torrent.layout.count))
        await storage.write(pieces_of(torrent, order))
        assert list(await storage.load()) == order
        await disk.write("/other", 0, [bytes(101)])

    with pytest.raises(DiskFullError):
        SimLoop(1).run_until_complete(main())


def test_what_cannot_fit_is_refused_and_what_is_not_wanted_needs_no_room(multi):
    torrent = make(multi, "v1")

    async def main():
        disk = SimDisk(Random(1), capacity=30_000)
        storage, nothing = Storage(disk, torrent, "/out"), Bitfield(torrent.layout.count)
        with pytest.raises(DiskFullError, match="room for 30,000 bytes, not for 92,"):
            await storage.reserve(nothing, full=True)
        storage.select([file.name == "multi/sub/g" for file in torrent.layout.files])
        await storage.reserve(nothing, full=True)
        assert await disk.free("/") == 10_000

    SimLoop(1).run_until_complete(main())


def test_a_note_is_believed_while_the_files_are_as_they_were(multi, tmp_path):
    torrent = make(multi, "hybrid")

    async def first(storage):
        await storage.write(pieces_of(torrent, [0, 3]))
        have = Bitfield(torrent.layout.count)
        have.add(0)  # the note knows of one only
        await storage.save(have)

    async def second(storage):
        hashed = []
        storage._check = lambda pieces: hashed.append(pieces)
        return list(await storage.load()), hashed

    run(torrent, tmp_path / "out", first)
    assert run(torrent, tmp_path / "out", second) == ([0], [])


def test_a_changed_file_is_hashed_again(multi, tmp_path):
    torrent = make(multi, "hybrid")
    everything = list(range(torrent.layout.count))

    async def first(storage):
        await storage.write(pieces_of(torrent, everything))
        await storage.save(Bitfield.full(len(everything)))

    async def load(storage):
        return list(await storage.load())

    run(torrent, tmp_path / "out", first)
    assert run(torrent, tmp_path / "out", load) == everything
    path = tmp_path / "out" / "multi" / "f40000"
    with path.open("r+b") as file:
        file.seek(35_000)
        file.write(b"!")
    index = [file.name for file in torrent.layout.files].index("multi/f40000")
    damaged = torrent.layout.pieces_of(index)[-1]
    expected = [piece for piece in everything if piece != damaged]
    assert run(torrent, tmp_path / "out", load) == expected
    path.unlink()
    expected = [piece for piece in everything if piece not in torrent.layout.pieces_of(index)]
    assert run(torrent, tmp_path / "out", load) == expected


def test_a_damaged_note_costs_only_a_check(multi, tmp_path):
    torrent = make(multi, "v1")

    async def work(storage):
        await storage.write(pieces_of(torrent, [0, 1]))
        await storage.disk.make_folder(storage.notes)
        await storage.disk.write(f"{storage.notes}/resume", 0, [b"d7:versioni1ee"])
        return list(await storage.load())

    assert run(torrent, tmp_path / "out", work) == [0, 1]


def test_a_note_of_another_content_is_refused(multi):
    layout = make(multi, "v1").layout
    note = Resume(Bitfield(layout.count), [(1, 2)] * len(layout.files), [True] * len(layout.files))
    assert Resume.decode(note.encode(), layout).files == note.files
    for damaged in (b"", b"de", note.encode()[:-3], b"d5:filesle6:pieces0:7:versioni1e6:wantedlee"):
        with pytest.raises(ProtocolError):
            Resume.decode(damaged, layout)


def test_bytes_of_unwanted_files_are_kept_aside(multi, tmp_path):
    torrent = make(multi, "v1")
    wanted = [file.name == "multi/f16385" for file in torrent.layout.files]
    index = wanted.index(True)

    async def work(storage):
        storage.select(wanted)
        pieces = torrent.layout.pieces_of(index)
        await storage.write(pieces_of(torrent, pieces))
        have = Bitfield(torrent.layout.count)
        for piece in pieces:
            have.add(piece)
        await storage.finish(have)
        for piece, data in pieces_of(torrent, pieces):
            start = piece * PIECE
            assert bytes(await storage.read(start, len(data), have)) == bytes(data)
        return list(await storage.load()) == list(pieces)

    assert run(torrent, tmp_path / "out", work)
    assert os.listdir(tmp_path / "out" / "multi") == ["f16385"]


def test_a_large_piece_is_proven_out_of_the_part_file(multi, tmp_path):
    torrent = make(multi, "hybrid")

    async def work(storage):
        for piece, data in pieces_of(torrent, [2, 4]):
            for begin in range(0, len(data), BLOCK):
                block = bytes(data[begin : begin + BLOCK])
                await storage.spill(piece, begin, block if piece == 2 else bytes(len(block)))
        results = [await storage.settle(piece) for piece in (2, 4)]
        return results, list(await storage.survey(range(torrent.layout.count)))

    assert run(torrent, tmp_path / "out", work) == ([True, False], [2])


def test_nothing_is_written_through_a_symbolic_link(multi, tmp_path):
    torrent = make(multi, "v1")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "multi").symlink_to(outside)

    async def work(storage):
        with pytest.raises(StorageError, match="symbolic link"):
            await storage.write(pieces_of(torrent, [0]))

    run(torrent, tmp_path / "out", work)
    assert os.listdir(outside) == []


def test_what_became_shorter_is_not_served(multi, tmp_path):
    torrent = make(multi, "v1")
    everything = range(torrent.layout.count)

    async def work(storage):
        await storage.write(pieces_of(torrent, everything))
        os.truncate(storage.path(4), 10)
        with pytest.raises(StorageError, match="shorter"):
            await storage.read(0, torrent.layout.end, Bitfield.full(len(everything)))

    run(torrent, tmp_path / "out", work)


def test_neighbours_are_read_in_one_go():
    assert runs_of([0, 1, 2, 5, 7, 8]) == [range(3), range(5, 6), range(7, 9)]
