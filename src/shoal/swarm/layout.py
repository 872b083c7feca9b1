"""Where each byte of a content lives: pieces on one side, files on the other.

All files lie behind each other on one line of bytes, cut into pieces of equal
length.  In v1 a piece may cross from file to file; in v2 each file begins with
a new piece, so the line has gaps; in a hybrid those gaps are pad files, which
v1 hashes as zeros.  Pads never lie on a disk and are never asked for.

BEP 3 (pieces), BEP 47 (pad files), BEP 52 (alignment).
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shoal.swarm.paths import Parts


@dataclass(slots=True, frozen=True)
class File:
    """One file of a content; `path` is clean and relative to the folder of the download."""

    path: Parts
    length: int
    offset: int = 0  # of its first byte on the line
    root: bytes | None = None  # v2: root of its hash tree; None when empty
    pad: bool = False
    attributes: str = ""  # BEP 47: x executable, h hidden, l symlink (never followed)

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def name(self) -> str:
        return "/".join(self.path)


@dataclass(slots=True, frozen=True)
class Span:
    """A run of bytes in one file."""

    file: int  # index into Layout.files
    offset: int  # inside the file
    length: int


class Layout:
    """Pieces and the runs of file bytes that they are made of."""

    def __init__(self, files: Sequence[File], piece_length: int, *, aligned: bool) -> None:
        self.files = tuple(files)
        self.piece_length = piece_length
        self.aligned = aligned  # v2: a piece ends with its file
        self.end = max((file.end for file in files), default=0)
        self.count = -(-self.end // piece_length)
        self._filled = [index for index, file in enumerate(files) if file.length]
        self._starts = [files[index].offset for index in self._filled]
        self.size = sum(file.length for file in files if not file.pad)

    def piece_size(self, piece: int) -> int:
        """Bytes that the v1 hash covers, pads included."""
        start = piece * self.piece_length
        end = min(start + self.piece_length, self.end)
        return (min(end, self._file_at(start).end) if self.aligned else end) - start

    def data_size(self, piece: int) -> int:
        """Bytes that travel: without a pad at the end."""
        start = piece * self.piece_length
        end = start + self.piece_size(piece)
        at = bisect_right(self._starts, end - 1) - 1
        while at >= 0 and self.files[self._filled[at]].pad and end > start:
            end = min(end, self.files[self._filled[at]].offset)
            at -= 1
        return max(end, start) - start

    def spans(self, piece: int, begin: int, length: int) -> Iterator[Span]:
        """The file bytes under a part of a piece, pads included, in order."""
        return self.spans_at(piece * self.piece_length + begin, length)

    def spans_at(self, at: int, length: int) -> Iterator[Span]:
        """The file bytes under a part of the line; gaps (v2) are passed over."""
        end = at + length
        number = max(bisect_right(self._starts, at) - 1, 0)
        while at < end and number < len(self._filled):
            index = self._filled[number]
            file = self.files[index]
            at = max(at, file.offset)
            take = min(end, file.end) - at
            if take > 0:
                yield Span(index, at - file.offset, take)
                at += take
            number += 1

    def pieces_of(self, index: int) -> range:
        """The pieces that hold bytes of a file."""
        file = self.files[index]
        if not file.length:
            return range(0)
        return range(file.offset // self.piece_length, -(-file.end // self.piece_length))

    def file_of(self, piece: int) -> int:
        """The file at the first byte of a piece: the only one, where pieces are aligned."""
        start = piece * self.piece_length
        return self._filled[bisect_right(self._starts, start) - 1]

    def _file_at(self, position: int) -> File:
        return self.files[self._filled[bisect_right(self._starts, position) - 1]]
