"""Keeps one swarm announced at its trackers and hands on the peers that they name.

`Trackers` runs beside a swarm: it asks the tracker that `Tiers` names, over
HTTP or UDP, waits as long as that one says, and tells all it knows when the
swarm completes or stops.  What it is waiting for stands in `waiting`.

BEP 3, 12, 15.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shoal.discovery import tracker
from shoal.discovery.compact import Address
from shoal.discovery.tiers import Tiers
from shoal.discovery.tracker import Announce, Answer
from shoal.discovery.tracker_udp import CONNECTION_LIFE, TRIES_MAX, Conversation
from shoal.errors import ShoalError, UnreachableError, UsageError

if TYPE_CHECKING:
    from random import Random

TIMEOUT = 30.0  # seconds for one tracker, name resolution and all its retransmissions included
GOODBYE_TIMEOUT = 2.0  # seconds that a program which ends still gives to its trackers
UDP_PORT = 80  # where a udp:// URL names none

Fetch = Callable[[str], Awaitable[bytes]]  # an HTTP GET: the body, bounded; ShoalError


class Trackers:
    """The trackers of one swarm.

    `describe(event)` is the announce to send now, `found` is called with the
    peers of each answer.  `allows(host)` says whether an address may be
    contacted at all.
    """

    def __init__(
        self,
        tiers: Iterable[Iterable[str]],
        describe: Callable[[str], Announce],
        found: Callable[[list[Address]], None],
        *,
        rng: "Random",
        fetch: Fetch,
        allows: Callable[[str], bool] = lambda host: True,
    ) -> None:
        self.tiers = Tiers(tiers, rng)
        self.waiting = "no tracker asked yet"
        self.last: Answer | None = None
        self._describe = describe
        self._found = found
        self._rng = rng
        self._fetch = fetch
        self._allows = allows
        self._completed = False
        self._hurry = asyncio.Event()
        self._told: dict[str, bytes] = {}  # trackers that know of us -> the tracker id they gave
        self._connections: dict[str, tuple[int, float]] = {}  # UDP tracker -> id, good until

    async def run(self) -> None:
        """Announce until cancelled; `stop` says goodbye."""
        loop = asyncio.get_running_loop()
        while self.tiers.tiers:
            while (url := self.tiers.next(loop.time())) is not None:
                await self._try(url)
            pause = max(self.tiers.deadline - loop.time(), 0)
            self._hurry.clear()
            try:
                async with asyncio.timeout(pause):  # for the interval, or for news to tell
                    await self._hurry.wait()
            except TimeoutError:
                continue
        self.waiting = "no tracker"

    def completed(self) -> None:
        """We have all of it now: the trackers hear of it at once."""
        self._completed = True
        self.tiers.hurry(asyncio.get_running_loop().time())
        self._hurry.set()

    async def stop(self) -> None:
        """Tell those who know of us that we leave, for as long as GOODBYE_TIMEOUT."""
        try:
            async with asyncio.timeout(GOODBYE_TIMEOUT), asyncio.TaskGroup() as group:
                for url in self._told:
                    group.create_task(self._goodbye(url))
        except TimeoutError:
            self.waiting = "a tracker did not take our goodbye"

    async def _try(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        self.waiting = f"tracker {url} asked"
        event = "started" if url not in self._told else "completed" if self._completed else ""
        try:
            answer = await self._ask(url, self._describe(event))
        except ShoalError as error:
            self.waiting = f"tracker {url}: {error}"
            self.tiers.failed(url, loop.time())
            return
        if event == "completed":
            self._completed = False
        self._told[url] = answer.tracker_id or self._told.get(url, b"")
        self.last = answer
        self.waiting = f"tracker {url} named {len(answer.peers)} peers"
        self.tiers.answered(url, answer.interval, loop.time())
        self._found(answer.peers)

    async def _goodbye(self, url: str) -> None:
        try:
            await self._ask(url, self._describe("stopped"))
        except ShoalError as error:
            self.waiting = f"tracker {url}: {error}"

    async def _ask(self, url: str, announce: Announce) -> Answer:
        """One announce at one tracker; ShoalError when it fails for whatever reason."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UsageError(f"{url} is no address: {error}") from None
        if not parts.hostname:
            raise UsageError(f"{url} names no host")
        if not self._allows(parts.hostname):
            raise UsageError(f"profile local does not contact {parts.hostname}")
        try:
            async with asyncio.timeout(TIMEOUT):
                if parts.scheme in ("http", "https"):
                    told = self._told.get(url, b"")
                    return tracker.read_answer(
                        await self._fetch(tracker.announce_url(url, announce, told))
                    )
                if parts.scheme == "udp":
                    return await self._ask_udp(url, announce)
        except TimeoutError:
            raise UnreachableError(f"{url} did not answer within {TIMEOUT:g} s") from None
        except (OSError, ValueError) as error:  # no such name, no route, a port that is none
            raise UnreachableError(f"{url}: {error}") from None
        raise UsageError(f"{parts.scheme} trackers are not spoken here")

    async def _ask_udp(self, url: str, announce: Announce) -> Answer:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        endpoint = (parts.hostname or "", parts.port or UDP_PORT)
        transport, replies = await loop.create_datagram_endpoint(Replies, remote_addr=endpoint)
        try:
            v6 = ":" in transport.get_extra_info("peername")[0]
            talk = Conversation(announce, self._rng, url=path, v6=v6)
            connection, until = self._connections.pop(url, (None, 0.0))
            talk.start(loop.time(), connection if loop.time() < until else None)
            await converse(talk, transport, replies)
        finally:
            transport.close()
        if talk.connection is not None:
            self._connections[url] = (talk.connection, loop.time() + CONNECTION_LIFE)
        if not isinstance(talk.result, Answer):
            raise UnreachableError(f"{url} did not answer {TRIES_MAX} datagrams")
        return talk.result


class Replies(asyncio.DatagramProtocol):
    """Datagrams as they come; the newest few wait."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.queue.full():
            self.queue.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there, or not yet: the retransmission will tell."""


async def converse(
    talk: Conversation, transport: asyncio.DatagramTransport, replies: Replies
) -> None:
    """Drive a conversation to its end.  ProtocolError and RefusedError come through."""
    loop = asyncio.get_running_loop()
    while True:
        for data in talk.out:
            transport.sendto(data)
        talk.out.clear()
        if talk.deadline is None:
            return
        try:
            async with asyncio.timeout_at(talk.deadline):  # for the tracker's reply
                talk.receive(await replies.queue.get(), loop.time())
        except TimeoutError:
            talk.tick(loop.time())
