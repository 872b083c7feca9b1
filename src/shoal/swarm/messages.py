"""BitTorrent's messages: their numbers, and what is before and in them.

Every message is a length, a number and a body.  `PeerWire` reads the frequent
ones where they lie; here is what both sides of it share.

BEP 3, 6, 9, 10, 52.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from shoal.codec import bencode
from shoal.errors import ProtocolError
from shoal.swarm.merkle import HashRequest
from shoal.swarm.remote import Signal

HANDSHAKE = 68  # bytes
PROTOCOL = b"\x13BitTorrent protocol"
CLIENT = b"Shoal 0.1"
CLIENT_MAX = 64  # bytes of the other client's name that we keep

CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL, PORT = range(10)
SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST = range(13, 18)
EXTENDED, HASH_REQUEST, HASHES, HASH_REJECT = range(20, 24)
EXTENDED_HANDSHAKE, UT_METADATA = 0, 2  # our numbers for extensions
FAST = frozenset({SUGGEST, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST})
STATES = frozenset({CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD})
EARLY = STATES | {HAVE_ALL, HAVE_NONE, ALLOWED_FAST}  # they count also before the metadata is known

LENGTH = Struct(">I")
NUMBERS = Struct(">III")
THREE = Struct(">IBIII")  # request, cancel, reject
ONE = Struct(">IBI")  # have, allowed fast
BLOCK_HEADER = Struct(">IBII")  # what stands before a block
RANGE = Struct(">32sIIII")  # of hashes
PLAIN = {
    Signal.CHOKE: b"\0\0\0\1\0",
    Signal.UNCHOKE: b"\0\0\0\1\1",
    Signal.INTERESTED: b"\0\0\0\1\2",
    Signal.NOT_INTERESTED: b"\0\0\0\1\3",
}


def encode_message(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return LENGTH.pack(1 + len(body)) + bytes([kind]) + body


def expect_length(body: memoryview, length: int) -> None:
    if len(body) != length:
        raise ProtocolError("a message of a wrong length")


def encode_handshake(info_hash: bytes, peer_id: bytes, *, v2: bool) -> bytes:
    """`v2`: the hash is that of v1, and we know the other one, too."""
    reserved = bytes([0, 0, 0, 0, 0, 0x10, 0, 0x04 | (0x10 if v2 else 0)])
    return PROTOCOL + reserved + info_hash + peer_id


def encode_range(request: HashRequest) -> bytes:
    return RANGE.pack(request.root, request.base, request.index, request.length, request.proofs)


def decode_range(body: memoryview) -> HashRequest:
    if len(body) < RANGE.size:
        raise ProtocolError("a hash message that is too short")
    return HashRequest(*RANGE.unpack_from(body))


@dataclass(slots=True)
class Hello:
    """An extended handshake (BEP 10); None or 0 for what it does not say."""

    numbers: dict[bytes, int] = field(default_factory=dict)  # extension -> its message number
    queue: int | None = None  # requests that may wait
    metadata_size: int = 0
    port: int = 0
    client: str = ""
    upload_only: bool = False

    def encode(self) -> bytes:
        fields: dict[bytes, Any] = {b"m": self.numbers, b"v": self.client.encode()}
        if self.queue is not None:
            fields[b"reqq"] = self.queue
        if self.metadata_size:
            fields[b"metadata_size"] = self.metadata_size
        if self.port:
            fields[b"p"] = self.port
        if self.upload_only:
            fields[b"upload_only"] = 1
        return bencode.encode(fields)

    @classmethod
    def decode(cls, body: memoryview) -> "Hello | None":
        """None for garbage: other clients pass over it, too."""
        try:
            fields = bencode.decode(body, lenient=True)
        except ProtocolError:
            return None
        if not isinstance(fields, dict):
            return None
        numbers, client = fields.get(b"m"), fields.get(b"v")
        return cls(
            numbers={
                name: number
                for name, number in (numbers.items() if isinstance(numbers, dict) else ())
                if isinstance(number, int) and 0 <= number < 256
            },
            queue=_between(fields.get(b"reqq"), 1, 1 << 31) or None,
            metadata_size=_between(fields.get(b"metadata_size"), 1, 1 << 62),
            port=_between(fields.get(b"p"), 1, 65536),
            client=client[:CLIENT_MAX].decode("utf-8", "replace")
            if isinstance(client, bytes)
            else "",
            upload_only=fields.get(b"upload_only") == 1,
        )


def _between(value: Any, least: int, end: int) -> int:
    return value if isinstance(value, int) and least <= value < end else 0
