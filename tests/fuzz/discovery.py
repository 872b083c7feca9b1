"""What trackers and their clients can be told, over HTTP and UDP."""

from shoal.discovery import tracker, tracker_udp
from shoal.discovery.compact import V6_SIZE, unpack
from shoal.discovery.tracker import Announce, Answer, Counters

Bytes = bytes | memoryview

_HASH, _PEER = b"\xff\x00 abcdefghijk&=+%67", b"-XX0000-abcdefghij\x00\xfe"
_ANNOUNCE = Announce(_HASH, _PEER, 6881, 1, 2, 3, "started", 50, 0xABCD)
_ANSWER = Answer([("1.2.3.4", 5), ("::1", 6)], 1800, Counters(1, 2, 3))
_URL = tracker.announce_url("http://t/announce", _ANNOUNCE, b"id")

QUERIES = (_URL.partition("?")[2].encode(),)
SCRAPES = (b"info_hash=%FF" + b"a" * 19 + b"&info_hash=" + b"b" * 20,)
ANSWERS = (
    tracker.encode_answer(_ANSWER),
    tracker.encode_answer(_ANSWER, compact=False),
    tracker.encode_failure("no"),
    b"d8:intervali0e12:min intervali60e5:peers0:10:tracker id2:ab15:warning message1:we",
)
SCRAPED = (tracker.encode_scrape({_HASH: Counters(1, 2, 3)}),)
UDP_REQUESTS = (
    tracker_udp.encode_connect(7),
    tracker_udp.encode_announce(1, 7, _ANNOUNCE, "/announce?key=1"),
    tracker_udp.encode_scrape(1, 7, [_HASH, _HASH]),
)
UDP_REPLIES = (
    tracker_udp.encode_connected(7, 1),
    tracker_udp.encode_answer(7, _ANSWER),
    tracker_udp.encode_answer(7, _ANSWER, v6=True),
    tracker_udp.encode_scraped(7, [Counters(1, 2, 3)]),
    tracker_udp.encode_error(7, "no"),
)
ADDRESSES = (bytes(range(1, 37)), bytes(36))


def query(data: Bytes) -> None:
    tracker.read_query(bytes(data))


def scrape_query(data: Bytes) -> None:
    tracker.read_scrape_query(bytes(data))


def answer(data: Bytes) -> None:
    tracker.read_answer(bytes(data))


def scraped(data: Bytes) -> None:
    tracker.read_scrape(bytes(data), _HASH)


def udp_request(data: Bytes) -> None:
    tracker_udp.decode_request(bytes(data))


def udp_reply(data: Bytes) -> None:
    """Each reply is read as what its action says it is, of both families by turns."""
    data = bytes(data)
    tracker_udp.transaction_of(data)
    if data[3:4] == b"\0":
        tracker_udp.decode_connected(data)
    elif data[3:4] == b"\2":
        tracker_udp.decode_scraped(data)
    else:
        tracker_udp.decode_answer(data, v6=len(data) % 2 == 1)


def addresses(data: Bytes) -> None:
    unpack(bytes(data), V6_SIZE if len(data) % 4 == 0 else 6)
