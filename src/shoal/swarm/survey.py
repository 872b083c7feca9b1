"""Pieces that lie in files are hashed, as fast as the processors go.

A few workers each take some pieces, and read and hash them part by part in one
visit to a thread: going to and fro between the loop and a thread would cost as
much time as hashing.  The parts are so short that they stay in the processor's
cache from the reading to the hashing.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shoal.disk import Disk
from shoal.errors import MissingError, StorageError
from shoal.swarm.hashing import Digests, Hasher, piece_height
from shoal.swarm.layout import Layout

PART = 1 << 20  # bytes read and hashed at a time: they stay in the cache
VISIT = 8 << 20  # bytes in one visit to a thread, about 10 ms of work
WORKERS = max(2, os.cpu_count() or 2)

Progress = Callable[[int], None]  # pieces done


@dataclass(slots=True, frozen=True)
class Line:
    """The line of bytes of a content, as it lies in files."""

    disk: Disk
    layout: Layout
    place: Callable[[int], tuple[str, int]]  # of a file: its path, what to add to offsets
    whole: bool = True  # a file that is too short is an error; otherwise the rest is zeros

    def read(self, start: int, view: memoryview) -> None:
        """Fill the view with the bytes from `start`, in this thread; gaps and pads are zeros."""
        at = start
        for span in self.layout.spans_at(start, len(view)):
            file = self.layout.files[span.file]
            begin = file.offset + span.offset
            view[at - start : begin - start] = bytes(begin - at)
            at = begin + span.length
            part = view[begin - start : at - start]
            got = 0 if file.pad else self._read_file(span.file, span.offset, part)
            part[got:] = bytes(len(part) - got)
        view[at - start :] = bytes(start + len(view) - at)

    def _read_file(self, index: int, offset: int, part: memoryview) -> int:
        path, base = self.place(index)
        try:
            got = self.disk.read_now(path, base + offset, part)
        except MissingError:
            if self.whole:
                raise
            return 0
        if self.whole and got < len(part):
            raise StorageError(f"{path} became shorter while it was read")
        return got


async def hash_pieces(
    line: Line, pieces: Sequence[int], *, v1: bool, v2: bool, progress: Progress | None = None
) -> list[Digests]:
    """The digests of these pieces, in their order."""
    found: list[Digests] = [(b"", b"")] * len(pieces)
    group = max(1, VISIT // line.layout.piece_length)
    starts = iter(range(0, len(pieces), group))
    done = 0

    async def work() -> None:
        nonlocal done
        buffer = memoryview(bytearray(min(PART, len(pieces) * line.layout.piece_length)))
        for start in starts:
            some = pieces[start : start + group]
            found[start : start + group] = await line.disk.run(visit, line, some, buffer, v1, v2)
            done += len(some)
            if progress is not None:
                progress(done)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(WORKERS):
            tasks.create_task(work())
    return found


def visit(
    line: Line, pieces: Sequence[int], buffer: memoryview, v1: bool, v2: bool
) -> list[Digests]:
    """Read and hash some pieces, in a thread."""
    length = line.layout.piece_length
    at_once = max(1, len(buffer) // length)
    found: list[Digests] = []
    for run in runs_of(pieces):
        for first in range(run.start, run.stop, at_once):
            few = range(first, min(first + at_once, run.stop))
            found += _hash_few(line, few, buffer, v1, v2)
    return found


def _hash_few(line: Line, few: range, buffer: memoryview, v1: bool, v2: bool) -> list[Digests]:
    """Neighbours that fit into the buffer together, or one piece in parts."""
    layout = line.layout
    held = range(0)  # the bytes of the line that are in the buffer
    found: list[Digests] = []
    end = few[-1] * layout.piece_length + layout.data_size(few[-1])
    for piece in few:
        hasher = Hasher(v1=v1, v2=v2)
        at = piece * layout.piece_length
        stop = at + layout.data_size(piece)
        while at < stop:
            if at not in held:
                held = range(at, min(at + len(buffer), end))
                line.read(at, buffer[: len(held)])
            part = buffer[at - held.start : min(stop, held.stop) - held.start]
            hasher.update(part)
            at += len(part)
        pad = layout.piece_size(piece) - layout.data_size(piece)
        found.append(hasher.digests(pad, piece_height(layout, piece) if v2 else 0))
    return found


def runs_of(pieces: Sequence[int]) -> list[range]:
    """Sorted piece numbers as runs of neighbours."""
    runs: list[range] = []
    for piece in pieces:
        if runs and runs[-1].stop == piece:
            runs[-1] = range(runs[-1].start, piece + 1)
        else:
            runs.append(range(piece, piece + 1))
    return runs
