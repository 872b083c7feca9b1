"""A buffer gives back what came, in order, and refuses to grow over its limit."""

import random

import pytest

from shoal.codec.buffer import COMPACT, Buffer
from shoal.errors import ProtocolError, UsageError


def test_what_went_in_comes_out_in_any_portions() -> None:
    rng = random.Random(1)
    sent = rng.randbytes(200_000)
    buffer = Buffer(limit=3 * COMPACT)
    at = 0
    taken = b""
    while len(taken) < len(sent):
        size = rng.randrange(COMPACT)
        if len(buffer) + size <= buffer.limit:
            buffer.append(memoryview(sent)[at : at + size])
            at += size
        taken += buffer.take(rng.randrange(COMPACT)) or b""
        if at >= len(sent):
            taken += buffer.take_all()
    assert taken == sent


def test_peeking_leaves_the_bytes() -> None:
    buffer = Buffer(limit=10)
    buffer.append(b"abc")
    assert buffer.peek() == b"abc"
    assert buffer.peek(2) == b"ab"
    assert buffer.peek(9) == b"abc"
    assert len(buffer) == 3


def test_taking_waits_for_all_bytes() -> None:
    buffer = Buffer(limit=10)
    buffer.append(b"ab")
    assert buffer.take(3) is None
    buffer.append(b"c")
    assert buffer.take(3) == b"abc"
    assert len(buffer) == 0


def test_a_line_is_taken_without_its_end() -> None:
    buffer = Buffer(limit=20)
    buffer.append(b"GET /\r")
    assert buffer.take_until(b"\r\n") is None
    buffer.append(b"\nrest")
    assert buffer.take_until(b"\r\n") == b"GET /"
    assert buffer.take_all() == b"rest"


def test_more_than_the_limit_is_refused_and_what_was_there_stays() -> None:
    buffer = Buffer(limit=4)
    buffer.append(b"abcd")
    with pytest.raises(ProtocolError, match="more than 4"):
        buffer.append(b"e")
    assert buffer.take(4) == b"abcd"
    buffer.append(b"efgh")
    assert buffer.peek() == b"efgh"


def test_a_negative_count_is_our_mistake() -> None:
    buffer = Buffer(limit=4)
    with pytest.raises(UsageError):
        buffer.take(-1)
    with pytest.raises(UsageError):
        buffer.peek(-1)
