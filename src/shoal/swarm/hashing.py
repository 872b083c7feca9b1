"""What proves a piece: its SHA-1 (v1), its root of block hashes (v2), or both.

These functions run in a thread of the pool: hashlib frees the interpreter
lock, so pieces are hashed on every core while the loop goes on.

BEP 3 ("pieces"), BEP 52 ("pieces root").
"""

from dataclasses import dataclass
from hashlib import sha1

from shoal.swarm.layout import Layout
from shoal.swarm.merkle import BLOCK, block_hashes, height_of, root_of
from shoal.swarm.torrent import Torrent

_SHA1 = 20
_ZEROS = bytes(1 << 20)  # pads are hashed as zeros, a run at a time

Digests = tuple[bytes, bytes]  # SHA-1, root of the block hashes; empty where not asked for


@dataclass(slots=True, frozen=True)
class Task:
    """A piece to hash: where its bytes are, and what v1 and v2 need to know."""

    piece: int
    data: memoryview
    pad: int  # zeros behind the data that v1 hashes
    height: int  # of the v2 subtree


def piece_height(layout: Layout, piece: int) -> int:
    """How high the hash tree of a piece is; low for a file that fits into one piece."""
    file = layout.files[layout.file_of(piece)]
    return height_of(-(-min(file.length, layout.piece_length) // BLOCK))


def make_task(layout: Layout, piece: int, data: memoryview, *, v2: bool) -> Task:
    pad = layout.piece_size(piece) - len(data)
    return Task(piece, data, pad, piece_height(layout, piece) if v2 else 0)


class Hasher:
    """Hashes a piece whose bytes come in parts; all parts but the last are whole blocks."""

    def __init__(self, *, v1: bool, v2: bool) -> None:
        self._plain = sha1(usedforsecurity=False) if v1 else None
        self._blocks: list[bytes] | None = [] if v2 else None

    def update(self, part: memoryview) -> None:
        if self._plain is not None:
            self._plain.update(part)
        if self._blocks is not None:
            self._blocks += block_hashes(part)

    def digests(self, pad: int, height: int) -> Digests:
        """The SHA-1 and the root of the block hashes, each empty if not asked for."""
        plain, root = b"", b""
        if self._plain is not None:
            for at in range(0, pad, len(_ZEROS)):
                self._plain.update(_ZEROS[: pad - at])
            plain = self._plain.digest()
        if self._blocks is not None:
            root = root_of(self._blocks, height)
        return plain, root


def digest(task: Task, *, v1: bool, v2: bool) -> Digests:
    hasher = Hasher(v1=v1, v2=v2)
    hasher.update(task.data)
    return hasher.digests(task.pad, task.height)


def proves(torrent: Torrent, piece: int, found: Digests) -> bool:
    """Are these the digests that the torrent has for the piece?  A hybrid needs both."""
    plain, root = found
    if torrent.has_v1 and plain != torrent.pieces[piece * _SHA1 : (piece + 1) * _SHA1]:
        return False
    return not torrent.checks_v2 or root == torrent.roots[piece]


def verify(torrent: Torrent, tasks: list[Task]) -> list[bool]:
    """Which of these pieces are what the torrent says."""
    v1, v2 = torrent.has_v1, torrent.checks_v2
    return [proves(torrent, task.piece, digest(task, v1=v1, v2=v2)) for task in tasks]


def blame_hashes(data: memoryview) -> list[bytes]:
    """A short hash of each block, to tell later which block of a bad piece was wrong."""
    return [
        sha1(data[at : at + BLOCK], usedforsecurity=False).digest()
        for at in range(0, len(data), BLOCK)
    ]
