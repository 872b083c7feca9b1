"""UDP trackers: the bytes of libtorrent and opentracker, lost datagrams, liars."""

import random

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.discovery import tracker_udp as udp
from shoal.discovery.tracker import Announce, Answer, Counters
from shoal.errors import ProtocolError, RefusedError

HASH = bytes.fromhex("26e55a2595cfdc9fc2ac897a81af772b9119c509")
PEER = b"-LT2110-000000000000"


def test_the_connect_request_is_the_specifications() -> None:
    assert udp.encode_connect(7).hex() == "000004172710198000000000" + "00000007"
    assert udp.decode_request(udp.encode_connect(7)) == udp.Request(udp.MAGIC, 0, 7)


def test_the_announce_of_libtorrent_is_read_and_written() -> None:
    """Left 100000, started, 200 wanted, port 7003, the URL option without an end byte."""
    tail = "000000000000000000000000000186a000000000000000000000000200000000"
    tail += "e30cf989000000c81b5b02162f616e6e6f756e63653f783d3126706173733d616263"
    data = bytes.fromhex("010203040506070800000001aa1c36fc") + HASH + PEER + bytes.fromhex(tail)
    request = udp.decode_request(data)
    announce = Announce(HASH, PEER, 7003, left=100000, event="started", key=0xE30CF989)
    assert request.announce == announce
    assert request.url == "/announce?x=1&pass=abc"
    assert len(data) == 122
    assert udp.encode_announce(0x0102030405060708, 0xAA1C36FC, announce, request.url) == data


def test_a_long_url_travels_in_several_options() -> None:
    url = "/announce?" + "k" * 600
    data = udp.encode_announce(1, 2, Announce(HASH, PEER, 1), url)
    assert udp.decode_request(data).url == url
    assert udp.decode_request(data + b"\x01\x00junk").url == url


def test_answers_of_both_families_read_back() -> None:
    four = Answer([("1.2.3.4", 5)], 900, Counters(1, 2))
    assert udp.decode_answer(udp.encode_answer(9, four)) == four
    six = Answer([("2001:db8::1", 5)], 900, Counters(1, 2))
    assert udp.decode_answer(udp.encode_answer(9, six, v6=True), v6=True) == six
    counters = [Counters(1, 2, 3), Counters(4, 5, 6)]
    assert udp.decode_scraped(udp.encode_scraped(9, counters)) == counters
    assert udp.decode_request(udp.encode_scrape(1, 2, [HASH])).hashes == (HASH,)


def test_the_stale_id_error_of_opentracker_is_told() -> None:
    data = bytes.fromhex("0000000301020307") + b"Connection ID missmatch.\0"
    with pytest.raises(RefusedError, match="missmatch"):
        udp.decode_answer(data)


@pytest.mark.parametrize(
    "data",
    [b"", bytes(8), bytes.fromhex("0000000100000001"), bytes.fromhex("0000000200000001")],
)
def test_short_and_wrong_replies_are_protocol_errors(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        udp.decode_answer(data)
    with pytest.raises(ProtocolError):
        udp.decode_connected(data)


@given(st.binary(max_size=150))
def test_any_bytes_raise_protocol_errors_only(data: bytes) -> None:
    readers = {
        udp.decode_request: udp.Request,
        udp.decode_answer: object,
        udp.decode_scraped: object,
        udp.decode_connected: object,
    }
    for read, kind in readers.items():
        found = attempt(read, data)
        assert found is None or (isinstance(found, kind) and len(data) >= 8)


def begin(question: Announce | list[bytes]) -> udp.Conversation:
    talk = udp.Conversation(question, random.Random(1))
    talk.start(0.0)
    return talk


def take(talk: udp.Conversation) -> udp.Request:
    (data,) = talk.out
    talk.out.clear()
    return udp.decode_request(data)


def test_a_conversation_connects_and_then_announces() -> None:
    talk = begin(Announce(HASH, PEER, 1))
    talk.receive(udp.encode_connected(take(talk).transaction, 77), 0.1)
    request = take(talk)
    assert (request.connection, request.action) == (77, udp.ANNOUNCE)
    talk.receive(udp.encode_answer(request.transaction ^ 1, Answer()), 0.2)  # a stranger's
    assert talk.result is None
    talk.receive(udp.encode_answer(request.transaction, Answer([("1.2.3.4", 5)])), 0.2)
    assert isinstance(talk.result, Answer)
    assert talk.result.peers == [("1.2.3.4", 5)]
    assert (talk.connection, talk.deadline) == (77, None)


def test_a_living_connection_id_saves_the_first_round_trip() -> None:
    talk = udp.Conversation([HASH], random.Random(1))
    talk.start(0.0, connection=5)
    request = take(talk)
    assert (request.connection, request.action) == (5, udp.SCRAPE)
    talk.receive(udp.encode_scraped(request.transaction, [Counters(1, 2, 3)]), 0.2)
    assert talk.result == [Counters(1, 2, 3)]


def test_lost_datagrams_are_sent_again_ever_more_slowly_and_then_given_up() -> None:
    talk = begin(Announce(HASH, PEER, 1))
    times = []
    while talk.deadline is not None:
        times.append(talk.deadline)
        talk.tick(talk.deadline)
    assert [later - sooner for sooner, later in zip([0.0, *times], times, strict=False)] == [
        udp.TIMEOUT * 2**each for each in range(udp.TRIES_MAX)
    ]
    assert talk.failed
    assert len(talk.out) == udp.TRIES_MAX


def test_a_tick_before_the_deadline_does_nothing() -> None:
    talk = begin([HASH])
    talk.tick(1.0)
    assert len(talk.out) == 1
