"""Grenache's messages read back, errors are told from results, garbage is a ProtocolError."""

import pytest
from hypothesis import given, strategies as st

from shoal.errors import ProtocolError, RefusedError, UsageError
from shoal.rpc import grenache

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(key=st.text(max_size=20), payload=json_values)
def test_requests_and_replies_read_back(key: str, payload: object) -> None:
    request = grenache.decode_request(grenache.encode_request("rid", key, payload))
    assert (request.rid, request.key, request.payload) == ("rid", key, payload)
    reply = grenache.decode_reply(grenache.encode_reply("rid", None, payload))
    assert (reply.rid, reply.error, reply.result) == ("rid", None, payload)


def test_what_node_leaves_out_is_none() -> None:
    assert grenache.decode_request('["r","rest:util:net"]').payload is None
    reply = grenache.decode_reply(b'["r","ERR_X"]')
    assert (reply.error, reply.result) == ("ERR_X", None)
    assert grenache.decode_reply(b'["r",{"code":1}]').error == '{"code":1}'


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"[1]", b'["r",7,1]', b"\xff", b"[" * 5000])
def test_garbage_is_a_protocol_error(data: bytes) -> None:
    for decode in (grenache.decode_request, grenache.decode_reply):
        if data != b'["r",7,1]' or decode is grenache.decode_request:
            with pytest.raises(ProtocolError):
                decode(data)


def test_a_grape_s_answers_are_read_by_kind() -> None:
    assert grenache.read_lookup(200, b'["127.0.0.1:1337","tcp://10.0.0.1:5","x",7,"h:0"]') == [
        "127.0.0.1:1337",
        "10.0.0.1:5",
    ]
    assert grenache.read_announce(200, b"2") == 2
    assert grenache.read_put(200, b'"%s"' % (b"a" * 40)) == "a" * 40
    assert grenache.read_get(200, b"") is None
    assert grenache.read_get(200, b'{"v":"hello"}') == {"v": "hello"}
    for garbage in (b'"\xff"', b"[" * 5000):
        with pytest.raises(RefusedError):
            grenache.read_announce(200, garbage)


@pytest.mark.parametrize(
    ("read", "status", "body", "words"),
    [
        (grenache.read_lookup, 200, b'"ERR_GRAPE_LOOKUP"', "ERR_GRAPE_LOOKUP"),
        (grenache.read_announce, 200, b'"No nodes to query"', "No nodes"),
        (grenache.read_put, 200, b'"All queries failed"', "All queries"),
        (grenache.read_put, 301, b'"301 CAS mismatch, re-read and try again"', "301 CAS"),
        (grenache.read_get, 500, b"ERR_GRAPE_PAYLOAD_INVALID", "PAYLOAD_INVALID"),
        (grenache.read_get, 413, b"", "413"),
        (grenache.read_get, 200, b'"ERR_GRAPE_GENERIC"', "GENERIC"),
    ],
)
def test_error_strings_become_errors(read, status, body, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RefusedError, match=words):
        read(status, body)


def test_gzip_both_ways_and_what_is_none_passes() -> None:
    assert grenache.decompress(grenache.compress(b"hello")) == b"hello"
    assert grenache.decompress(b"[1,2]") == b"[1,2]"


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(grenache, "MESSAGE_MAX", 1000)
    with pytest.raises(ProtocolError):
        grenache.decompress(grenache.compress(bytes(5000)))


def test_what_is_no_json_or_too_large_is_our_caller_s_mistake() -> None:
    with pytest.raises(UsageError):
        grenache.encode_request("r", "k", object())
    with pytest.raises(UsageError):
        grenache.encode_question("r", "x" * grenache.PAYLOAD_MAX)
