"""Named services between nodes, over the host's encrypted streams.

    @node.service("sum")
    async def add(*numbers): return sum(numbers)

    await other.call("sum", 1, 2, timeout=5)

Who offers a name is asked of the peers we are connected to, then of the
finders (DHTs), which are told of what we offer; the peers they name are dialled.
What was learned is good for a while; of two that offer the name the less busy
one is called, and another is tried when a call was certainly not executed, or
may be executed twice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from shoal.config import setting
from shoal.errors import (
    ClosedError,
    LimitError,
    NotFoundError,
    ProtocolError,
    ShoalError,
    UnreachableError,
    UsageError,
)
from shoal.net.host import Host, Target
from shoal.net.stream import Stream
from shoal.peer.id import PeerId
from shoal.rpc import native, record
from shoal.rpc.answer import Answers, Handler, Service
from shoal.rpc.calls import Destination, Destinations, may_retry
from shoal.rpc.line import Line
from shoal.rpc.record import Offer, ServiceRecord

if TYPE_CHECKING:
    from random import Random

TRIES_MAX = 3  # peers for one call
OPEN_TIMEOUT = 5.0  # seconds to dial a peer and open a stream
ASK_TIMEOUT = 2.0  # seconds for a peer to say what it offers
ASKED_MAX = 64  # connected peers that are asked who offers a name
FOUND_MAX = 20  # peers that a finder may name
LINGER = 1.0  # seconds for a finder to name others, once it has named one
TELL_AGAIN = 0.5  # seconds before a finder that told nobody is asked to again; doubles
TELL_AGAIN_MAX = 30.0  # seconds
TELL_AT_ONCE = 8  # services of which finders are told at a time
NAMES_MAX = 10_000  # services of which something is remembered
SIGN_AGAIN = 1.0  # seconds after which a record that says the same is signed anew

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Services between nodes."""

    section: ClassVar[str] = "services"
    timeout: float = setting(5.0, "for a call that names no other", unit="s", least=0.001)
    fresh: float = setting(10.0, "that who offers a service is remembered", unit="s", least=0)


class Finder(Protocol):
    """Somewhere to tell and to ask who offers a service: a DHT."""

    async def publish(self, name: str, /) -> int: ...

    def find(self, name: str, /) -> AsyncIterator[Target]: ...


