"""PeerId: the short name of a public key.

A multihash of the key's message: the message itself (identity) if that has at
most 42 bytes, so that the key can be read out of the id of an Ed25519 or
secp256k1 peer; else its SHA-256.  As text it is base 58 of these bytes, or a
CID (version 1, codec libp2p-key) in any multibase; we write the first.

libp2p/specs, peer-ids/peer-ids.md.
"""

from functools import lru_cache, total_ordering
from typing import Self

from shoal.codec import multibase, multihash
from shoal.errors import ProtocolError
from shoal.peer.key import PublicKey

INLINE_MAX = 42  # bytes of a key's message that is not hashed; the specification's bound
TEXT_MAX = 128  # characters; in base 16 a CID has 85
CACHE = 4096  # texts and ids that are remembered; a few lookups' worth of peers

_CID_PREFIX = b"\x01\x72"  # version 1, libp2p-key


@total_ordering
class PeerId:
    """Immutable, hashable, ordered by its bytes."""

    __slots__ = ("bytes",)

    def __init__(self, data: bytes | memoryview) -> None:
        """From the multihash; ProtocolError if it cannot be a peer's."""
        code, digest = multihash.decode(data)
        if code == multihash.IDENTITY:
            allowed = 0 < len(digest) <= INLINE_MAX
        else:
            allowed = code == multihash.SHA2_256 and len(digest) == 32
        if not allowed:
            raise ProtocolError("this multihash is not a peer id")
        self.bytes = bytes(data)

    @classmethod
    def of(cls, key: PublicKey) -> Self:
        message = key.encode()
        if len(message) <= INLINE_MAX:
            return cls(multihash.encode(multihash.IDENTITY, message))
        return cls(multihash.sha256(message))

    @staticmethod
    def parse(text: str) -> "PeerId":
        """From either text form."""
        return _parse(text)

    @property
    def public_key(self) -> PublicKey | None:
        """The key, if the id holds it; ProtocolError if what it holds is no key."""
        code, digest = multihash.decode(self.bytes)
        return PublicKey.decode(digest) if code == multihash.IDENTITY else None

    def belongs_to(self, key: PublicKey) -> bool:
        return PeerId.of(key) == self

    def cid(self, base: str = "base32") -> str:
        """The other text form; base 36 fits into a domain name."""
        return multibase.encode(_CID_PREFIX + self.bytes, base)

    def __str__(self) -> str:
        return _text(self.bytes)

    def __repr__(self) -> str:
        return f"PeerId({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PeerId) and self.bytes == other.bytes

    def __lt__(self, other: "PeerId") -> bool:
        return self.bytes < other.bytes

    def __hash__(self) -> int:
        return hash(self.bytes)


@lru_cache(CACHE)
def _parse(text: str) -> PeerId:
    if len(text) > TEXT_MAX:
        raise ProtocolError(f"peer id is over {TEXT_MAX} characters")
    if text.startswith(("1", "Qm")):
        return PeerId(multibase.decode_base58(text))
    data = multibase.decode(text)
    if not data.startswith(_CID_PREFIX):
        raise ProtocolError("this CID does not name a key")
    return PeerId(data[len(_CID_PREFIX) :])


@lru_cache(CACHE)
def _text(data: bytes) -> str:
    return multibase.encode_base58(data)
