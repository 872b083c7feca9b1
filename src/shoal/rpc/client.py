"""Calls named services of Grenache's servers, over WebSocket or HTTP.

    async with Link(url) as link, RpcClient(link) as client:
        answer = await client.request("fibonacci", 30, timeout=5)

Addresses come from the Link; of two drawn by chance the less busy one is
called.  One that refuses is passed over for a while and another is tried,
unless the call may have been executed and is not idempotent.  A WebSocket
carries many calls; when it closes they fail at once.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from shoal.errors import (
    ClosedError,
    NotFoundError,
    ProtocolError,
    RefusedError,
    ShoalError,
    UnreachableError,
    UsageError,
)
from shoal.net.web import BINARY, TEXT, Exchange, Web
from shoal.rpc import grenache
from shoal.rpc.calls import KEPT, Destination, Destinations, Pending, may_retry
from shoal.rpc.link import Link
from shoal.rpc.streams import CallStream

if TYPE_CHECKING:
    from random import Random

    from aiohttp import ClientWebSocketResponse

TIMEOUT = 60.0  # seconds for a call, unless the caller says otherwise: Grenache's default
TRIES_MAX = 3  # addresses for one call
SERVICES_MAX = 10_000  # services (and addresses) of which something is remembered
FRESH = 10.0  # seconds before a service that is called is looked up again
ASK_AGAIN = 1.0  # seconds before a Grape that knew nothing of it is asked again
CONNECT_TIMEOUT = 5.0  # seconds for a WebSocket's handshake
HEARTBEAT = 15.0  # seconds of silence before a WebSocket is pinged: who answers not is gone
CLOSED = "ERR_TRANSPORT_CLOSE"  # Grenache's text for a connection that closed under a call
log = logging.getLogger(__name__)

CARRIERS = ("auto", "ws", "http")


@dataclass(eq=False)
class Socket:
    """One WebSocket to one address, with many calls under way."""

    address: str
    carrier: "ClientWebSocketResponse"
    reader: "asyncio.Task[None] | None" = field(default=None)


class RpcClient:
    """`async with RpcClient(link) as client`.

    `over` is "ws", "http" or "auto": WebSocket where the server speaks it.  With
    `gzip` requests and replies over HTTP are compressed; `tls`
    (`Certificates(...).client()`) is for services over HTTPS and WSS.
    """

    def __init__(
        self,
        link: Link,
        *,
        over: str = "auto",
        gzip: bool = False,
        tls: ssl.SSLContext | None = None,
        rng: "Random | None" = None,
    ) -> None:
        if over not in CARRIERS:
            raise UsageError(f"over is one of {', '.join(CARRIERS)}")
        self.link = link
        self.over = over
        self.gzip = gzip
        self._tls = tls
        self._secure = "s" if tls else ""  # the end of https and wss
        self.rng = rng or SystemRandom()
        self._web: Web | None = None
        self._services: dict[str, Destinations] = {}
        self._plain: dict[str, None] = {}  # addresses that speak HTTP only
        self._sockets: dict[str, Socket] = {}
        self._opening: dict[str, asyncio.Task[Socket]] = {}
        self._pending: Pending[asyncio.Future[Any]] = Pending()
        self._timer: asyncio.TimerHandle | None = None
        self._prefix = uuid_prefix(self.rng)
        self._count = 0

    async def __aenter__(self) -> "RpcClient":
        self._web = Web(tls=self._tls or True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls under way fail with ClosedError."""
        if self._timer is not None:
            self._timer.cancel()
        for socket in list(self._sockets.values()):
            await self._drop(socket)
        web, self._web = self._web, None
        if web is not None:
            await web.aclose()

    async def request(
        self,
        name: str,
        payload: Any = None,
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109, the word that Grenache's users know
        idempotent: bool = False,
    ) -> Any:
        """Call the service; its result.

        RefusedError carries the service's own error.  NotFoundError: nobody
        offers it; UnreachableError: no address could be called; ClosedError: the
        connection closed under the call, which may have been executed (an
        `idempotent` one is tried elsewhere, as when there is no answer within half
        of the time); TimeoutError.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        reasons: dict[str, str] = {}
        while len(reasons) < TRIES_MAX:
            chosen = await self._choose(name, reasons, deadline)
            if chosen is None:
                break
            until = self._services[name].patience(
                loop.time(), deadline, tried=len(reasons), idempotent=idempotent
            )
            chosen.load += 1
            try:
                return await self._call(chosen.address, name, payload, until)
            except (UnreachableError, ClosedError, TimeoutError) as error:
                self._refused(name, chosen)
                sent = not isinstance(error, UnreachableError)
                late = isinstance(error, TimeoutError) and loop.time() >= deadline
                if late or not may_retry(sent=sent, idempotent=idempotent):
                    raise
                reasons[chosen.address] = str(error) or "no answer in time"
            finally:
                chosen.load -= 1
        raise self._nobody(name, reasons)

    @asynccontextmanager
    async def stream(
        self,
        name: str,
        *,
        action: str = "",
        arguments: Any = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float = CONNECT_TIMEOUT,  # noqa: ASYNC109, as in `request`
    ) -> AsyncIterator[CallStream]:
        """Bytes to and from a service, over HTTP; `timeout` is for reaching it.

        Headers of your own that are no texts go as JSON.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        head = {**grenache.encode_headers(headers or {}), "Connection": "close"}
        head |= grenache.encode_head(self._next_rid(), name, action, arguments)
        reasons: dict[str, str] = {}
        while len(reasons) < TRIES_MAX:
            chosen = await self._choose(name, reasons, deadline)
            if chosen is None:
                break
            exchange = self._opened.exchange(f"http{self._secure}://{chosen.address}/", head)
            chosen.load += 1
            try:
                if await self._connected(exchange, deadline, reasons, chosen.address):
                    yield CallStream(exchange)
                    return
            finally:
                chosen.load -= 1
                await exchange.aclose()
            self._refused(name, chosen)
        raise self._nobody(name, reasons)

    async def _connected(
        self, exchange: Exchange, deadline: float, reasons: dict[str, str], address: str
    ) -> bool:
        try:
            async with asyncio.timeout_at(deadline):  # for the connection
                await exchange.connect()
        except UnreachableError as error:
            reasons[address] = str(error)
            return False
        return True

    def _refused(self, name: str, chosen: Destination) -> None:
        self._services[name].refused(chosen.address, asyncio.get_running_loop().time())
        self._services[name].fresh_until = 0.0  # there may be others by now

    def _nobody(self, name: str, reasons: dict[str, str]) -> ShoalError:
        if not reasons:
            return NotFoundError(f"nobody offers {name}")
        return UnreachableError(f"{name} could not be called", reasons)

    @property
    def _opened(self) -> Web:
        if self._web is None:
            raise ClosedError("the client is not open: use `async with`")
        return self._web

    def _next_rid(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count:012x}"

    async def map(
        self,
        name: str,
        payload: Any = None,
        *,
        limit: int | None = None,
        timeout: float = TIMEOUT,  # noqa: ASYNC109, as in `request`
    ) -> list[Any]:
        """Call all instances of a service, or `limit` of them: all results or the first error."""
        deadline = asyncio.get_running_loop().time() + timeout
        async with asyncio.timeout_at(deadline):  # for the Grape
            addresses = await self.link.lookup(name)
        if not addresses:
            raise NotFoundError(f"nobody offers {name}")
        calls = [self._call(each, name, payload, deadline) for each in addresses[:limit]]
        return await asyncio.gather(*calls)

    async def _choose(self, name: str, tried: Iterable[str], deadline: float) -> Destination | None:
        """The next address to call; the Grape is asked again when all that we know were tried."""
        loop = asyncio.get_running_loop()
        known = self._services.get(name)
        if known is None or loop.time() >= known.fresh_until:
            known = self._services.setdefault(name, Destinations())
            await self._look_up(name, known, deadline)
            while len(self._services) > SERVICES_MAX:
                del self._services[next(iter(self._services))]
        return known.choose(self.rng, loop.time(), tried)

    async def _look_up(self, name: str, known: Destinations, deadline: float) -> None:
        """Ask the Grape; while it has nothing to say, what it said before is good for a while."""
        now = asyncio.get_running_loop().time
        addresses: list[str] = []
        try:
            async with asyncio.timeout_at(deadline):  # for the Grape
                addresses = await self.link.lookup(name, fresh=bool(known.known))
        except (UnreachableError, RefusedError):
            if not known.lost(now()):
                raise
        if addresses:
            known.learn(addresses)
            known.fresh_until, known.kept_until = now() + FRESH, now() + KEPT
        else:
            known.fresh_until = now() + ASK_AGAIN if known.lost(now()) else 0.0

    async def _call(self, address: str, name: str, payload: Any, deadline: float) -> Any:
        rid = self._next_rid()
        body = grenache.encode_request(rid, name, payload)
        if self.over == "http" or address in self._plain:
            return await self._call_http(address, body, deadline)
        try:
            socket = self._sockets.get(address)
            if socket is None or socket.carrier.closed:
                socket = await self._connect(address, deadline)
        except ProtocolError:
            if self.over == "ws":
                raise
            self._plain[address] = None
            while len(self._plain) > SERVICES_MAX:
                del self._plain[next(iter(self._plain))]
            return await self._call_http(address, body, deadline)
        return await self._call_socket(socket, rid, body, deadline)

    async def _call_http(self, address: str, body: bytes, deadline: float) -> Any:
        packed = grenache.compress(body) if self.gzip else body
        headers = {"grc-compress": "gzip" if self.gzip else "none"}
        async with asyncio.timeout_at(deadline):  # for the service
            status, answer = await self._opened.post(
                f"http{self._secure}://{address}/",
                packed,
                headers=headers,
                limit=grenache.MESSAGE_MAX,
            )
        if status != 200:
            raise RefusedError(f"ERR_REQUEST_GENERIC: {answer[:500].decode('utf-8', 'replace')}")
        plain = grenache.decompress(answer) if self.gzip else answer
        return result_of(grenache.decode_reply(plain))

    async def _call_socket(self, socket: Socket, rid: str, body: bytes, deadline: float) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.add(rid, future, socket, deadline)
        self._arm()
        try:
            await socket.carrier.send_frame(body, TEXT)
            return result_of(await future)
        except ConnectionError as error:
            raise ClosedError(f"{CLOSED}: {error}") from None
        finally:
            self._pending.take(rid)

    async def _connect(self, address: str, deadline: float) -> Socket:
        """The WebSocket to an address; callers that come meanwhile share it."""
        opening = self._opening.get(address)
        if opening is None:
            opening = self._opening[address] = asyncio.create_task(self._open_socket(address))
            opening.add_done_callback(lambda _: self._opening.pop(address, None))
        async with asyncio.timeout_at(deadline):  # for the WebSocket's handshake
            return await asyncio.shield(opening)

    async def _open_socket(self, address: str) -> Socket:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):  # for a server that accepts and is silent
                carrier = await self._opened.socket(
                    f"ws{self._secure}://{address}/ws",
                    limit=grenache.MESSAGE_MAX,
                    heartbeat=HEARTBEAT,
                )
        except TimeoutError:
            raise UnreachableError(f"no handshake within {CONNECT_TIMEOUT:g} s") from None
        socket = Socket(address, carrier)
        self._sockets[address] = socket
        socket.reader = asyncio.create_task(self._read(socket))
        return socket

    async def _read(self, socket: Socket) -> None:
        """Hand replies to their calls until the connection closes; then those left fail at once."""
        try:
            async for message in socket.carrier:
                if message.type not in (TEXT, BINARY):
                    break  # too long, or no WebSocket's
                reply = grenache.decode_reply(message.data)
                future = self._pending.take(reply.rid)
                if future is not None and not future.done():
                    future.set_result(reply)
        except (ProtocolError, ConnectionError) as error:
            log.info("%s: %s", socket.address, error)
        finally:
            if self._sockets.get(socket.address) is socket:
                del self._sockets[socket.address]
            for future in self._pending.lost(socket):
                if not future.done():
                    future.set_exception(ClosedError(CLOSED))
            await socket.carrier.close()

    async def _drop(self, socket: Socket) -> None:
        if socket.reader is not None:
            socket.reader.cancel()
            await asyncio.gather(socket.reader, return_exceptions=True)

    def _arm(self) -> None:
        """One timer for all deadlines; one that rings too early is armed anew."""
        due = self._pending.deadline
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for _, future in self._pending.expired(asyncio.get_running_loop().time()):
            if not future.done():
                future.set_exception(TimeoutError("ERR_TIMEOUT"))
        self._arm()


def result_of(reply: grenache.Reply) -> Any:
    """A reply's result; RefusedError with the service's own words."""
    if reply.error is not None:
        raise RefusedError(reply.error)
    return reply.result


def uuid_prefix(rng: "Random") -> str:
    """The first 24 characters of a random UUID (version 4); a count of ours is the rest."""
    digits = f"{rng.getrandbits(80):020x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-"
