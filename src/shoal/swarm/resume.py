"""What a download remembers between runs: which pieces were proven, of which files.

The note is believed for a file that has the size and the time of change that
it had when the note was written; every other file is hashed again.  It is
written after the files were synced, so it never promises what a power cut
could still take.
"""

from dataclasses import dataclass
from typing import Any

from shoal.codec import bencode
from shoal.errors import ProtocolError
from shoal.swarm.layout import Layout
from shoal.swarm.pieces import Bitfield

VERSION = 1
Seen = tuple[int, int]  # size in bytes, time of change in nanoseconds; (-1, 0): no file
CHANGING = -1  # a time that no file has: the file was being written, do not believe the note


@dataclass(slots=True, frozen=True)
class Resume:
    """Proven pieces, and the files that they were seen in."""

    have: Bitfield
    files: list[Seen]
    wanted: list[bool]

    def encode(self) -> bytes:
        return bencode.encode(
            {
                b"version": VERSION,
                b"pieces": self.have.encode(),
                b"files": [list(seen) for seen in self.files],
                b"wanted": [int(each) for each in self.wanted],
            }
        )

    @classmethod
    def decode(cls, data: bytes, layout: Layout) -> "Resume":
        """ProtocolError if it is damaged or of another content."""
        fields: Any = bencode.decode(data)
        if not isinstance(fields, dict) or fields.get(b"version") != VERSION or len(fields) != 4:
            raise ProtocolError("a resume note of another version")
        files, wanted = fields.get(b"files"), fields.get(b"wanted")
        pieces = fields.get(b"pieces")
        count = len(layout.files)
        if (
            not isinstance(pieces, bytes)
            or not isinstance(wanted, list)
            or not _numbers(wanted, count)
        ):
            raise ProtocolError("a damaged resume note")
        if not isinstance(files, list) or len(files) != count:
            raise ProtocolError("a resume note of another content")
        if not all(_numbers(seen, 2) for seen in files):
            raise ProtocolError("a damaged resume note")
        seen: list[Seen] = [(size, changed) for size, changed in files]
        have = Bitfield.decode(pieces, layout.count)
        return cls(have, seen, [bool(each) for each in wanted])

    def split(
        self, layout: Layout, now: list[Seen], wanted: list[bool]
    ) -> tuple[Bitfield, list[int]]:
        """Pieces to believe, and pieces to hash again because one of their files changed."""
        doubted: dict[int, None] = {}
        for index, file in enumerate(layout.files):
            changed = now[index] != self.files[index] or wanted[index] != self.wanted[index]
            if changed and not file.pad:
                doubted.update(dict.fromkeys(layout.pieces_of(index)))
        believed = Bitfield(layout.count)
        for piece in self.have:
            if piece not in doubted:
                believed.add(piece)
        return believed, sorted(doubted)


def _numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(each, int) for each in value)
    )
