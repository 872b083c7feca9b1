"""Bytes as text, in a base that the first character names.

Bases 16, 32 and 64 are groups of bits, and the standard library writes them.
Bases 36 and 58 are the bytes as one big number, with a leading zero digit for
each leading zero byte; that takes quadratic time, so their length is bounded.

multiformats/multibase; RFC 4648 for 16, 32 and 64.  Only the bases that
networks use.
"""

from base64 import (
    b32decode,
    b32encode,
    b32hexdecode,
    b32hexencode,
    b64decode,
    b64encode,
)
from collections.abc import Callable
from typing import NamedTuple

from shoal.errors import ProtocolError, UsageError

TEXT_MAX = 65_536  # characters; an RSA key in base 64 has 400
BIG_NUMBER_MAX = 1024  # characters in base 36 and 58

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_FLICKR = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE32_Z = "ybndrfg8ejkmcpqxot1uwisza345h769"  # the alphabet that is easier on people
_TO_Z = str.maketrans(_BASE32, _BASE32_Z)
_FROM_Z = str.maketrans(_BASE32_Z, _BASE32)


def encode(data: bytes, base: str = "base32") -> str:
    if base not in _BASES:
        raise UsageError(f"no base {base!r}: choose one of {', '.join(_BASES)}")
    chosen = _BASES[base]
    return chosen.prefix + chosen.encode(data)


def decode(text: str) -> bytes:
    """The bytes; only the text that `encode` would write (or its other case in 16, 32, 36)."""
    if len(text) > TEXT_MAX:
        raise ProtocolError(f"multibase text is over {TEXT_MAX} characters")
    base = _PREFIXES.get(text[:1])
    if base is None:
        raise ProtocolError(f"no base has the prefix {text[:1]!r}")
    digits = base.fold(text[1:])
    try:
        data = base.decode(digits)
    except ValueError as error:
        raise ProtocolError(f"not the text of {base.name}: {error}") from error
    if base.encode(data) != digits:  # the standard library forgives stray characters and bits
        raise ProtocolError(f"not the text of {base.name}")
    return data


def encode_base58(data: bytes) -> str:
    """Bitcoin's base 58 without a prefix: the usual text of a peer id."""
    return _encode_big(data, _BASE58)


def decode_base58(text: str) -> bytes:
    return _decode_big(text, _BASE58)


def _encode_big(data: bytes, alphabet: str) -> str:
    if len(data) > BIG_NUMBER_MAX:
        raise UsageError(f"{len(data)} bytes are too many for base {len(alphabet)}")
    digits = []
    rest = int.from_bytes(data)
    while rest:
        rest, digit = divmod(rest, len(alphabet))
        digits.append(alphabet[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return alphabet[0] * zeros + "".join(reversed(digits))


def _decode_big(text: str, alphabet: str) -> bytes:
    if len(text) > BIG_NUMBER_MAX:
        raise ProtocolError(f"base {len(alphabet)} text is over {BIG_NUMBER_MAX} characters")
    number = 0
    for character in text:
        digit = alphabet.find(character)
        if digit < 0:
            raise ProtocolError(f"{character!r} is not a digit of base {len(alphabet)}")
        number = number * len(alphabet) + digit
    zeros = len(text) - len(text.lstrip(alphabet[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)


def _bare(encoded: bytes) -> str:
    return encoded.decode().rstrip("=")


def _padded(text: str, group: int) -> str:
    return text + "=" * (-len(text) % group)


class _Base(NamedTuple):
    name: str
    prefix: str
    encode: Callable[[bytes], str]
    decode: Callable[[str], bytes]
    fold: Callable[[str], str] = str  # to the case in which `encode` writes


_ALL = (
    _Base("base16", "f", bytes.hex, bytes.fromhex, str.lower),
    _Base("base16upper", "F", lambda data: data.hex().upper(), bytes.fromhex, str.upper),
    _Base(
        "base32",
        "b",
        lambda data: _bare(b32encode(data)).lower(),
        lambda text: b32decode(_padded(text.upper(), 8)),
        str.lower,
    ),
    _Base(
        "base32upper",
        "B",
        lambda data: _bare(b32encode(data)),
        lambda text: b32decode(_padded(text, 8)),
        str.upper,
    ),
    _Base(
        "base32pad",
        "c",
        lambda data: b32encode(data).decode().lower(),
        lambda text: b32decode(text.upper()),
        str.lower,
    ),
    _Base(
        "base32hex",
        "v",
        lambda data: _bare(b32hexencode(data)).lower(),
        lambda text: b32hexdecode(_padded(text.upper(), 8)),
        str.lower,
    ),
    _Base(
        "base32z",
        "h",
        lambda data: _bare(b32encode(data)).translate(_TO_Z),
        lambda text: b32decode(_padded(text.translate(_FROM_Z), 8)),
    ),
    _Base(
        "base36",
        "k",
        lambda data: _encode_big(data, _BASE36),
        lambda text: _decode_big(text, _BASE36),
        str.lower,
    ),
    _Base("base58btc", "z", encode_base58, decode_base58),
    _Base(
        "base58flickr",
        "Z",
        lambda data: _encode_big(data, _BASE58_FLICKR),
        lambda text: _decode_big(text, _BASE58_FLICKR),
    ),
    _Base(
        "base64",
        "m",
        lambda data: _bare(b64encode(data)),
        lambda text: b64decode(_padded(text, 4)),
    ),
    _Base("base64pad", "M", lambda data: b64encode(data).decode(), b64decode),
    _Base(
        "base64url",
        "u",
        lambda data: _bare(b64encode(data, b"-_")),
        lambda text: b64decode(_padded(text, 4), b"-_"),
    ),
    _Base(
        "base64urlpad",
        "U",
        lambda data: b64encode(data, b"-_").decode(),
        lambda text: b64decode(text, b"-_"),
    ),
)
_BASES = {base.name: base for base in _ALL}
_PREFIXES = {base.prefix: base for base in _ALL}
