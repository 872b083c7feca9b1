"""Ids that are bound to addresses.

Who may choose an id at will can choose to sit beside any key.  So the first
21 bits of an id are a checksum of the address, and an owner of few addresses
has few places to choose from.  Loopback and private addresses are exempt.

BEP 42.  CRC32C (Castagnoli) with the polynomial 0x82f63b78, bits reversed.
"""

from typing import TYPE_CHECKING

from shoal.dht.krpc import ID_SIZE

if TYPE_CHECKING:
    from random import Random

MASK_V4 = bytes.fromhex("030f3fff")
MASK_V6 = bytes.fromhex("0103070f1f3f7fff")
LOOPBACK_V6 = bytes(15) + b"\1"


def _table() -> tuple[int, ...]:
    remainders = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        remainders.append(byte)
    return tuple(remainders)


_REMAINDERS = _table()


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = _REMAINDERS[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def checksum(packed: bytes, last: int) -> int:
    """What an id with this last byte begins with, at this address of 4 or 16 bytes."""
    mask = MASK_V4 if len(packed) == 4 else MASK_V6
    masked = bytearray(byte & bits for byte, bits in zip(packed, mask, strict=False))
    masked[0] |= (last & 7) << 5
    return crc32c(bytes(masked))


def bound_id(packed: bytes, rng: "Random") -> bytes:
    """An id for a node at this address."""
    tail = rng.randbytes(ID_SIZE)
    start = checksum(packed, tail[-1])
    head = (start >> 11) << 11 | int.from_bytes(tail[:4]) & 0x7FF
    return head.to_bytes(4) + tail[4:]


def is_bound(node_id: bytes, packed: bytes) -> bool:
    """Whether the id may stand at this address."""
    start = checksum(packed, node_id[-1])
    return int.from_bytes(node_id[:4]) >> 11 == start >> 11 or is_local(packed)


def is_local(packed: bytes) -> bool:
    """Loopback, private and link-local addresses, which say nothing about their owner."""
    first, second = packed[0], packed[1]
    if len(packed) == 4:
        if first in (172, 192, 169):
            return (first, second & 0xF0) == (172, 16) or (first, second) in (
                (192, 168),
                (169, 254),
            )
        return first in (10, 127)
    return first & 0xFE == 0xFC or (first, second & 0xC0) == (0xFE, 0x80) or packed == LOOPBACK_V6


def group_of(packed: bytes) -> bytes | None:
    """The /16 (IPv4) or /32 (IPv6) whose addresses one owner may have together."""
    if is_local(packed):
        return None
    return packed[:2] if len(packed) == 4 else packed[:4]
