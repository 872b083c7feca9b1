"""HTTP trackers: what real clients and trackers send is read, what we send they can read."""

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.codec import bencode
from shoal.discovery import tracker
from shoal.discovery.compact import PEERS_MAX, V6_SIZE, pack, unpack
from shoal.discovery.tracker import Announce, Answer, Counters
from shoal.errors import ProtocolError, RefusedError

HASH = bytes(range(200, 220))
PEER = b"-SH0001-000000000000"

addresses = st.lists(
    st.tuples(st.ip_addresses(v=4).map(str), st.integers(1, 65535)), max_size=20, unique=True
)


def test_an_announce_reads_back_from_its_own_url() -> None:
    sent = Announce(HASH, PEER, 7003, 1, 2, 100000, "started", 50, 0xE30CF989)
    url = tracker.announce_url("http://t.example/announce?pass=x", sent)
    assert url.startswith("http://t.example/announce?pass=x&info_hash=%C8%C9")
    assert tracker.read_query(url.partition("?")[2].encode()) == sent


def test_the_queries_of_libtorrent_and_aria2_are_read() -> None:
    escaped = "".join(f"%{byte:02x}" for byte in HASH)
    libtorrent = (
        f"info_hash={escaped}&peer_id=-LT2110-abcdefghijkl&port=7003&uploaded=0&downloaded=0"
        "&left=100000&corrupt=0&key=E30CF989&event=started&numwant=200&compact=1&no_peer_id=1"
        "&supportcrypto=1&redundant=0"
    )
    announce = tracker.read_query(libtorrent.encode())
    assert (announce.info_hash, announce.left, announce.event) == (HASH, 100000, "started")
    aria2 = (
        f"info_hash={escaped.upper()}&peer_id=A2-1-36-0-abcdefghij&uploaded=0&downloaded=0&left=0"
        "&compact=1&key=cdefghij&numwant=50&no_peer_id=1&port=7010&event=started&supportcrypto=1"
    )
    assert tracker.read_query(aria2.encode()).key == int.from_bytes(b"cdefghij", "big")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (b"", "info_hash"),
        (b"info_hash=abc", "info_hash"),
        (b"info_hash=" + b"a" * 20 + b"&peer_id=x", "peer_id"),
        (b"info_hash=" + b"a" * 20 + b"&peer_id=" + b"b" * 20 + b"&port=70000", "port"),
        (b"info_hash=" + b"a" * 20 + b"&peer_id=" + b"b" * 20 + b"&port=1&left=-1", "left"),
        (b"x" * (tracker.QUERY_MAX + 1), "too long"),
    ],
)
def test_a_bad_announce_is_refused_with_the_reason(query: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        tracker.read_query(query)


@pytest.mark.slow
@given(peers=addresses, interval=st.integers(60, 7200))
def test_an_answer_reads_back(peers: list[tuple[str, int]], interval: int) -> None:
    answer = Answer(peers, interval, Counters(3, 4, 0))
    assert tracker.read_answer(tracker.encode_answer(answer)) == answer
    assert tracker.read_answer(tracker.encode_answer(answer, compact=False)) == answer


def test_an_answer_of_the_javascript_tracker_is_read() -> None:
    body = (
        b"d8:completei1e10:incompletei1e8:intervali600e5:peers6:\x7f\x00\x00\x01\x1b\x5b6:peers60:e"
    )
    answer = tracker.read_answer(body)
    assert answer.peers == [("127.0.0.1", 7003)]
    assert answer.interval == 600


def test_peers_of_both_families_and_the_long_form_are_read() -> None:
    six = pack([("::1", 5)], V6_SIZE)
    assert tracker.read_answer(bencode.encode({b"peers": b"", b"peers6": six})).peers == [
        ("::1", 5)
    ]
    long = [{b"ip": b"10.0.0.1", b"port": 1}, {b"ip": b"example.com", b"port": 1}, 7, {b"port": 9}]
    assert tracker.read_answer(bencode.encode({b"peers": long})).peers == [("10.0.0.1", 1)]


def test_an_interval_of_zero_becomes_a_minute_and_a_year_a_day() -> None:
    assert tracker.read_answer(b"d8:intervali0e5:peers0:e").interval == tracker.INTERVAL_MIN
    assert tracker.read_answer(b"d8:intervali31536000ee").interval == tracker.INTERVAL_MAX
    assert tracker.read_answer(b"de").interval == tracker.INTERVAL


def test_a_failure_carries_the_words_of_the_tracker() -> None:
    with pytest.raises(RefusedError, match="not registered"):
        tracker.read_answer(tracker.encode_failure("torrent not registered"))


@pytest.mark.parametrize("body", [b"", b"<html>", b"le", b"d5:peersi7ee", b"d5:peers5:12345e"])
def test_garbage_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        tracker.read_answer(body)


@given(st.binary(max_size=200))
def test_any_bytes_raise_protocol_errors_only(data: bytes) -> None:
    readers = {
        tracker.read_answer: tracker.Answer,
        tracker.read_query: tracker.Announce,
        tracker.read_scrape_query: list,
    }
    for read, kind in readers.items():
        assert isinstance(attempt(read, data), kind | None)


def test_the_scrape_url_replaces_the_last_path_part() -> None:
    assert tracker.scrape_url("http://t/x/announce.php?k=1", b"a" * 20) == (
        "http://t/x/scrape.php?k=1&info_hash=aaaaaaaaaaaaaaaaaaaa"
    )
    assert tracker.scrape_url("http://t/a", HASH) is None


def test_a_scrape_reads_back_even_with_one_mangled_key() -> None:
    body = tracker.encode_scrape({HASH: Counters(1, 2, 3)})
    assert tracker.read_scrape(body, HASH) == Counters(1, 2, 3)
    assert tracker.read_scrape(body, b"b" * 20) == Counters(1, 2, 3)
    assert tracker.read_scrape(b"d5:filesdee", HASH) == Counters()
    assert tracker.read_scrape_query(b"info_hash=" + b"a" * 20) == [b"a" * 20]


def test_a_list_of_peers_is_cut_and_port_zero_left_out() -> None:
    assert len(unpack(b"\x01\x02\x03\x04\x00\x05" * (PEERS_MAX + 1))) == PEERS_MAX
    assert unpack(bytes(6)) == []
    with pytest.raises(ProtocolError):
        unpack(bytes(5))
