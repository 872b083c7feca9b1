"""What trackers, their clients and neighbours on a LAN can be told."""

from random import Random

from shoal.discovery import dns, lsd, mdns, tracker, tracker_udp
from shoal.discovery.compact import V6_SIZE, unpack
from shoal.discovery.dns import PTR, Record
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
_PEER_NAME = f"abc.{mdns.PEERS}"
_OFFER = mdns.about(_PEER_NAME, ("/ip4/1.2.3.4/tcp/5", "/ip6/::1/tcp/5"))
MDNS = (
    dns.encode_query(mdns.PEERS, [_PEER_NAME, "other.local"], 60),
    dns.encode_response([Record(mdns.PEERS, PTR, 120, _PEER_NAME)], _OFFER),
    bytes.fromhex("000000000001000000000000045f703270045f756470056c6f63616c00000c0001"),
    b"\0\0\x84\0\0\0\0\2\0\0\0\0\1a\0\0\x0c\0\1\0\0\0x\0\4\1b\xc0\x0c\xc0\x0c\0\x0c\0\1\0\0\0x\0\2\xc0\x19",
)
LSD = (
    lsd.encode(lsd.GROUPS[0], 6881, [_HASH], "7179b12f"),
    lsd.encode(lsd.GROUPS[1], 6881, [_HASH, bytes(20)], ""),
)


def mdns_node(data: Bytes) -> None:
    """The decoder, then a node that seeks and answers."""
    node = mdns.Mdns(Random(1))
    node.offer(mdns.PEERS, ["/ip4/1.2.3.4/tcp/5"], 0.0)
    node.seek(mdns.PEERS, 0.0)
    node.receive(bytes(data), "1.2.3.4", 1.0)
    node.tick(2.0)
    dns.decode(data)


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
