"""Bencoding has one form for a value; we write that one and read no other."""

from enum import IntEnum
from types import MappingProxyType

import pytest
from hypothesis import given, strategies as st

from shoal.codec import bencode
from shoal.errors import ProtocolError, UsageError

VECTORS = [  # the examples of BEP 3 and BEP 5
    (b"4:spam", b"spam"),
    (b"0:", b""),
    (b"i3e", 3),
    (b"i-3e", -3),
    (b"i0e", 0),
    (b"l4:spam4:eggse", [b"spam", b"eggs"]),
    (b"d3:cow3:moo4:spam4:eggse", {b"cow": b"moo", b"spam": b"eggs"}),
    (b"d4:spaml1:a1:bee", {b"spam": [b"a", b"b"]}),
    (b"le", []),
    (b"de", {}),
    (
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
        {b"a": {b"id": b"abcdefghij0123456789"}, b"q": b"ping", b"t": b"aa", b"y": b"q"},
    ),
]
BAD = [
    b"",
    b"i",
    b"ie",
    b"i-e",
    b"i1",
    b"i+1e",
    b"i 1e",
    b"i1_0e",
    b"i1.0e",
    b"i--1e",
    b"i\xb2e",
    b"1",
    b"1:",
    b"-1:a",
    b"+1:a",
    b"5:spam",
    b"1_0:aaaaaaaaaa",
    b"l",
    b"li1e",
    b"d",
    b"d1:a",
    b"d1:ai1e",
    b"di1ei1ee",
    b"d1:ae",
    b"dle1:ae",
    b"e",
    b"x",
    b" i1e",
    b"99999999999999999999:",
    b"i%de" % 10**21,
    b"%d:" % 10**21,
]
SLOPPY = [
    (b"i00e", 0),
    (b"i-0e", 0),
    (b"i-01e", -1),
    (b"i01e", 1),
    (b"01:a", b"a"),
    (b"00:", b""),
    (b"d1:b0:1:a0:e", {b"a": b"", b"b": b""}),
    (b"d1:ai1e1:ai2ee", {b"a": 2}),
]
VALUES = st.recursive(
    st.binary(max_size=120) | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.binary(max_size=12), inner),
)


@pytest.mark.parametrize(("data", "value"), VECTORS)
def test_the_vectors_of_the_specification_hold(data: bytes, value: bencode.Value) -> None:
    assert bencode.decode(data) == value
    assert bencode.decode(memoryview(data), lenient=True) == value
    assert bencode.encode(value) == data


@pytest.mark.slow
@given(value=VALUES)
def test_every_value_makes_a_round_trip(value: bencode.Value) -> None:
    assert bencode.decode(bencode.encode(value)) == value


@pytest.mark.parametrize("data", BAD)
@pytest.mark.parametrize("lenient", [False, True])
def test_what_is_no_value_is_refused(data: bytes, lenient: bool) -> None:
    with pytest.raises(ProtocolError):
        bencode.decode(data, lenient=lenient)


@pytest.mark.parametrize(("data", "value"), SLOPPY)
def test_a_second_form_of_a_value_is_only_read_leniently(data: bytes, value: object) -> None:
    with pytest.raises(ProtocolError):
        bencode.decode(data)
    assert bencode.decode(data, lenient=True) == value


@pytest.mark.slow
@given(value=VALUES)
def test_a_value_that_is_cut_short_is_refused(value: bencode.Value) -> None:
    data = bencode.encode(value)
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            bencode.decode(data[:end])


def test_the_end_of_a_value_is_told() -> None:
    message = b"d8:msg_typei1e5:piecei0eepayload"
    value, end = bencode.decode_prefix(message)
    assert value == {b"msg_type": 1, b"piece": 0}
    assert message[end:] == b"payload"
    assert bencode.decode_prefix(message, end - 4) == (0, end - 1)
    with pytest.raises(ProtocolError, match="after the end"):
        bencode.decode(message)


def test_the_bytes_of_a_value_are_kept_as_they_were_sent() -> None:
    data = b"d1:rd1:v3:abc2:idi7ee1:ad1:zi1e1:yi2eee"
    assert bencode.raw(data, b"a", lenient=True) == b"d1:zi1e1:yi2ee"
    assert bencode.raw(data, b"r", b"v", lenient=True) == b"3:abc"
    assert bencode.raw(b"d4:infod1:ai1eee", b"info") == b"d1:ai1ee"
    with pytest.raises(ProtocolError):
        bencode.raw(data, b"a")
    with pytest.raises(ProtocolError, match="no key"):
        bencode.raw(data, b"x", lenient=True)
    with pytest.raises(ProtocolError, match="not a dictionary"):
        bencode.raw(b"d1:ai1ee", b"a", b"b")


def test_depth_is_bounded() -> None:
    deep = b"l" * bencode.DEPTH_MAX + b"e" * bencode.DEPTH_MAX
    assert bencode.encode(bencode.decode(deep)) == deep
    with pytest.raises(ProtocolError, match="levels"):
        bencode.decode(b"l" + deep + b"e")
    with pytest.raises(ProtocolError, match="levels"):
        bencode.decode(b"d1:a" * 10_000)
    with pytest.raises(UsageError, match="levels"):
        bencode.encode([bencode.decode(deep)])


@pytest.mark.slow
def test_the_number_of_values_is_bounded() -> None:
    with pytest.raises(ProtocolError, match="values"):
        bencode.decode(b"l" + b"i0e" * bencode.COUNT_MAX + b"e")


@pytest.mark.parametrize("value", [None, 1.5, "text", [{}, {"key": 1}], {1: 2}, {b"a": None}])
def test_a_value_without_a_form_is_our_mistake(value: object) -> None:
    with pytest.raises(UsageError):
        bencode.encode(value)  # type: ignore[arg-type]


def test_keys_are_sorted_as_raw_bytes() -> None:
    assert bencode.encode({b"b": 1, b"\xff": 2, b"B": 3, b"": 4, b"ab": 5}) == (
        b"d0:i4e1:Bi3e2:abi5e1:bi1e1:\xffi2ee"
    )


def test_views_arrays_and_tuples_are_written_like_their_kin() -> None:
    assert bencode.encode((bytearray(b"a"), memoryview(b"b"))) == b"l1:a1:be"


def test_truths_enumerations_and_other_mappings_are_written_like_their_kin() -> None:
    class Kind(IntEnum):
        REPLY = 1

    class Key(bytes):
        pass

    assert bencode.encode([True, Kind.REPLY, MappingProxyType({b"a": False}), Key(b"k")]) == (
        b"li1ei1ed1:ai0ee1:ke"
    )


def test_a_string_that_needs_a_long_header_makes_a_round_trip() -> None:
    for length in (9, 10, 255, 256, 100_000):
        assert bencode.decode(bencode.encode(bytes(length))) == bytes(length)