class Services:
    """What a node offers, and the services of others."""

    def __init__(
        self,
        host: Callable[[], Host],
        handle: Callable[[str, Any], Any],
        *,
        rng: "Random",
        clock: Callable[[], float],
        settings: ServiceSettings | None = None,
    ) -> None:
        self.settings = settings or ServiceSettings()
        self.finders: list[Finder] = []
        self.offered: dict[str, Service] = {}
        self._host = host
        self._handle = handle  # serves a protocol, now or once there is a host
        self._rng = rng
        self._clock = clock
        self._lines: dict[PeerId, Line] = {}
        self._opening: dict[PeerId, asyncio.Task[Line]] = {}
        self._finding: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, Destinations] = {}
        self._news = asyncio.Event()  # a service is offered that the finders may not know
        self._signed: tuple[float, list[Offer], bytes] = (0.0, [], b"")

    # Offer

    def service(
        self, name: str, *, version: str = "", well: Callable[[], bool] | None = None
    ) -> Callable[[Handler], Handler]:
        """Offer a function, plain or async, under a name.

        `well` tells whether the service is in good health; while it is not, others
        are called first.
        """
        if not 0 < len(name.encode()) <= native.NAME_MAX:
            raise UsageError(f"a service's name has 1 to {native.NAME_MAX} bytes")
        if len(version) > record.VERSION_MAX:
            raise UsageError(f"a version has at most {record.VERSION_MAX} characters")

        def offer(handler: Handler) -> Handler:
            if name in self.offered:
                raise UsageError(f"{name} is served already")
            if len(self.offered) >= record.OFFERS_MAX:
                raise UsageError(f"a node offers at most {record.OFFERS_MAX} services")
            self.offered[name] = Service(name, handler, version, well)
            if len(self.offered) == 1:
                self._handle(native.PROTOCOL, self._serve)
            self._news.set()
            return handler

        return offer

    async def publish(self) -> None:
        """Tell the finders of all that is offered, now and whenever there is more.

        One that told nobody is asked again; those that did repeat it themselves.
        """
        told: dict[tuple[Finder, str], None] = {}
        pause = TELL_AGAIN
        while True:
            self._news.clear()
            left = [
                (finder, name)
                for finder in self.finders
                for name in self.offered
                if (finder, name) not in told
            ]
            for start in range(0, len(left), TELL_AT_ONCE):
                some = left[start : start + TELL_AT_ONCE]
                taken = await asyncio.gather(*(self._tell(*each) for each in some))
                told |= dict.fromkeys(
                    each for each, count in zip(some, taken, strict=True) if count
                )
            failed = any(each not in told for each in left)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause if failed else None):
                    await self._news.wait()
            pause = min(2 * pause, TELL_AGAIN_MAX) if failed else TELL_AGAIN

    async def _tell(self, finder: Finder, name: str) -> int:
        try:
            return await finder.publish(name)
        except ShoalError as error:
            log.info("publishing %s: %s", name, error)
            return 0

    def record(self) -> bytes:
        """What we offer, signed."""
        offers = [
            Offer(each.name, each.version, each.load, each.well is None or each.well())
            for each in self.offered.values()
        ]
        now = self._clock()
        at, before, sealed = self._signed
        if not sealed or offers != before or not 0 <= now - at < SIGN_AGAIN:
            sealed = ServiceRecord.seal(self._host().offer.key, offers, int(now * 1e6))
            self._signed = now, offers, sealed
        return sealed

    async def _serve(self, stream: Stream) -> None:
        await Answers(stream, self.offered, self.record).serve()

    # Call

    async def call(
        self,
        name: str,
        *arguments: Any,
        timeout: float | None = None,  # noqa: ASYNC109, the word that users know
        idempotent: bool = False,
    ) -> Any:
        """Call a service of another node; its result.

        RefusedError carries the service's own error.  NotFoundError: nobody
        offers it; UnreachableError: it was not executed; ClosedError and
        TimeoutError: it may have been (an `idempotent` call is tried elsewhere,
        also when there is no answer within half of the time).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self.settings.timeout if timeout is None else timeout)
        reasons: dict[PeerId, str] = {}
        while len(reasons) < TRIES_MAX:
            chosen = await self._choose(name, reasons, deadline)
            if chosen is None:
                break
            known = self._known[name]
            until = known.patience(loop.time(), deadline, tried=len(reasons), idempotent=idempotent)
            chosen.load += 1
            try:
                line = self._lines.get(chosen.address)
                if line is None or line.ended:
                    line = await self._line(chosen.address, until)
                return await line.call(name, list(arguments), until)
            except (UnreachableError, ClosedError, TimeoutError) as error:
                known.refused(chosen.address, loop.time())
                known.fresh_until = 0.0  # there may be others by now
                sent = not isinstance(error, UnreachableError)
                late = isinstance(error, TimeoutError) and loop.time() >= deadline
                if late or not may_retry(sent=sent, idempotent=idempotent):
                    raise
                reasons[chosen.address] = str(error) or "no answer in time"
            finally:
                chosen.load -= 1
        if not reasons:
            raise NotFoundError(f"nobody offers {name}")
        tried = {str(peer): reason for peer, reason in reasons.items()}
        raise UnreachableError(f"{name} could not be called", tried)

    async def ask(self, target: Target, *, timeout: float = ASK_TIMEOUT) -> ServiceRecord:  # noqa: ASYNC109
        """What one peer offers."""
        deadline = asyncio.get_running_loop().time() + timeout
        async with asyncio.timeout_at(deadline):  # for the dial
            connection = await self._host().dial(target)
        line = await self._line(connection.peer, deadline)
        return await line.ask(deadline)

    async def records(self) -> list[ServiceRecord]:
        """What all the peers offer that we are connected to."""
        host = self._host()
        peers: dict[PeerId, None] = {}
        for connection in host.connections:
            if connection.protocols is None or native.PROTOCOL in connection.protocols:
                peers[connection.peer] = None
        asked = [self._ask_quietly(peer) for peer in list(peers)[:ASKED_MAX]]
        return [each for each in await asyncio.gather(*asked) if each is not None]

    # Find

    async def _choose(
        self, name: str, tried: Iterable[PeerId], deadline: float
    ) -> Destination | None:
        """The next peer to call."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(name)
        if known is None or now >= known.fresh_until:
            known = self._known.setdefault(name, Destinations())
            await self._find_once(name, known, deadline)
            while len(self._known) > NAMES_MAX:
                del self._known[next(iter(self._known))]
        return known.choose(self._rng, now, tried)

    async def find(self, name: str) -> list[ServiceRecord]:
        """Those who offer it: of our peers, or else of those that the finders bring."""
        found = [each for each in await self.records() if each.offer(name)]
        if found:
            return found
        brought = await asyncio.gather(*(self._bring(name, finder) for finder in self.finders))
        return list({each.peer: each for some in brought for each in some}.values())

    async def _find_once(self, name: str, known: Destinations, deadline: float) -> None:
        """Callers who want the same name meanwhile share the search."""
        finding = self._finding.get(name)
        if finding is None:
            finding = self._host().tasks.start(self._find(name, known), f"find {name}")
            self._finding[name] = finding
            finding.add_done_callback(lambda _: self._finding.pop(name, None))
        async with asyncio.timeout_at(deadline):  # for peers and finders
            await asyncio.shield(finding)

    async def _find(self, name: str, known: Destinations) -> None:
        now = asyncio.get_running_loop().time()
        found = await self.find(name)
        known.learn(each.peer for each in found)
        for each in found:
            offer = each.offer(name)
            if offer is not None and not offer.well:
                known.refused(each.peer, now)
        known.fresh_until = now + self.settings.fresh if found else 0.0

    async def _bring(self, name: str, finder: Finder) -> list[ServiceRecord]:
        """Ask each peer that the finder names, while it looks for more."""
        asking: list[asyncio.Task[ServiceRecord | None]] = []
        start = self._host().tasks.start
        try:
            async with asyncio.timeout(None) as ends:
                async for target in finder.find(name):
                    asking.append(start(self._ask_quietly(target)))
                    if len(asking) == FOUND_MAX:
                        break
                    if ends.when() is None:
                        ends.reschedule(asyncio.get_running_loop().time() + LINGER)
        except (ShoalError, TimeoutError) as error:
            log.info("looking for %s: %s", name, error)
        asked = await asyncio.gather(*asking)
        return [each for each in asked if each is not None and each.offer(name)]

    async def _ask_quietly(self, target: Target) -> ServiceRecord | None:
        try:
            return await self.ask(target)
        except (ShoalError, TimeoutError) as error:
            log.info("%s says nothing of its services: %s", target, error)
            return None

    # Streams

    async def _line(self, peer: PeerId, deadline: float) -> Line:
        """The stream of calls to a peer; those who want it meanwhile share the opening."""
        line = self._lines.get(peer)
        if line is not None and not line.ended:
            return line
        opening = self._opening.get(peer)
        if opening is None:
            opening = self._host().tasks.start(self._open(peer), "open a stream of calls")
            self._opening[peer] = opening
            opening.add_done_callback(lambda _: self._opening.pop(peer, None))
        async with asyncio.timeout_at(deadline):  # for the dial
            return await asyncio.shield(opening)

    async def _open(self, peer: PeerId) -> Line:
        host = self._host()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):  # for the dial and the agreement
                stream = await host.open(peer, native.PROTOCOL)
        except TimeoutError:
            raise UnreachableError(f"no stream within {OPEN_TIMEOUT:g} s") from None
        except (ProtocolError, ClosedError, LimitError) as error:
            raise UnreachableError(str(error)) from error
        line = self._lines[peer] = Line(stream)
        reading = host.tasks.start(line.read(), "read replies")
        reading.add_done_callback(lambda _: self._forget(peer, line))
        return line

    def _forget(self, peer: PeerId, line: Line) -> None:
        if self._lines.get(peer) is line:
            del self._lines[peer]
        if self._host().closed:
            return
        line.stream.reset()
