"""A varint is short, has one form, and may arrive a byte at a time."""

import pytest

from shoal.codec import varint
from shoal.codec.buffer import Buffer
from shoal.errors import ProtocolError, UsageError

VECTORS = {  # the examples of multiformats/unsigned-varint
    1: "01",
    127: "7f",
    128: "8001",
    255: "ff01",
    300: "ac02",
    16384: "808001",
    (1 << 63) - 1: "ffffffffffffffff7f",
}


@pytest.mark.parametrize(("number", "encoded"), VECTORS.items())
def test_the_vectors_of_the_specification_hold(number: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert varint.encode(number) == data
    assert varint.decode(data) == (number, len(data))
    assert varint.decode(b"??" + memoryview(data) + b"?", 2) == (number, 2 + len(data))


def test_every_boundary_makes_a_round_trip() -> None:
    for bits in range(63):
        for number in ((1 << bits) - 1, 1 << bits, (1 << bits) + 1):
            assert varint.decode(varint.encode(number))[0] == number


def test_an_incomplete_varint_is_none_and_then_a_number() -> None:
    data = varint.encode((1 << 63) - 1)
    for end in range(len(data)):
        assert varint.try_decode(data[:end]) is None
        with pytest.raises(ProtocolError, match="cut short"):
            varint.decode(data[:end])
    assert varint.try_decode(data) == ((1 << 63) - 1, 9)


@pytest.mark.parametrize("data", ["8000", "ff00", "ffffffffffffffff00"])
def test_a_longer_form_than_needed_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError, match="longer than it needs"):
        varint.decode(bytes.fromhex(data))


def test_more_than_nine_bytes_are_refused() -> None:
    with pytest.raises(ProtocolError, match="over 63 bits"):
        varint.try_decode(b"\xff" * 9)
    with pytest.raises(ProtocolError, match="over 63 bits"):
        varint.decode(b"\xff" * 9 + b"\x01")


@pytest.mark.parametrize("number", [-1, 1 << 63])
def test_a_number_out_of_range_is_our_mistake(number: int) -> None:
    with pytest.raises(UsageError):
        varint.encode(number)


def test_frames_come_whole_when_bytes_come_one_by_one() -> None:
    messages = [b"", b"a", b"b" * 200]
    buffer = Buffer(limit=300)
    taken = []
    for byte in b"".join(map(varint.encode_frame, messages)):
        buffer.append(bytes((byte,)))
        while (frame := varint.take_frame(buffer, most=200)) is not None:
            taken.append(frame)
    assert taken == messages


def test_a_frame_that_is_too_long_is_refused_before_it_arrives() -> None:
    buffer = Buffer(limit=300)
    buffer.append(varint.encode(201))
    with pytest.raises(ProtocolError, match="at most 200"):
        varint.take_frame(buffer, most=200)
