"""A multihash says which function made it and is checked against data."""

import pytest

from shoal.codec import multihash
from shoal.errors import ProtocolError, UsageError

VECTORS = [  # multiformats/multihash, tests/values/test_cases.csv and README
    (multihash.SHA1, b"multihash", "111488c2f11fb2ce392acb5b2986e640211c4690073e"),
    (
        multihash.SHA2_256,
        b"multihash",
        "12209cbc07c3f991725836a3aa2a581ca2029198aa420b9d99bc0e131d9f3e2cbe47",
    ),
    (multihash.IDENTITY, b"foo", "0003666f6f"),
]


@pytest.mark.parametrize(("code", "data", "expected"), VECTORS)
def test_the_vectors_of_the_specification_hold(code: int, data: bytes, expected: str) -> None:
    encoded = bytes.fromhex(expected)
    assert multihash.digest(code, data) == encoded
    assert multihash.decode(memoryview(encoded)).code == code
    assert multihash.matches(encoded, data)
    assert not multihash.matches(encoded, data + b"?")


@pytest.mark.parametrize("code", multihash._HASHES)
def test_every_function_makes_a_round_trip(code: int) -> None:
    encoded = multihash.digest(code, b"data")
    assert multihash.encode(*multihash.decode(encoded)) == encoded
    assert multihash.matches(encoded, b"data")


def test_sha256_is_the_usual_one() -> None:
    assert multihash.sha256(b"hello") == multihash.digest(multihash.SHA2_256, b"hello")


def test_a_truncated_digest_matches_if_enough_is_left() -> None:
    whole = multihash.decode(multihash.sha256(b"hello")).digest
    enough = multihash.encode(multihash.SHA2_256, whole[: multihash.TRUNCATED_MIN])
    assert multihash.matches(enough, b"hello")
    assert not multihash.matches(enough, b"hallo")
    short = multihash.encode(multihash.SHA2_256, whole[: multihash.TRUNCATED_MIN - 1])
    assert not multihash.matches(short, b"hello")


def test_an_unknown_function_is_kept_but_matches_nothing() -> None:
    encoded = multihash.encode(0x3FFF, b"digest")
    assert multihash.decode(encoded) == (0x3FFF, b"digest")
    assert not multihash.matches(encoded, b"data")


@pytest.mark.parametrize(
    "data",
    ["", "12", "1220", "122000", "111500112233445566778899aabbccddeeff0011223344", "000100ff"],
)
def test_what_is_no_multihash_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        multihash.decode(bytes.fromhex(data))


def test_the_length_of_a_digest_is_bounded() -> None:
    multihash.encode(multihash.IDENTITY, bytes(multihash.DIGEST_MAX))
    with pytest.raises(UsageError, match="too long"):
        multihash.encode(multihash.IDENTITY, bytes(multihash.DIGEST_MAX + 1))
    with pytest.raises(ProtocolError, match="too long"):
        multihash.decode(bytes.fromhex("008101") + bytes(129))


def test_a_function_that_we_lack_is_our_mistake() -> None:
    with pytest.raises(UsageError, match="0x3fff"):
        multihash.digest(0x3FFF, b"")


def test_several_are_read_from_one_buffer() -> None:
    first, second = multihash.sha256(b"a"), multihash.digest(multihash.SHA1, b"b")
    one, at = multihash.decode_prefix(first + second)
    two, end = multihash.decode_prefix(first + second, at)
    assert (one.code, two.code) == (multihash.SHA2_256, multihash.SHA1)
    assert end == len(first + second)
