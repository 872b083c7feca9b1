"""What is read and written quickly is what the long way reads and writes."""

import random
import sys

import pytest
from hypothesis import given, strategies as st

from shoal.codec import bencode
from shoal.dht.grape import quick
from shoal.dht.krpc import Message, Query, Response, decode, encode_query, encode_response
from shoal.errors import ProtocolError

IDS = st.binary(min_size=20, max_size=20)
NAMES = st.binary(min_size=1, max_size=60)
TRANSACTIONS = st.one_of(*(st.binary(min_size=size, max_size=size) for size in (1, 2, 4, 8)))
NODES = st.binary(max_size=80)
VALUES = st.lists(st.binary(min_size=6, max_size=6), max_size=5)
TRICKS = st.sampled_from(  # names and tokens that look like the rest of a message
    [b"e1:q9:get_peers1:t2:ab1:y1:qe", b"5:token1:xe1:t4:abcd1:y1:re", b"6:valuesl6:abcdefe", b"e"]
)


def slowly(data: bytes) -> Message | None:
    try:
        return decode(data)
    except ProtocolError:
        return None


def quickly(data: bytes) -> Message | None:
    try:
        return quick.read(data)
    except ProtocolError:
        return None


@given(IDS, st.one_of(NAMES, TRICKS), TRANSACTIONS)
def test_a_question_is_read_as_it_was_written(
    node_id: bytes, name: bytes, transaction: bytes
) -> None:
    query = Query(transaction, b"get_peers", {b"id": node_id, b"info_hash": name})
    data = encode_query(query)
    assert quickly(data) == slowly(data) == query
    if len(transaction) == 4:
        assert quick.write_question(node_id, name, transaction) == data


@given(IDS, st.one_of(NAMES, TRICKS), st.one_of(NAMES, TRICKS), st.integers(0, 99_999))
def test_an_announce_is_read_as_it_was_written(
    node_id: bytes, name: bytes, token: bytes, port: int
) -> None:
    told = {b"implied_port": 0, b"info_hash": name, b"port": port, b"token": token}
    query = Query(b"abcd", b"announce_peer", {b"id": node_id, **told})
    data = encode_query(query)
    assert quick.write_announce(node_id, name, port, token, b"abcd") == data
    assert quickly(data) == slowly(data) == query


@given(IDS, NODES, st.one_of(NAMES, TRICKS), VALUES, TRANSACTIONS)
def test_an_answer_is_written_and_read_as_the_long_way_does(
    node_id: bytes, nodes: bytes, token: bytes, values: list[bytes], transaction: bytes
) -> None:
    told = {b"values": values} if values else {b"nodes": nodes}
    response = Response(transaction, {b"id": node_id, b"token": token, **told})
    data = encode_response(response)
    assert quick.write_answer(node_id, nodes, values, token, transaction) == data
    assert quickly(data) == slowly(data) == response


def test_the_usual_messages_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> Message:
        raise AssertionError("the long way")

    monkeypatch.setattr(quick, "decode", refuse)
    node_id, token = b"i" * 20, b"t" * 8
    assert isinstance(quick.read(quick.write_question(node_id, b"rest", b"abcd")), Query)
    for nodes, values in ((b"n" * 26, []), (b"", []), (b"", [b"v" * 6] * 3)):
        answer = quick.write_answer(node_id, nodes, values, token, b"abcd")
        assert isinstance(quick.read(answer), Response)
    assert isinstance(quick.read(quick.write_done(node_id, b"abcd")), Response)
    assert isinstance(quick.read(quick.write_announce(node_id, b"x", 80, token, b"abcd")), Query)


@given(IDS, TRANSACTIONS)
def test_a_bare_yes_is_written_as_the_long_way_does(node_id: bytes, transaction: bytes) -> None:
    data = encode_response(Response(transaction, {b"id": node_id}))
    assert quick.write_done(node_id, transaction) == data


@given(IDS, st.dictionaries(st.sampled_from([b"nodes", b"token"]), st.one_of(NODES, TRICKS)))
def test_parts_may_be_missing(node_id: bytes, parts: dict[bytes, bytes]) -> None:
    data = encode_response(Response(b"abcd", {b"id": node_id, **parts}))
    assert quickly(data) == slowly(data)


@pytest.mark.parametrize("seed", range(20))
def test_a_message_with_wrong_bytes_is_read_no_other_way(seed: int) -> None:
    rng = random.Random(seed)
    fields = {b"id": b"i" * 20, b"nodes": b"n" * 26, b"token": b"t" * 8, b"values": [b"v" * 6] * 2}
    asked = {b"id": b"i" * 20, b"info_hash": b"rest:util:net"}
    messages = [
        encode_response(Response(b"abcd", fields)),
        encode_query(Query(b"ab", b"get_peers", asked)),
        quick.write_announce(b"i" * 20, b"rest:util:net", 80, b"t" * 8, b"abcd"),
        bencode.encode({b"r": {b"id": b"i" * 20}, b"t": b"abcd", b"y": b"r", b"v": b"x"}),
    ]
    for data in messages:
        assert quickly(data) == slowly(data) is not None
        for _ in range(200):
            broken = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                broken[rng.randrange(len(broken))] = rng.choice(b"0123456789:deil\0")
            if rng.random() < 0.3:
                del broken[rng.randrange(len(broken)) :]
            assert quickly(bytes(broken)) == slowly(bytes(broken))


@pytest.mark.parametrize(
    "unit",
    [b"5:token1:", b"5:token1:x6:valuesl", b"6:valuesl6:aaaaaa", b"4:porti1e5:token1:x", b"1:"],
)
@pytest.mark.parametrize("start", [b"d1:rd2:id20:%b5:nodes60000:", b"d1:ad2:id20:%b9:info_hash9:"])
def test_nothing_is_searched_for(
    start: bytes, unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A datagram full of what its parts begin with costs a few steps, not one for each pair."""
    monkeypatch.setattr(quick, "decode", lambda data: None)  # the long way has tests of its own
    data = (start % bytes(20) + unit * 7000)[:60_000] + b"1:y1:qe"
    steps = 0

    def count(frame: object, event: str, argument: object) -> object:
        nonlocal steps
        steps += event == "line"
        return count

    sys.settrace(count)
    try:
        quickly(data)
    finally:
        sys.settrace(None)
    assert steps < 500
