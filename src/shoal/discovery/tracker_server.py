"""A tracker: HTTP and UDP before one central index.

`Tracker` turns a request's bytes into the answer's and awaits nothing;
`TrackerServer` gives it sockets and saves the index from time to time.  What is
saved is a hint (peers announce again), so a lost save costs nobody a byte.

BEP 3, 7, 15, 23, 48.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from shoal.discovery import tracker, tracker_udp
from shoal.discovery.compact import Address
from shoal.discovery.index import Entry, Index
from shoal.discovery.tracker import Announce, Answer, Counters
from shoal.errors import ProtocolError, RefusedError, StorageError
from shoal.net.web import WebServer, reply

if TYPE_CHECKING:
    from random import Random

    from aiohttp import web

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds between saves; also how often the silent are forgotten
SLOT = 60.0  # seconds a UDP connection id is handed out; it is good for one slot more
VERSION = 1  # of the saved form
ASKED_WINDOW = 10.0  # seconds over which a host's requests are counted
ASKED_MAX = 200  # requests of one host in that window
HOSTS_MAX = 100_000  # hosts counted at once


class Store(Protocol):
    """Where the index survives a restart."""

    async def read(self, path: str, offset: int = 0, length: int = -1) -> bytes: ...
    async def replace(self, path: str, data: bytes) -> None: ...
    async def stat(self, path: str) -> object: ...


class Saved(msgspec.Struct):
    """The index on disk: key, downloads, then host, port, identity, complete, age in seconds."""

    version: int
    entries: list[tuple[bytes, int, list[tuple[str, int, bytes, bool, float]]]]


class Tracker:
    """Announces and scrapes, answered from an index; bytes in, bytes out."""

    def __init__(self, index: Index, rng: "Random", *, interval: int = tracker.INTERVAL) -> None:
        self.index = index
        self.interval = interval
        self.answered = {"announce": 0, "scrape": 0, "connect": 0, "refused": 0}
        self._rng = rng
        self._secret = rng.randbytes(32)
        self._asked: dict[str, int] = {}
        self._window = 0

    def http(self, path: str, query: bytes, host: str, now: float) -> bytes:
        """The body of the answer: a failure is bencoded too, with status 200."""
        try:
            self._admit(host, now)
            if path == "/scrape":
                return self._scrape(tracker.read_scrape_query(query))
            announce = tracker.read_query(query)
            announce.host = host
            return tracker.encode_answer(self._announce(announce, now), compact=announce.compact)
        except RefusedError as error:
            self.answered["refused"] += 1
            return tracker.encode_failure(str(error))

    def udp(self, data: bytes, address: Address, now: float) -> bytes | None:
        """The reply, None where none is due.  No reply is larger than its id proved welcome."""
        try:
            self._admit(address[0], now)
            request = tracker_udp.decode_request(data)
            if request.action == tracker_udp.CONNECT:
                self.answered["connect"] += 1
                return tracker_udp.encode_connected(request.transaction, self._id(address, now))
            if request.connection not in (self._id(address, now), self._id(address, now - SLOT)):
                return tracker_udp.encode_error(request.transaction, "connection id expired")
            if request.announce is None:
                found = [self._counters(key) for key in request.hashes]
                self.answered["scrape"] += 1
                return tracker_udp.encode_scraped(request.transaction, found)
            request.announce.host = address[0]
            answer = self._announce(request.announce, now)
            return tracker_udp.encode_answer(request.transaction, answer, v6=":" in address[0])
        except ProtocolError:
            self.answered["refused"] += 1
            return None

    def metrics(self) -> str:
        """Prometheus text, sizes in counts."""
        peers = sum(len(entry.owners) for entry in self.index.entries.values())
        lines = ["# TYPE shoal_tracker_requests_total counter"]
        lines += [
            f'shoal_tracker_requests_total{{kind="{kind}"}} {count}'
            for kind, count in self.answered.items()
        ]
        lines += ["# TYPE shoal_tracker_swarms gauge"]
        lines += [f"shoal_tracker_swarms {len(self.index.entries)}"]
        lines += ["# TYPE shoal_tracker_peers gauge", f"shoal_tracker_peers {peers}"]
        return "\n".join(lines) + "\n"

    def save(self, now: float) -> bytes:
        entries = [
            (
                key,
                entry.downloaded,
                [
                    (*address, owner.identity, owner.complete, now - owner.seen)
                    for address, owner in entry.owners.items()
                ],
            )
            for key, entry in self.index.entries.items()
        ]
        return msgspec.msgpack.encode(Saved(VERSION, entries))

    def load(self, data: bytes, now: float) -> None:
        """Raises StorageError for a newer or broken file, which then stays as it is."""
        try:
            saved = msgspec.msgpack.decode(data, type=Saved)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise StorageError(f"the saved tracker index cannot be read: {error}") from error
        if saved.version > VERSION:
            raise StorageError(
                f"the saved tracker index has version {saved.version}, newer than {VERSION}"
            )
        for key, downloaded, owners in saved.entries:
            for host, port, identity, complete, age in owners:
                self.index.add(
                    key, (host, port), identity=identity, complete=complete, now=now - age
                )
            if key in self.index.entries:
                self.index.entries[key].downloaded = downloaded

    def _announce(self, announce: Announce, now: float) -> Answer:
        self.answered["announce"] += 1
        key, address = announce.info_hash, (announce.host, announce.port)
        complete = announce.left == 0
        if announce.event == "stopped":
            self.index.remove(key, address)
            return Answer(interval=self.interval, counters=self._counters(key))
        if not self.index.add(key, address, identity=announce.peer_id, complete=complete, now=now):
            raise RefusedError("this tracker is full")
        if announce.event == "completed":
            self.index.finished(key)
        # aria2 says left=0 for a magnet too, whose size it does not know yet: it needs the seeds
        moved = announce.uploaded or announce.downloaded or announce.event == "completed"
        seed = complete and bool(moved)
        peers = self.index.owners(key, announce.wanted, self._rng, but=address, complete=not seed)
        return Answer(peers, self.interval, self._counters(key))

    def _scrape(self, keys: list[bytes]) -> bytes:
        self.answered["scrape"] += 1
        return tracker.encode_scrape({key: self._counters(key) for key in keys})

    def _counters(self, key: bytes) -> Counters:
        entry = self.index.entries.get(key) or Entry()
        return Counters(entry.complete, entry.incomplete, entry.downloaded)

    def _admit(self, host: str, now: float) -> None:
        if (window := int(now / ASKED_WINDOW)) != self._window:
            self._window = window
            self._asked.clear()
        asked = self._asked.get(host, 0)
        if asked >= ASKED_MAX or (not asked and len(self._asked) >= HOSTS_MAX):
            raise RefusedError("too many requests")
        self._asked[host] = asked + 1

    def _id(self, address: Address, now: float) -> int:
        """A connection id that needs no table, and that no other host can guess (BEP 15)."""
        word = f"{address[0]} {int(now / SLOT)}".encode()
        return int.from_bytes(hmac.digest(self._secret, word, "sha256")[:8], "big")


class TrackerServer:
    """`async with TrackerServer(tracker, port=0) as server`: serves until it is closed."""

    def __init__(
        self,
        tracker: Tracker,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        disk: Store | None = None,
        path: str = "",
    ) -> None:
        self.tracker = tracker
        self.host = host
        self.port = port
        self._disk = disk
        self._path = path
        self._web = WebServer(self._serve)
        self._udp: asyncio.DatagramTransport | None = None
        self._saver: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "TrackerServer":
        await self._restore()
        try:
            await self._listen()
        except BaseException:
            await self.aclose()
            raise
        self._saver = asyncio.create_task(self._save_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._saver is not None:
            self._saver.cancel()
            with suppress(asyncio.CancelledError):
                await self._saver
            self._saver = None
            await self._save()
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        await self._web.aclose()

    async def _listen(self) -> None:
        self.port = await self._web.listen(self.host, self.port)
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._datagram), local_addr=(self.host, self.port)
        )

    async def _serve(self, request: "web.BaseRequest") -> "web.Response":
        if request.method not in ("GET", "HEAD"):
            return reply(status=405)
        if request.path == "/metrics":
            return reply(self.tracker.metrics().encode(), kind="text/plain")
        if request.path not in ("/announce", "/scrape"):
            return reply(status=404)
        query = request.raw_path.partition("?")[2].encode("latin-1", "replace")
        now = asyncio.get_running_loop().time()
        body = self.tracker.http(request.path, query, request.remote or "", now)
        return reply(body, kind="text/plain")

    def _datagram(self, data: bytes, address: Address) -> None:
        now = asyncio.get_running_loop().time()
        reply = self.tracker.udp(data, address, now)
        if reply is not None and self._udp is not None:
            self._udp.sendto(reply, address)

    async def _save_forever(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            self.tracker.index.expire(asyncio.get_running_loop().time())
            await self._save()

    async def _save(self) -> None:
        if self._disk is not None:
            data = self.tracker.save(asyncio.get_running_loop().time())
            try:
                await self._disk.replace(self._path, data)
            except StorageError as error:
                log.warning("the tracker's index was not saved: %s", error)

    async def _restore(self) -> None:
        if self._disk is not None and await self._disk.stat(self._path) is not None:
            data = await self._disk.read(self._path)
            self.tracker.load(data, asyncio.get_running_loop().time())


class _Datagrams(asyncio.DatagramProtocol):
    """Hands each datagram on; replies go out through the endpoint's transport."""

    def __init__(self, received: Callable[[bytes, Address], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """A reply met a closed port: nothing to do, the asker will ask again."""
