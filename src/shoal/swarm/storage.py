"""Pieces on one side, files on a Disk on the other.

Only proven pieces are written, whole and in as few calls as their files allow.
Bytes of files that nobody wants, which share a piece with wanted ones, lie in
`edges`; pieces too large for memory wait block by block in `parts`.  Both are
in a hidden folder beside the content, with the note for resuming, and that
folder goes when everything is here.  Symbolic links are never followed.
"""

import os
from collections.abc import Callable, Iterable, Sequence

from shoal.disk import Disk
from shoal.errors import DiskFullError, MissingError, ProtocolError, StorageError
from shoal.swarm.hashing import Hasher, piece_height, proves
from shoal.swarm.layout import File, Layout
from shoal.swarm.pieces import Bitfield
from shoal.swarm.resume import CHANGING, Resume, Seen
from shoal.swarm.survey import Line, hash_pieces
from shoal.swarm.torrent import Torrent

COPY = 4 << 20  # bytes moved at a time out of the part file
Progress = Callable[[int, int], None]


class Storage:
    """The files of one torrent in one folder."""

    def __init__(
        self, disk: Disk, torrent: Torrent, folder: str, *, paths: Sequence[str] | None = None
    ) -> None:
        self.disk = disk
        self.torrent = torrent
        self.layout: Layout = torrent.layout
        self.folder = folder
        self.wanted = [not file.pad for file in self.layout.files]
        key = torrent.hashes[0].hex()[:16]
        self.notes = f"{folder}/.{key}.shoal"
        self._paths = list(paths) if paths is not None else [
            "/".join((folder, *file.path)) for file in self.layout.files
        ]  # fmt: skip
        self._read_only = paths is not None
        self._ready: dict[int, None] = {}  # files that were checked and made
        self._written: dict[str, int] = {}  # file -> its last write since it was synced
        self._writes = 0
        self._slots: dict[int, int] = {}  # piece -> its place in the part file
        self._noted = False

    def path(self, index: int) -> str:
        return self._paths[index]

    def select(self, wanted: Sequence[bool]) -> None:
        """Which files are wanted; the bytes of others are kept aside."""
        pads = [file.pad for file in self.layout.files]
        self.wanted = [each and not pad for each, pad in zip(wanted, pads, strict=True)]

    def _place(self, index: int) -> tuple[str, int]:
        """Where a file's bytes are: its path, and what to add to offsets."""
        if self.wanted[index]:
            return self._paths[index], 0
        return f"{self.notes}/edges", self.layout.files[index].offset

    # Writing

    async def write(self, pieces: Sequence[tuple[int, memoryview]]) -> None:
        """Keep proven pieces."""
        ordered = sorted(pieces, key=lambda each: each[0])
        await self._write_parts([(piece, 0, data) for piece, data in ordered])

    async def _write_parts(self, parts: Sequence[tuple[int, int, memoryview]]) -> None:
        runs: list[tuple[int, int, list[memoryview]]] = []  # file, offset, chunks
        for piece, begin, data in parts:
            at = 0
            for span in self.layout.spans(piece, begin, len(data)):
                part = data[at : at + span.length]
                at += span.length
                if self.layout.files[span.file].pad:
                    continue
                last = runs[-1] if runs else None
                if (
                    last
                    and last[0] == span.file
                    and last[1] + sum(map(len, last[2])) == span.offset
                ):
                    last[2].append(part)
                else:
                    runs.append((span.file, span.offset, [part]))
        for index, offset, chunks in runs:
            await self._write_run(index, offset, chunks)

    async def _write_run(self, index: int, offset: int, chunks: list[memoryview]) -> None:
        await self._prepare(index)
        path, base = self._place(index)
        self._touched(path)
        await self.disk.write(path, base + offset, chunks)
        self._touched(path)

    def _touched(self, path: str) -> None:
        self._writes += 1
        self._written[path] = self._writes

    async def _prepare(self, index: int) -> None:
        """Make the folders of a file, once, and refuse links on the way."""
        if index in self._ready:
            return
        if not self.wanted[index]:
            await self._make_notes()
        else:
            path = self._paths[index]
            await self.disk.run(refuse_links, self.folder, path)
            await self.disk.make_folder(os.path.dirname(path) or ".")
        self._ready[index] = None

    async def make_empty_files(self) -> None:
        """Files without bytes have no piece that would make them."""
        for index, file in enumerate(self.layout.files):
            if not file.length and self.wanted[index] and "l" not in file.attributes:
                await self._prepare(index)
                await self.disk.write(self._paths[index], 0, [])

    async def reserve(self, have: Bitfield, *, full: bool) -> None:
        """DiskFullError if the wanted files cannot fit; `full` takes their room now."""
        if self._read_only or have.complete:
            return
        lacking: dict[int, int] = {}  # a file of full size has its room, or was promised it
        for index, ((size, _), file) in enumerate(
            zip(await self.look(), self.layout.files, strict=True)
        ):
            if self.wanted[index] and size < file.length:
                lacking[index] = file.length - max(size, 0)
        needed, free = sum(lacking.values()), await self.disk.free(self.folder)
        if needed > free:
            raise DiskFullError(f"{self.folder} has room for {free:,} bytes, not for {needed:,}")
        for index in lacking if full else ():
            await self._prepare(index)
            await self.disk.allocate(self._paths[index], self.layout.files[index].length)

    # Reading

    async def read(
        self, start: int, length: int, have: Bitfield | None = None,
        *, into: memoryview | None = None,
    ) -> memoryview:  # fmt: skip
        """Bytes of the line; pads and gaps are zeros.

        What is missing is zero, too, unless it belongs to a piece that we `have`: StorageError.
        """
        length = min(length, self.layout.end - start)
        buffer = memoryview(bytearray(length)) if into is None else into[:length]
        for span in self.layout.spans_at(start, length):
            file = self.layout.files[span.file]
            if file.pad:
                continue
            at = file.offset + span.offset - start
            path, base = self._place(span.file)
            view = buffer[at : at + span.length]
            try:
                got = await self.disk.read_into(path, base + span.offset, view)
            except MissingError:
                got = 0  # not fetched yet, if nobody says otherwise
            if got < len(view) and have is not None:
                self._refuse_holes(have, start + at + got, len(view) - got, path)
        return buffer

    def _refuse_holes(self, have: Bitfield, start: int, length: int, path: str) -> None:
        first, last = (
            start // self.layout.piece_length,
            (start + length - 1) // self.layout.piece_length,
        )
        if any(piece in have for piece in range(first, last + 1)):
            raise StorageError(f"{path} became shorter than it was")

    async def survey(self, pieces: Iterable[int], progress: Progress | None = None) -> Bitfield:
        """Hash what is on the disk: the pieces of these that are right."""
        found = Bitfield(self.layout.count)
        sizes = [seen[0] for seen in await self.look()]
        todo = [piece for piece in pieces if self._present(piece, sizes)]

        def show(done: int) -> None:
            if progress is not None:
                progress(done, len(todo))

        line = Line(self.disk, self.layout, self._place, whole=False)
        v1, v2 = self.torrent.has_v1, self.torrent.checks_v2
        hashed = await hash_pieces(line, todo, v1=v1, v2=v2, progress=show)
        for piece, digests in zip(todo, hashed, strict=True):
            if proves(self.torrent, piece, digests):
                found.add(piece)
        return found

    def _present(self, piece: int, sizes: list[int]) -> bool:
        """Whether the files are long enough to hold the piece at all."""
        return all(
            self.layout.files[span.file].pad
            or not self.wanted[span.file]
            or sizes[span.file] >= span.offset + span.length
            for span in self.layout.spans(piece, 0, self.layout.data_size(piece))
        )

    async def look(self) -> list[Seen]:
        """Size and time of change of every file."""
        files = self.layout.files
        return await look(self.disk, files, [self._place(index)[0] for index in range(len(files))])

    # Large pieces

    async def spill(self, piece: int, begin: int, data: bytes) -> None:
        """Put a block of a large piece into the part file, where nobody is served from."""
        slot = self._slots.get(piece)
        if slot is None:
            taken = set(self._slots.values())
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            self._slots[piece] = slot
            await self._make_notes()
        at = slot * self.layout.piece_length + begin
        await self.disk.write(f"{self.notes}/parts", at, [data])

    async def settle(self, piece: int) -> bool:
        """Prove a spilled piece and move it to its files; False if it is wrong."""
        size = self.layout.data_size(piece)
        v1, v2 = self.torrent.has_v1, self.torrent.checks_v2
        hasher = Hasher(v1=v1, v2=v2)
        base = self._slots[piece] * self.layout.piece_length
        for at in range(0, size, COPY):
            part = await self.disk.read(f"{self.notes}/parts", base + at, min(COPY, size - at))
            await self.disk.run(hasher.update, memoryview(part))
        pad = self.layout.piece_size(piece) - size
        digests = hasher.digests(pad, piece_height(self.layout, piece) if v2 else 0)
        if not proves(self.torrent, piece, digests):
            del self._slots[piece]
            return False
        for at in range(0, size, COPY):
            part = await self.disk.read(f"{self.notes}/parts", base + at, min(COPY, size - at))
            await self._write_parts([(piece, at, memoryview(part))])
        del self._slots[piece]
        return True

    # Resuming

    async def load(self, progress: Progress | None = None) -> Bitfield:
        """The pieces that are here and right, as far as possible without hashing."""
        everything = range(self.layout.count)
        try:
            data = await self.disk.read(f"{self.notes}/resume")
            note = Resume.decode(data, self.layout)
        except (StorageError, ProtocolError):
            return await self.survey(everything, progress)
        self._noted = True
        have, doubted = note.split(self.layout, await self.look(), self.wanted)
        for piece in await self.survey(doubted, progress):
            have.add(piece)
        return have

    async def save(self, have: Bitfield, *, last: bool = True) -> None:
        """Sync what was written, then note it; `last`: no piece is reported from now on.

        While pieces come, a file that is written now has to be hashed again after a kill: its
        time of change does not tell what the note knows from what came a millisecond later.
        """
        snapshot = Bitfield(have.size, bytearray(have.bits))
        fresh = dict(self._written)
        await self._sync()
        await self._make_notes()
        seen = await self.look()
        for index in () if last else range(len(seen)):
            path = self._place(index)[0]
            if path in fresh or path in self._written:
                seen[index] = (seen[index][0], CHANGING)
        note = Resume(snapshot, seen, list(self.wanted))
        await self.disk.replace(f"{self.notes}/resume", note.encode())
        self._noted = True

    async def _make_notes(self) -> None:
        await self.disk.run(refuse_links, self.folder, self.notes)
        await self.disk.make_folder(self.notes)

    async def _sync(self) -> None:
        """Contents, then the names of the files; what fails or changes stays to be synced."""
        written = list(self._written.items())
        for path, _ in written:
            await self.disk.sync(path)
        for folder in dict.fromkeys(os.path.dirname(path) or "." for path, _ in written):
            await self.disk.sync(folder)
        for path, number in written:
            if self._written.get(path) == number:
                del self._written[path]

    async def finish(self, have: Bitfield) -> None:
        """Everything that is wanted is here: sync it; the notes go when nothing is left out."""
        if self._read_only:
            return
        if not have.complete:
            await self.save(have)
            return
        await self._sync()
        if await self.disk.run(os.path.islink, self.notes):
            return  # somebody else's
        if await self.disk.stat(self.notes):
            for name in await self.disk.list(self.notes):  # also what a kill left half written
                await self.disk.remove(f"{self.notes}/{name}")
            await self.disk.remove(self.notes)


def refuse_links(folder: str, path: str) -> None:
    """StorageError if anything from the folder down to the path is a symbolic link."""
    inside = os.path.relpath(path, folder)
    at = folder
    for part in inside.split(os.sep):
        at = os.path.join(at, part)
        if os.path.islink(at):
            raise StorageError(f"{at} is a symbolic link: nothing is written through it")


async def look(disk: Disk, files: Sequence[File], paths: Sequence[str]) -> list[Seen]:
    """Size and time of change of each file, at its path; pads and what is no file look alike."""
    seen: list[Seen] = []
    for file, path in zip(files, paths, strict=True):
        stat = None if file.pad else await disk.stat(path)
        seen.append((stat.size, stat.mtime_ns) if stat and not stat.is_folder else (-1, 0))
    return seen
