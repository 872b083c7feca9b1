"""A tracker introduces peers over HTTP and UDP, keeps its index and bounds everybody."""

import asyncio
import random

import pytest

from shoal.discovery import tracker, tracker_udp as udp
from shoal.discovery.index import Index
from shoal.discovery.tracker import Announce, Answer, Counters
from shoal.discovery.tracker_server import ASKED_MAX, SLOT, Tracker, TrackerServer
from shoal.errors import RefusedError, StorageError

HASH = bytes(range(20))
PEER = b"-SH0001-000000000000"


def make(**limits: int) -> Tracker:
    return Tracker(Index(**limits), random.Random(1))


def ask(server: Tracker, host: str, port: int, now: float = 0.0, **words: object) -> Answer:
    announce = Announce(HASH, PEER, port, **words)  # type: ignore[arg-type]
    query = tracker.announce_url("", announce).lstrip("?").encode()
    return tracker.read_answer(server.http("/announce", query, host, now))


def test_two_peers_find_each_other() -> None:
    server = make()
    assert ask(server, "10.0.0.1", 1, left=5).peers == []
    answer = ask(server, "10.0.0.2", 2, event="completed")
    assert answer.peers == [("10.0.0.1", 1)]
    assert answer.counters == Counters(1, 1, 0)
    query = tracker.scrape_url("/announce", HASH).partition("?")[2].encode()
    body = server.http("/scrape", query, "10.0.0.3", 0)
    assert tracker.read_scrape(body, HASH) == Counters(1, 1, 1)


def test_seeds_are_named_to_whom_has_moved_no_byte_even_if_nothing_is_left_to_fetch() -> None:
    server = make()
    ask(server, "10.0.0.1", 1, event="completed")
    assert ask(server, "10.0.0.2", 2, event="started").peers == [("10.0.0.1", 1)]
    assert ask(server, "10.0.0.3", 3, uploaded=1).peers == []


def test_who_says_goodbye_is_named_no_more() -> None:
    server = make()
    ask(server, "10.0.0.1", 1, left=5)
    ask(server, "10.0.0.1", 1, event="stopped")
    assert ask(server, "10.0.0.2", 2, left=1).peers == []


def test_a_full_tracker_and_a_flood_are_refused_in_words() -> None:
    server = make(owners_max=1)
    ask(server, "10.0.0.1", 1, left=5)
    with pytest.raises(RefusedError, match="full"):
        ask(server, "10.0.0.2", 1, left=5)
    for _ in range(ASKED_MAX):
        server.http("/announce", b"", "10.0.0.9", 0)
    assert b"too many" in server.http("/announce", b"", "10.0.0.9", 0)
    assert b"too many" not in server.http("/announce", b"", "10.0.0.9", 11)


def test_a_udp_announce_needs_an_id_of_its_own_address() -> None:
    server = make()
    mine, other = ("10.0.0.1", 9), ("10.0.0.2", 9)
    connection = udp.decode_connected(server.udp(udp.encode_connect(1), mine, 0) or b"")
    announce = udp.encode_announce(connection, 2, Announce(HASH, PEER, 7, left=1))
    assert udp.decode_answer(server.udp(announce, mine, SLOT) or b"").counters.incomplete == 1
    for address, now in ((other, 0.0), (mine, 3 * SLOT)):
        with pytest.raises(RefusedError, match="expired"):
            udp.decode_answer(server.udp(announce, address, now) or b"")
    scrape = udp.encode_scrape(connection, 3, [HASH])
    assert udp.decode_scraped(server.udp(scrape, mine, 0) or b"") == [Counters(0, 1, 0)]
    assert server.udp(b"garbage", mine, 0) is None


def test_what_is_saved_is_there_after_a_restart_with_its_age() -> None:
    server = make()
    ask(server, "10.0.0.1", 1, event="completed")
    again = make()
    again.load(server.save(100.0), 5.0)
    entry = again.index.entries[HASH]
    assert entry.owners["10.0.0.1", 1].seen == -95.0
    assert (entry.complete, entry.downloaded) == (1, 1)


def test_a_broken_or_newer_save_is_told_and_left_alone() -> None:
    for broken in (b"junk", b"\x82\xa7version\x01\xa7entries\x91\x93\xc4\x00\x00\x91\x95\xa1\xff"):
        with pytest.raises(StorageError, match="cannot be read"):
            make().load(broken, 0)
    with pytest.raises(StorageError, match="newer"):
        make().load(b"\x82\xa7version\x63\xa7entries\x90", 0)


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


class Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.replies: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.replies.put_nowait(data)


def test_it_answers_over_real_sockets() -> None:
    async def main() -> None:
        async with TrackerServer(make()) as server:
            announce = Announce(HASH, PEER, 7, left=1)
            body = await get(server.port, tracker.announce_url("/announce", announce))
            assert tracker.read_answer(body).counters.incomplete == 1
            assert b"shoal_tracker_peers 1" in await get(server.port, "/metrics")
            transport, asker = await asyncio.get_running_loop().create_datagram_endpoint(
                Asker, remote_addr=("127.0.0.1", server.port)
            )
            transport.sendto(udp.encode_connect(5))
            async with asyncio.timeout(5):
                assert udp.decode_connected(await asker.replies.get())
            transport.close()

    asyncio.run(main())
