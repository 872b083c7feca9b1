"""The info dictionary out of peers, for who has only a magnet link.

It comes in pieces of 16 KiB and is proven by the hash in the link.  Each peer
is asked for the whole of it into a buffer of its own: who sends rubbish spoils
only its own copy, and is known by it.

BEP 9, "metadata".
"""

from hashlib import sha1, sha256

from shoal.errors import ProtocolError

METADATA_PIECE = 16384  # bytes
METADATA_MAX = 32 << 20  # bytes of an info dictionary: 1.6 million v1 pieces
FETCHES_MAX = 4  # peers asked at the same time: bounds what bombs can make us hold
ASKED_MAX = 64  # pieces asked ahead


class MetadataFetch:
    """One peer's copy of the info dictionary."""

    def __init__(self, size: int) -> None:
        if not 0 < size <= METADATA_MAX:
            raise ProtocolError("an info dictionary of an impossible size")
        self.size = size
        self.count = -(-size // METADATA_PIECE)
        self._parts: dict[int, bytes] = {}
        self._next = 0
        self._seen = 0, float("inf")  # pieces that were here when we last looked, and since when

    def wanted(self) -> list[int]:
        """Pieces to ask for now."""
        last = min(self.count, len(self._parts) + ASKED_MAX)
        pieces = list(range(self._next, last))
        self._next = max(self._next, last)
        return pieces

    def received(self, piece: int, data: bytes) -> None:
        expected = min(METADATA_PIECE, self.size - piece * METADATA_PIECE)
        if not 0 <= piece < self._next or len(data) != expected:
            raise ProtocolError("a metadata piece that we did not ask for")
        self._parts[piece] = data

    def stalled(self, now: float, patience: float) -> bool:
        """No piece has come for so long; asked once a second."""
        count, since = self._seen
        if len(self._parts) != count or since > now:
            self._seen = len(self._parts), now
            return False
        return now - since > patience

    @property
    def complete(self) -> bool:
        return len(self._parts) == self.count

    def info(self, hash_v1: bytes | None, hash_v2: bytes | None) -> bytes:
        """The whole, if it is what the link names; ProtocolError if it is not."""
        whole = b"".join(self._parts[piece] for piece in range(self.count))
        if hash_v2 is not None and sha256(whole).digest() != hash_v2:
            raise ProtocolError("metadata of another content")
        if hash_v1 is not None and sha1(whole, usedforsecurity=False).digest() != hash_v1:
            raise ProtocolError("metadata of another content")
        return whole
