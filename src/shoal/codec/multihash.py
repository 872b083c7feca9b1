"""Digests that say which hash function made them.

varint(code) ‖ varint(length) ‖ digest.  The code names the function; a digest
shorter than the function's own is a truncated one.

multiformats/multihash; the codes are those of the multicodec table.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from shoal.codec import varint
from shoal.errors import ProtocolError, UsageError

IDENTITY = 0x00  # the digest is the data itself
SHA1 = 0x11
SHA2_256 = 0x12
SHA2_512 = 0x13
SHA3_512 = 0x14
SHA3_256 = 0x16
SHA2_384 = 0x20
BLAKE2B_256 = 0xB220

TRUNCATED_MIN = 20  # bytes; a digest cut shorter proves too little (go-cid's bound)
DIGEST_MAX = 128  # bytes; twice the longest digest in use, and room for inlined data

_HASHES: dict[int, Callable[[bytes | memoryview], bytes]] = {
    SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    SHA2_256: lambda data: hashlib.sha256(data).digest(),
    SHA2_512: lambda data: hashlib.sha512(data).digest(),
    SHA3_512: lambda data: hashlib.sha3_512(data).digest(),
    SHA3_256: lambda data: hashlib.sha3_256(data).digest(),
    SHA2_384: lambda data: hashlib.sha384(data).digest(),
    BLAKE2B_256: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
    IDENTITY: bytes,
}
_LENGTHS = {SHA1: 20, SHA2_256: 32, SHA2_512: 64, SHA3_512: 64, SHA3_256: 32, SHA2_384: 48}
_LENGTHS[BLAKE2B_256] = 32


class Multihash(NamedTuple):
    """Which function, and what it gave."""

    code: int
    digest: bytes


def encode(code: int, digest: bytes) -> bytes:
    if len(digest) > _LENGTHS.get(code, DIGEST_MAX):
        raise UsageError(f"a digest of {len(digest)} bytes is too long for function {code:#x}")
    return varint.encode(code) + varint.encode(len(digest)) + digest


def decode(data: bytes | memoryview) -> Multihash:
    decoded, end = decode_prefix(data)
    if end != len(data):
        raise ProtocolError("bytes after the digest of a multihash")
    return decoded


def decode_prefix(data: bytes | memoryview, offset: int = 0) -> tuple[Multihash, int]:
    """The multihash at `offset`, and where it ends."""
    code, at = varint.decode(data, offset)
    length, at = varint.decode(data, at)
    if length > _LENGTHS.get(code, DIGEST_MAX):
        raise ProtocolError(f"a digest of {length} bytes is too long for function {code:#x}")
    if at + length > len(data):
        raise ProtocolError("multihash is cut short")
    return Multihash(code, bytes(data[at : at + length])), at + length


def digest(code: int, data: bytes | memoryview) -> bytes:
    """The multihash of data by a function that we have."""
    if code not in _HASHES:
        raise UsageError(f"no hash function {code:#x}")
    return encode(code, _HASHES[code](data))


def sha256(data: bytes | memoryview) -> bytes:
    return b"\x12\x20" + hashlib.sha256(data).digest()


def matches(multihash: bytes | memoryview, data: bytes | memoryview) -> bool:
    """Whether this is the multihash of data, or cut off it; no, if we lack the function."""
    code, expected = decode(multihash)
    if code not in _HASHES:
        return False
    whole = _HASHES[code](data)
    enough = code != IDENTITY and len(expected) >= TRUNCATED_MIN
    return whole == expected or (enough and whole.startswith(expected))
