"""Bencoding: integers, byte strings, lists and dictionaries.

`i42e`, `4:spam`, `l...e`, `d...e`.  A value has exactly one encoding: no
leading zeros, keys sorted as raw bytes and never repeated.  That is why a hash
of the bytes (a torrent's info hash) names the value, and why we keep to the
rules when we read.  Some programs do not when they write, so `lenient` accepts
leading zeros and keys in any order (of a repeated key, the last value counts).

BEP 3, "bencoding".  Strings and keys are bytes in Python.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from shoal.errors import ProtocolError, UsageError

DEPTH_MAX = 100  # containers in containers; a BEP 52 file tree needs one a folder
COUNT_MAX = 1_000_000  # values and ends of containers; 100,000 files need about half
DIGITS_MAX = 20  # of a number: everything in 64 bits, signed or not

Value = int | bytes | list["Value"] | dict[bytes, "Value"]
Encodable = int | bytes | bytearray | memoryview | Sequence["Encodable"] | Mapping[bytes, Any]

_END, _DICT, _INT, _LIST = b"edil"
_ZERO, _NINE, _COLON = b"09:"
_HEADERS = tuple(b"%d:" % length for length in range(256))  # what stands before most strings
_LENGTHS = {header: length for length, header in enumerate(_HEADERS)}


def encode(value: Encodable) -> bytes:
    parts: list[bytes | bytearray | memoryview] = []
    _write((value,), parts, 0)
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
    try:
        return _read(bytes(data), offset, lenient)
    except (IndexError, ValueError) as error:
        raise ProtocolError("bencoded value is cut short") from error


def raw(data: bytes | memoryview, *path: bytes, lenient: bool = False) -> bytes:
    """The bytes of a value inside nested dictionaries, just as they were sent.

    `raw(metainfo, b"info")` is what the info hash is made of.
    """
    found = bytes(data)
    for key in path:
        spans = _spans(found, lenient)
        if key not in spans:
            raise ProtocolError(f"no key {key!r} in a bencoded dictionary")
        found = found[spans[key]]
    return found


def _write(values: Iterable[Any], parts: list[Any], depth: int) -> None:
    if depth > DEPTH_MAX:
        raise UsageError(f"more than {DEPTH_MAX} levels of lists and dictionaries")
    for value in values:
        kind = type(value)
        if kind is bytes or kind is memoryview or kind is bytearray:
            size = len(value)
            parts += (_HEADERS[size] if size < 256 else b"%d:" % size, value)
        elif kind is int:
            parts.append(b"i%de" % value)
        elif kind is dict:
            parts.append(b"d")
            _write(chain.from_iterable(_sorted(value)), parts, depth + 1)
            parts.append(b"e")
        elif kind is list or kind is tuple:
            parts.append(b"l")
            _write(value, parts, depth + 1)
            parts.append(b"e")
        else:
            _write((_plain(value),), parts, depth)


def _plain(value: Any) -> bytes | int | dict[bytes, Any]:
    """For a truth, an enumeration or another mapping, what bencoding has for it."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise UsageError(f"bencoding has no {type(value).__name__}")


def _sorted(value: Mapping[bytes, Any]) -> list[tuple[bytes, Any]]:
    try:
        b"".join(value)  # the quickest way to ask whether all keys are bytes
    except TypeError as error:
        raise UsageError("keys of a bencoded dictionary are bytes") from error
    return sorted(value.items())


def _read(data: bytes, at: int, lenient: bool) -> tuple[Value, int]:
    """One loop, no recursion: each turn puts a value into the innermost open container.

    A dictionary is a list of keys and values until it ends.  IndexError or
    ValueError where the data ends too early.
    """
    items: list[Any] = []
    around: list[tuple[list[Any], int]] = []  # containers, and what their `items` will be
    for _ in range(COUNT_MAX):
        first = data[at]
        if _ZERO <= first <= _NINE:
            if data[at + 1] == _COLON:  # most keys are short
                start = at + 2
                at = start + first - _ZERO
            else:
                start = data.index(b":", at, at + DIGITS_MAX + 1) + 1
                length = _LENGTHS.get(data[at:start])
                if length is None:
                    length = _number(data[at : start - 1], lenient)
                at = start + length
            items.append(data[start:at])
        elif first == _INT:
            end = data.index(b"e", at, at + DIGITS_MAX + 3)
            digits = data[at + 1 : end]
            plain = digits.isdigit() and digits[0] != _ZERO  # most are
            items.append(int(digits) if plain else _number(digits, lenient))
            at = end + 1
        elif first == _END and around:
            value, (items, kind) = items, around.pop()
            items.append(value if kind == _LIST else _pair(value, lenient))
            at += 1
        else:
            around.append((items, _opened(first, len(around))))
            items = []
            at += 1
        if not around:
            if at > len(data):
                break
            return items[0], at
    else:
        raise ProtocolError(f"more than {COUNT_MAX} bencoded values")
    raise ProtocolError("bencoded string is cut short")


def _opened(first: int, depth: int) -> int:
    if first not in (_LIST, _DICT):
        raise ProtocolError(f"no bencoded value begins with byte {first:#04x}")
    if depth == DEPTH_MAX:
        raise ProtocolError(f"bencoded value is over {DEPTH_MAX} levels deep")
    return first


def _number(digits: bytes, lenient: bool) -> int:
    magnitude = digits if digits.isdigit() else digits.removeprefix(b"-")
    if not magnitude.isdigit():
        raise ProtocolError("bencoded number is not a number")
    if magnitude[0] == _ZERO and len(digits) > 1 and not lenient:  # 00, -0 and -01
        raise ProtocolError("bencoded number has a leading zero")
    return int(digits)


def _pair(items: list[Any], lenient: bool) -> dict[bytes, Any]:
    """Keys and values in turn as a dictionary; in few calls, as there is one for every file."""
    each = iter(items)
    try:
        pairs = dict(zip(each, each, strict=False))
        keys = list(pairs)
        b"".join(keys)
    except TypeError as error:
        raise ProtocolError("a key of a bencoded dictionary is not a string") from error
    if len(items) % 2:
        raise ProtocolError("a key of a bencoded dictionary has no value")
    if not lenient and (len(keys) * 2 < len(items) or keys != sorted(keys)):
        raise ProtocolError("keys of a bencoded dictionary are repeated or not in order")
    return pairs


def _spans(data: bytes, lenient: bool) -> dict[bytes, slice]:
    """Where each value of the dictionary at the start lies."""
    if data[:1] != b"d":
        raise ProtocolError("bencoded value is not a dictionary")
    keys_and_spans: list[Any] = []
    at = 1
    while data[at : at + 1] != b"e":
        key, start = decode_prefix(data, at, lenient=lenient)
        _, at = decode_prefix(data, start, lenient=lenient)
        keys_and_spans += (key, slice(start, at))
    return _pair(keys_and_spans, lenient)
