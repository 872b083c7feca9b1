"""Where a transfer hears of peers: its trackers, the mainline DHT, its neighbours.

All know a content by each of its hashes (a hybrid has two), so each is asked
once for every hash.  A private torrent (BEP 27) is told to its trackers alone.

BEP 5, 12, 14, 27, 52.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from shoal.discovery.service import Fetch, Trackers
from shoal.discovery.tracker import Announce
from shoal.errors import RefusedError, ShoalError
from shoal.net.web import Web
from shoal.swarm.transfer import Transfer

if TYPE_CHECKING:
    from random import Random

ANNOUNCE_EVERY = 900.0  # seconds between two looks into the DHT, as libtorrent has it
NOT_LISTENING = 1  # the port told when we accept nobody: trackers refuse 0
ASK_AGAIN = 0.5  # seconds before the DHT is asked again while nobody is known; doubles
ASK_AGAIN_MAX = 30.0  # seconds
LOOK_AGAIN = 1.0  # seconds between two looks whether the metadata has come and forbids neighbours


class Dht(Protocol):
    """A DHT that stores who has what."""

    def providers(self, key: bytes) -> AsyncIterator[Any]: ...

    async def provide(self, key: bytes, what: Any, *, keep: bool = True) -> int: ...


class Neighbours(Protocol):
    """Who is present on the local network."""

    @property
    def waiting(self) -> str: ...

    def join(self, info_hash: bytes, port: int, found: Callable[[Any], None]) -> None: ...

    def part(self, info_hash: bytes) -> None: ...


def fetch_by(web: Web) -> Fetch:
    """How trackers are asked over HTTP; some give their bencoded reason with a 4xx status."""

    async def fetch(url: str) -> bytes:
        status, body = await web.get(url)
        if status != 200 and not body.startswith(b"d"):
            raise RefusedError(f"{url} answered with status {status}")
        return body

    return fetch


class TrackerSource:
    """All trackers of a transfer, once for each of its hashes."""

    def __init__(
        self,
        transfer: Transfer,
        *,
        rng: "Random",
        fetch: Fetch,
        allows: Callable[[str], bool] = lambda host: True,
    ) -> None:
        self._transfer = transfer
        self._key = rng.getrandbits(32)
        self._swarms = [
            Trackers(
                transfer.trackers,
                self._describer(info_hash),
                transfer.found,
                rng=rng,
                fetch=fetch,
                allows=allows,
            )
            for info_hash in transfer.session.hashes
        ]

    def _describer(self, info_hash: bytes) -> Callable[[str], Announce]:
        def describe(event: str) -> Announce:
            report, session = self._transfer.progress(), self._transfer.session
            return Announce(
                info_hash,
                session.peer_id,
                session.port or NOT_LISTENING,
                uploaded=report.sent,
                downloaded=report.received,
                left=max(report.total - report.done, 0) if report.pieces_total else 1,
                event=event,
                key=self._key,
            )

        return describe

    @property
    def waiting(self) -> str:
        return "; ".join(dict.fromkeys(each.waiting for each in self._swarms))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for each in self._swarms:
                tasks.create_task(each.run())

    def completed(self) -> None:
        for each in self._swarms:
            each.completed()

    async def stop(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for each in self._swarms:
                tasks.create_task(each.stop())


class DhtSource:
    """The DHT: who has it, and that we do."""

    def __init__(
        self, transfer: Transfer, dht: Dht, announced: Callable[[int, bool], object]
    ) -> None:
        """`announced(port, seed)` makes what the DHT stores about us."""
        self.waiting = "DHT not asked yet"
        self._transfer = transfer
        self._dht = dht
        self._announced = announced
        self._news = asyncio.Event()

    async def run(self) -> None:
        again = ASK_AGAIN
        while True:
            torrent = self._transfer.torrent
            if torrent is not None and torrent.private:
                self.waiting = "private: only its trackers are asked"
                return
            count = 0
            for info_hash in self._transfer.session.hashes:
                with suppress(ShoalError):
                    count += await self._ask(info_hash)
            self.waiting = f"DHT named {count} peers"
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_EVERY if count else again):
                    await self._news.wait()
            again = min(2 * again, ASK_AGAIN_MAX)

    async def _ask(self, info_hash: bytes) -> int:
        self.waiting = "DHT asked"
        count = 0
        async for address in self._dht.providers(info_hash):
            self._transfer.found([address])
            count += 1
        port = self._transfer.session.port
        if port:
            seed = self._transfer.done.is_set()
            await self._dht.provide(info_hash, self._announced(port, seed), keep=False)
        return count

    def completed(self) -> None:
        self._news.set()

    async def stop(self) -> None:
        """The DHT forgets by itself."""


class LanSource:
    """The local network: neighbours are told of us, and they of theirs."""

    def __init__(self, transfer: Transfer, open_lan: Callable[[], Awaitable[Neighbours]]) -> None:
        self.waiting = "LAN not asked yet"
        self._transfer = transfer
        self._open = open_lan
        self._lan: Neighbours | None = None
        self._joined: dict[bytes, int] = {}  # -> the port that was told

    async def run(self) -> None:
        self._lan = lan = await self._open()
        self.waiting = lan.waiting
        while not self._private:
            session = self._transfer.session
            for info_hash in session.hashes:
                if self._joined.get(info_hash) != session.port:
                    self._joined[info_hash] = session.port
                    lan.join(info_hash, session.port, self._transfer.found)
            await asyncio.sleep(LOOK_AGAIN)
        await self.stop()
        self.waiting = "private: only its trackers are asked"

    @property
    def _private(self) -> bool:
        torrent = self._transfer.torrent
        return torrent is not None and torrent.private

    def completed(self) -> None:
        """Neighbours do not care who has how much."""

    async def stop(self) -> None:
        for info_hash in self._joined:
            if self._lan is not None:
                self._lan.part(info_hash)
        self._joined.clear()
