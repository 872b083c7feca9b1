"""KRPC messages are read as programs in the field write them, and written as BEP 5 says."""

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.codec import bencode
from shoal.dht.krpc import (
    NODES_MAX,
    VALUES_MAX,
    Query,
    Refusal,
    Response,
    Seen,
    decode,
    encode_query,
    encode_refusal,
    encode_response,
    pack_address,
    pack_host,
    pack_nodes,
    unpack_address,
    unpack_host,
    unpack_nodes,
    unpack_values,
)
from shoal.dht.table import Contact
from shoal.errors import ProtocolError

ASKER = b"abcdefghij0123456789"
OTHER = b"mnopqrstuvwxyz123456"

BEP5 = [  # the examples of BEP 5
    (
        b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
        Query(b"aa", b"ping", {b"id": ASKER}),
    ),
    (
        b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa"
        b"1:y1:qe",
        Query(b"aa", b"find_node", {b"id": ASKER, b"target": OTHER}),
    ),
    (
        b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz123456"
        b"4:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
        Query(
            b"aa",
            b"announce_peer",
            {
                b"id": ASKER,
                b"implied_port": 1,
                b"info_hash": OTHER,
                b"port": 6881,
                b"token": b"aoeusnth",
            },
        ),
    ),
    (
        b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
        Response(b"aa", {b"id": ASKER, b"token": b"aoeusnth", b"values": [b"axje.u", b"idhtnm"]}),
    ),
    (
        b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
        Refusal(b"aa", 201, "A Generic Error Ocurred"),
    ),
]


@pytest.mark.parametrize(("data", "message"), BEP5)
def test_the_examples_of_bep_5(data: bytes, message: Query | Response | Refusal) -> None:
    assert decode(data) == message
    encode = {Query: encode_query, Response: encode_response, Refusal: encode_refusal}
    assert encode[type(message)](message) == data  # type: ignore[operator]


def test_read_only_version_and_our_address_travel() -> None:
    query = Query(b"t", b"ping", {b"id": ASKER}, read_only=True)
    assert decode(encode_query(query, b"SH01")) == query
    assert b"2:roi1e" in encode_query(query)
    response = Response(b"t", {b"id": ASKER}, pack_address(("1.2.3.4", 5)))
    assert decode(encode_response(response, b"SH01")) == response


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"i1e",
        b"le",
        b"de",
        b"d1:y1:xe",
        b"d1:t2:aae",
        b"d1:y1:re",
        b"d1:rle1:y1:re",
        b"d1:y1:qe garbage",
        b"d1:ad2:id20:short",
        b"d" * 5000,
        b"d1:a" * 5000,
    ],
)
def test_what_is_no_message_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"d1:y1:qe", Query(b"", None, None)),
        (b"d1:y1:q1:ti5e1:q4:pinge", Query(b"", b"ping", None)),
        (b"d1:ale1:qi3e1:y1:qe", Query(b"", None, None)),
        (b"d1:y1:q1:t0:1:ad2:id3:abce1:q1:xe", Query(b"", b"x", {b"id": b"abc"})),
        (b"d1:t1:x1:y1:ee", Refusal(b"x", 201)),
        (b"d1:ei5e1:t1:x1:y1:ee", Refusal(b"x", 201)),
        (b"d1:eli203ee1:t1:x1:y1:ee", Refusal(b"x", 203)),
        (b"d1:eli203e2:\xff\xfee1:rde1:t1:x1:y1:ee", Refusal(b"x", 203, "\ufffd\ufffd")),
    ],
)
def test_what_is_lacking_in_a_message_is_told_apart(data: bytes, message: Query) -> None:
    assert decode(data) == message


KINDS = (Query, Response, Refusal, type(None))  # a message, or none


@given(st.binary(max_size=300))
def test_garbage_raises_only_protocol_errors(data: bytes) -> None:
    for message in (data, b"d" + data, b"d1:rd" + data, b"d1:ad2:id20:" + data):
        assert isinstance(attempt(decode, message), KINDS)


Bencodable = st.recursive(
    st.integers(-(2**63), 2**63) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=8), inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(fields=st.dictionaries(st.sampled_from([b"a", b"q", b"t", b"y", b"r", b"e"]), Bencodable))
def test_dictionaries_of_the_wrong_shape_raise_only_protocol_errors(
    fields: dict[bytes, object],
) -> None:
    for kind in (b"q", b"r", b"e"):
        data = bencode.encode({**fields, b"y": kind})  # type: ignore[dict-item]
        assert isinstance(attempt(decode, data), KINDS)


def test_hosts_and_addresses_in_compact_form() -> None:
    assert pack_address(("1.2.3.4", 0x1A0B)) == bytes([1, 2, 3, 4, 0x1A, 0x0B])
    assert unpack_address(bytes([1, 2, 3, 4, 0x1A, 0x0B])) == ("1.2.3.4", 0x1A0B)
    assert unpack_host(pack_host("2001:db8::1")) == "2001:db8::1"
    assert pack_host("::ffff:1.2.3.4") == bytes([1, 2, 3, 4])
    assert pack_host("fe80::1%eth0") == pack_host("fe80::1")
    for bad in (b"", bytes(5), bytes(7), bytes([1, 2, 3, 4, 0, 0])):
        with pytest.raises(ProtocolError):
            unpack_address(bad)
    for text in ("", "router", "1.2.3", "1.2.3.999", "::g"):
        with pytest.raises(ProtocolError):
            pack_host(text)


@pytest.mark.parametrize("host", ["9.8.7.6", "2001:db8::77"])
def test_nodes_round_trip_and_a_cut_off_end_is_left_out(host: str) -> None:
    size = len(pack_host(host)) + 2
    contacts = [Contact(0, bytes([n]) * 20, (host, 1000 + n)) for n in range(1, 9)]
    packed = pack_nodes(contacts)
    assert len(packed) == 8 * (20 + size)
    expected = [(contact.id, contact.address) for contact in contacts]
    assert list(unpack_nodes(packed, size)) == expected
    assert list(unpack_nodes(packed[:-1], size)) == expected[:-1]
    for nothing in (None, 5, [], b"", b"x" * 25):
        assert list(unpack_nodes(nothing, size)) == []


def test_nodes_and_peers_of_an_answer_are_limited_and_port_0_is_left_out() -> None:
    node = bytes(20) + bytes([1, 2, 3, 4, 0, 9])
    assert len(list(unpack_nodes(node * 2000, 6))) == NODES_MAX
    assert list(unpack_nodes(bytes(26), 6)) == []
    values = [bytes([1, 2, number >> 8, number & 255, 0, 9]) for number in range(2000)]
    assert len(unpack_values(values)) == VALUES_MAX
    mixed = [b"\1\2\3\4\0\5", bytes(6), 7, [], b"short", bytes(16) + b"\0\5", b"\1\2\3\4\0\5"]
    assert unpack_values(mixed) == [("1.2.3.4", 5), ("::", 5)]
    assert unpack_values(b"no list") == []


def test_our_address_is_what_most_say() -> None:
    seen = Seen(5)
    assert [seen.vote("1.1.1.1", voter) for voter in range(4)] == [None] * 4
    assert seen.vote("1.1.1.1", 3) is None  # one voter has one vote
    assert seen.vote("6.6.6.6", 4) == "1.1.1.1"
    for voter in range(100, 130):
        latest = seen.vote("2.2.2.2", voter)
    assert latest == "2.2.2.2"
    assert sum(map(len, seen.votes.values())) <= 21
