"""Unsigned varints, and frames that begin with one.

Seven bits of the number a byte, the lowest first; the top bit says that more
follow.  Multiformats allow at most nine bytes (63 bits) and only the shortest
form, so that a number has exactly one encoding.

multiformats/unsigned-varint.  A frame is varint(length) ‖ bytes, as libp2p
writes its messages.
"""

from shoal.codec.buffer import Buffer
from shoal.errors import ProtocolError, UsageError

BYTES_MAX = 9  # the specification's bound: 63 bits
_SMALL = tuple(bytes((n,)) for n in range(0x80))


def encode(n: int) -> bytes:
    if 0 <= n < 0x80:
        return _SMALL[n]
    if not 0 <= n < 1 << 63:
        raise UsageError(f"{n} is not a number of 63 bits")
    encoded = bytearray()
    while n >= 0x80:
        encoded.append(n & 0x7F | 0x80)
        n >>= 7
    encoded.append(n)
    return bytes(encoded)


def decode(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int]:
    """The number at `offset`, and where it ends."""
    decoded = try_decode(data, offset)
    if decoded is None:
        raise ProtocolError("varint is cut short")
    return decoded


def try_decode(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int] | None:
    """As `decode`, but None while the number is incomplete."""
    if offset < len(data) and data[offset] < 0x80:  # most are of one byte
        return data[offset], offset + 1
    value = 0
    for index in range(min(BYTES_MAX, len(data) - offset)):
        byte = data[offset + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if not byte and index:
                raise ProtocolError("varint is longer than it needs to be")
            return value, offset + index + 1
    if len(data) - offset >= BYTES_MAX:
        raise ProtocolError("varint is over 63 bits")
    return None


def encode_frame(data: bytes | bytearray | memoryview) -> bytes:
    return encode(len(data)) + data


def take_frame(buffer: Buffer, most: int) -> bytes | None:
    """The next whole frame of a stream, or None; a frame over `most` bytes is refused at once."""
    header = try_decode(buffer.peek(BYTES_MAX))
    if header is None:
        return None
    length, start = header
    if length > most:
        raise ProtocolError(f"frame of {length} bytes, at most {most} are allowed")
    if len(buffer) < start + length:
        return None
    buffer.take(start)
    return buffer.take(length)
