"""Bencoding: integers, byte strings, lists and dictionaries.

`i42e`, `4:spam`, `l...e`, `d...e`.  A value has exactly one encoding: no
leading zeros, keys sorted as raw bytes and never repeated.  That is why a hash
of the bytes (a torrent's info hash) names the value, and why we keep to the
rules when we read.  Some programs do not when they write, so `lenient` accepts
leading zeros and keys in any order (of a repeated key, the last value counts).

BEP 3, "bencoding".  Strings and keys are bytes in Python.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shoal.errors import ProtocolError, UsageError

DEPTH_MAX = 100  # containers in containers; a BEP 52 file tree needs one a folder
COUNT_MAX = 1_000_000  # values and ends of containers; 100,000 files need about half
DIGITS_MAX = 20  # of a number: everything in 64 bits, signed or not

Value = int | bytes | list["Value"] | dict[bytes, "Value"]
Encodable = int | bytes | bytearray | memoryview | Sequence["Encodable"] | Mapping[bytes, Any]

_END, _DICT, _INT, _LIST = b"edil"
_ZERO, _NINE, _COLON = b"09:"


def encode(value: Encodable) -> bytes:
    parts: list[bytes | bytearray | memoryview] = []
    _write(value, parts, 0)
    return b"".join(parts)


def decode(data: bytes | memoryview, *, lenient: bool = False) -> Value:
    """The one value that these bytes are."""
    value, end = decode_prefix(data, lenient=lenient)
    if end != len(data):
        raise ProtocolError("bytes after the end of a bencoded value")
    return value


def decode_prefix(
    data: bytes | memoryview, offset: int = 0, *, lenient: bool = False
) -> tuple[Value, int]:
    """The value at `offset`, and where it ended."""
    return _Reader(bytes(data), lenient).read(offset, 0)


def raw(data: bytes | memoryview, *path: bytes, lenient: bool = False) -> bytes:
    """The bytes of a value inside nested dictionaries, just as they were sent.

    `raw(metainfo, b"info")` is what the info hash is made of.
    """
    reader = _Reader(bytes(data), lenient)
    start, end = 0, len(reader.data)
    for key in path:
        spans = reader.spans(start)
        if key not in spans:
            raise ProtocolError(f"no key {key!r} in a bencoded dictionary")
        start, end = spans[key]
    return reader.data[start:end]


def _write(value: Any, parts: list[bytes | bytearray | memoryview], depth: int) -> None:
    if isinstance(value, (bytes, bytearray, memoryview)):
        parts += (b"%d:" % len(value), value)
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    elif depth == DEPTH_MAX:
        raise UsageError(f"more than {DEPTH_MAX} levels of lists and dictionaries")
    elif isinstance(value, Mapping):
        if not all(isinstance(key, bytes) for key in value):
            raise UsageError("keys of a bencoded dictionary are bytes")
        parts.append(b"d")
        for key in sorted(value):
            parts += (b"%d:" % len(key), key)
            _write(value[key], parts, depth + 1)
        parts.append(b"e")
    elif isinstance(value, (list, tuple)):
        parts.append(b"l")
        for item in value:
            _write(item, parts, depth + 1)
        parts.append(b"e")
    else:
        raise UsageError(f"bencoding has no {type(value).__name__}")


class _Reader:
    """Values out of one buffer; counts them as it goes."""

    def __init__(self, data: bytes, lenient: bool) -> None:
        self.data = data
        self.lenient = lenient
        self.count = 0

    def read(self, at: int, depth: int) -> tuple[Value, int]:
        self.count += 1
        if self.count > COUNT_MAX:
            raise ProtocolError(f"more than {COUNT_MAX} bencoded values")
        first = self._byte(at)
        if _ZERO <= first <= _NINE:
            return self._string(at)
        if first == _INT:
            end = self._find(b"e", at + 1)
            return self._number(at + 1, end), end + 1
        if depth == DEPTH_MAX:
            raise ProtocolError(f"bencoded value is over {DEPTH_MAX} levels deep")
        if first == _LIST:
            return self._list(at + 1, depth + 1)
        if first == _DICT:
            return self._dict(at + 1, depth + 1)
        raise ProtocolError(f"no bencoded value begins with byte {first:#04x}")

    def spans(self, at: int) -> dict[bytes, tuple[int, int]]:
        """Where each value of the dictionary at `at` begins and ends."""
        if self._byte(at) != _DICT:
            raise ProtocolError("bencoded value is not a dictionary")
        found: dict[bytes, tuple[int, int]] = {}
        at += 1
        last = None
        while self._byte(at) != _END:
            key, start = self._string(at)
            self._in_order(last, key)
            _, at = self.read(start, 1)
            found[key] = (start, at)
            last = key
        return found

    def _list(self, at: int, depth: int) -> tuple[Value, int]:
        items: list[Value] = []
        while self._byte(at) != _END:
            item, at = self.read(at, depth)
            items.append(item)
        return items, at + 1

    def _dict(self, at: int, depth: int) -> tuple[Value, int]:
        items: dict[bytes, Value] = {}
        last = None
        while self._byte(at) != _END:
            key, at = self._string(at)
            self._in_order(last, key)
            items[key], at = self.read(at, depth)
            last = key
        return items, at + 1

    def _in_order(self, last: bytes | None, key: bytes) -> None:
        if last is not None and key <= last and not self.lenient:
            raise ProtocolError("keys of a bencoded dictionary are not in order")

    def _string(self, at: int) -> tuple[bytes, int]:
        colon = self._find(b":", at)
        length = self._number(at, colon)
        end = colon + 1 + length
        if length < 0 or end > len(self.data):
            raise ProtocolError("bencoded string is cut short")
        return self.data[colon + 1 : end], end

    def _number(self, at: int, end: int) -> int:
        digits = self.data[at:end]
        magnitude = digits[1:] if digits[:1] == b"-" else digits
        if not magnitude.isdigit():
            raise ProtocolError("bencoded number is not a number")
        if not self.lenient and (
            magnitude[0] == _ZERO and len(digits) > 1
        ):  # 00, 01, -0 and -01 are other ways to write a number that has one already
            raise ProtocolError("bencoded number has a leading zero")
        return int(digits)

    def _find(self, what: bytes, at: int) -> int:
        found = self.data.find(what, at, at + DIGITS_MAX + 2)
        if found < 0:
            raise ProtocolError("bencoded number does not end")
        return found

    def _byte(self, at: int) -> int:
        if at >= len(self.data):
            raise ProtocolError("bencoded value is cut short")
        return self.data[at]
