"""From the addresses of a peer to a connection: the race that `dial` ranks.

Each address has a head start before the next; the first connection that stands
wins and the other attempts are called off.  Every address that fails says why.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from shoal.config import setting
from shoal.errors import NotFoundError, ShoalError, UnreachableError, UsageError
from shoal.net.connection import Connection
from shoal.net.core import Core
from shoal.net.dial import HEAD_START, Backoff, rank
from shoal.net.tasks import Tasks
from shoal.net.transport.seam import Session, Transport
from shoal.net.upgrade import Offer, Result, Upgrade
from shoal.net.wire import Wire

if TYPE_CHECKING:
    from shoal.peer.id import PeerId
    from shoal.peer.multiaddr import Multiaddr

NO_ADDRESS = {"no address": "none is known"}


@dataclass(frozen=True, slots=True)
class DialSettings:
    """Dialling."""

    section: ClassVar[str] = "dial"
    timeout: float = setting(15.0, "for one address", unit="s", least=0.1)
    attempts: int = setting(128, "at the same time", least=1)


@dataclass(frozen=True)
class Made:
    """What the owner makes of a success."""

    pipe: Callable[[Upgrade], Wire]
    upgraded: Callable[[Wire, Result], Connection]
    session: Callable[[Session], Connection]


class Dialler:
    """Tries addresses."""

    def __init__(
        self,
        offer: Offer,
        transports: Sequence[Transport],
        made: Made,
        tasks: Tasks,
        *,
        settings: DialSettings | None = None,
        allows: Callable[[str], bool] = lambda host: True,
        preferred: Callable[["PeerId | None"], list[str]],
    ) -> None:
        self._offer = offer
        self._transports = transports
        self._made = made
        self._tasks = tasks
        self._settings = settings or DialSettings()
        self._allows = allows
        self._preferred = preferred  # the security protocols to propose to a peer, best first
        self._backoff = Backoff()
        self._room = asyncio.Semaphore(self._settings.attempts)

    def transport(self, address: "Multiaddr") -> Transport:
        """Who speaks this address; UsageError if nobody does or may."""
        host = address.host
        if host is not None and not self._allows(host):
            raise UsageError(f"{host} is beyond loopback, where the profile `local` does not go")
        plain = address.without_peer()
        for transport in self._transports:
            if transport.speaks(plain):
                return transport
        raise UsageError("no transport of this node speaks it")

    async def race(self, peer: "PeerId | None", addresses: list["Multiaddr"]) -> Connection:
        """The first connection that stands; UnreachableError with a reason for each address."""
        reasons: dict[str, str] = {}
        waiting = self._usable(addresses, reasons)
        attempts: list[asyncio.Task[Connection | None]] = []
        try:
            while waiting or attempts:
                if waiting:
                    work = self._attempt(peer, waiting.pop(0), reasons)
                    if not attempts and not waiting:  # the usual case needs no task
                        connection = await work
                        if connection is not None:
                            return connection
                        break
                    attempts.append(self._tasks.start(work, f"dial {peer}"))
                head_start = HEAD_START if waiting else None
                await asyncio.wait(attempts, timeout=head_start, return_when="FIRST_COMPLETED")
                for attempt in [one for one in attempts if one.done()]:
                    attempts.remove(attempt)
                    if not attempt.cancelled() and (connection := attempt.result()) is not None:
                        return connection
        finally:
            for attempt in attempts:
                attempt.cancel()
        raise UnreachableError(f"{peer or 'the peer'} could not be reached", reasons or NO_ADDRESS)

    def _usable(self, addresses: list["Multiaddr"], reasons: dict[str, str]) -> list["Multiaddr"]:
        usable = []
        for address in dict.fromkeys(addresses):
            try:
                self.transport(address)
            except UsageError as error:
                reasons[str(address)] = str(error)
            else:
                usable.append(address)
        return self._backoff.ready(rank(usable), asyncio.get_running_loop().time())

    async def _attempt(
        self, peer: "PeerId | None", address: "Multiaddr", reasons: dict[str, str]
    ) -> Connection | None:
        try:
            async with self._room:
                connection = await self._connect(peer, address)
        except (ShoalError, OSError, ValueError) as error:  # a name may be none at all
            self._backoff.failed(address, asyncio.get_running_loop().time())
            reasons[str(address)] = str(error) or type(error).__name__
            return None
        self._backoff.succeeded(address)
        return connection

    async def _connect(self, peer: "PeerId | None", address: "Multiaddr") -> Connection:
        """One proposal saves a round trip, mostly; if it is refused, dial again with the rest."""
        first, *others = self._preferred(peer)
        try:
            return await self._pipe(peer, address, [first])
        except NotFoundError:
            if not others:
                raise
            return await self._pipe(peer, address, others)

    async def _pipe(
        self, peer: "PeerId | None", address: "Multiaddr", securities: list[str]
    ) -> Connection:
        stands: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

        def done(result: Result | None, error: Exception | None) -> Core | None:
            if stands.done():
                return None
            if result is None:
                stands.set_exception(error or UnreachableError("the dial failed"))
                return None
            try:
                connection = self._made.upgraded(wire, result)
            except ShoalError as error:  # there is no room, or it is ourselves
                stands.set_exception(error)
                raise
            stands.set_result(connection)
            return connection

        upgrade = Upgrade(self._offer, True, done, expected=peer, securities=securities)
        wire = self._made.pipe(upgrade)
        seconds = self._settings.timeout
        try:
            async with asyncio.timeout(seconds):
                session = await self.transport(address).dial(address.without_peer(), lambda: wire)
                return await stands if session is None else self._made.session(session)
        except TimeoutError:
            raise UnreachableError(f"no answer within {seconds:g} s") from None
        finally:
            if not stands.done() or stands.cancelled() or stands.exception() is not None:
                stands.cancel()
                wire.abort()
