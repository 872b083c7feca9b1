"""Hash trees of BitTorrent v2.

Each file has a binary tree of SHA-256 over its blocks of 16 KiB; the last
block is hashed as short as it is.  The leaves are filled up with zero hashes
to a power of two, so a subtree that lies wholly behind the file has a known
root: `zero(height)`.  The layer whose nodes each cover one piece is the piece
layer; the info dictionary holds only the root (`pieces root`).

Layers count from the leaves: layer 0 is the blocks.  A peer asks for a run of
hashes of one layer, and gets with it the uncles that lead up to the root.

BEP 52, "merkle hash" and "hash request".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from shoal.errors import ProtocolError

BLOCK = 16384  # bytes under one leaf
HASH = 32  # bytes of SHA-256
HASHES_MAX = 8192  # hashes in one request; libtorrent's limit

_ZEROS = [bytes(HASH)]
while len(_ZEROS) < 64:
    _ZEROS.append(sha256(_ZEROS[-1] * 2).digest())


def zero(height: int) -> bytes:
    """The root of a subtree of this height that has no data."""
    return _ZEROS[height]


def height_of(leaves: int) -> int:
    """How many layers lie above this many leaves."""
    return max(leaves - 1, 0).bit_length()


def parents(layer: Sequence[bytes]) -> list[bytes]:
    return [sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer) - 1, 2)]


def root_of(hashes: Sequence[bytes], height: int, base: int = 0) -> bytes:
    """The root of a tree of `height` layers above these hashes, which lie on layer `base`."""
    layer = list(hashes) or [zero(base)]
    for level in range(base, base + height):
        if len(layer) % 2:
            layer.append(zero(level))
        layer = parents(layer)
    return layer[0]


def block_hashes(data: memoryview) -> list[bytes]:
    return [sha256(data[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK)]


def split(layer: bytes) -> list[bytes]:
    """The hashes of a layer that was written as one string."""
    return [layer[at : at + HASH] for at in range(0, len(layer), HASH)]


def file_root(layer: Sequence[bytes], piece_height: int) -> bytes:
    """The root above a whole piece layer."""
    return root_of(layer, height_of(len(layer)), piece_height)


@dataclass(slots=True, frozen=True)
class HashRequest:
    """Which hashes of which file a peer asks for; 48 bytes on the wire."""

    root: bytes
    base: int
    index: int
    length: int
    proofs: int

    @property
    def height(self) -> int:
        """How many layers the asked run spans, below its own root."""
        return height_of(self.length)


class HashTree:
    """The tree of one file from a known layer upwards, for answering requests."""

    def __init__(self, hashes: Sequence[bytes], base: int) -> None:
        self.base = base
        self.layers = [list(hashes)]
        for level in range(base, base + height_of(len(hashes))):
            layer = self.layers[-1]
            if len(layer) % 2:
                layer.append(zero(level))
            self.layers.append(parents(layer))
        self.height = base + len(self.layers) - 1

    @property
    def root(self) -> bytes:
        return self.layers[-1][0]

    def node(self, level: int, index: int) -> bytes:
        layer = self.layers[level - self.base]
        return layer[index] if index < len(layer) else zero(level)

    def answer(self, request: HashRequest) -> list[bytes]:
        """The hashes asked for, then their uncles, lowest first.  ProtocolError: refuse it."""
        base, index, length = request.base, request.index, request.length
        if not 1 <= length <= HASHES_MAX or length & (length - 1) or index % length:
            raise ProtocolError("a hash request has an impossible range")
        if not self.base <= base < max(self.height, 1) or base + request.proofs >= max(
            self.height, 1
        ):
            raise ProtocolError("a hash request asks for layers that we do not have")
        if index + length > 1 << (self.height - base):
            raise ProtocolError("a hash request goes beyond the file")
        hashes = [self.node(base, at) for at in range(index, index + length)]
        level, at = base + request.height, index >> request.height
        for _ in range(uncle_count(request)):
            hashes.append(self.node(level, at ^ 1))
            level, at = level + 1, at >> 1
        return hashes


def uncle_count(request: HashRequest) -> int:
    """The first proof layers follow from the hashes themselves and are left out."""
    return max(0, request.proofs - max(request.height - 1, 0))


def layer_requests(root: bytes, base: int, pieces: int) -> list[HashRequest]:
    """What to ask a peer for to get the whole piece layer of a file, provable to its root."""
    padded = 1 << height_of(pieces)
    length = min(512, padded)
    above = height_of(padded) - height_of(length)
    proofs = above + height_of(length) - 1 if above else 0
    return [HashRequest(root, base, index, length, proofs) for index in range(0, pieces, length)]


def proven(request: HashRequest, hashes: Sequence[bytes], height: int) -> bool:
    """Do these hashes and uncles lead to the root of a tree of this height?"""
    if len(hashes) != request.length + uncle_count(request):
        return False
    node = root_of(hashes[: request.length], request.height, request.base)
    at = request.index >> request.height
    for uncle in hashes[request.length :]:
        pair = uncle + node if at & 1 else node + uncle
        node, at = sha256(pair).digest(), at >> 1
    reached = request.base + request.height + uncle_count(request)
    return reached == height and node == request.root
