"""A Grape: the DHT node and its HTTP API, `POST /lookup`, announce, put and get.

    async with GrapeServer(dht_port=20001, api_port=30001) as grape: ...

What Links of Node.js rely on is kept to the letter: errors are JSON texts with
status 200, an unknown key is an empty body.  Other than the original, a Grape
stores what it is asked to announce and put itself, so that one alone is
enough, and always verifies signatures.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Self, cast

from shoal.dht.grape.core import Grape
from shoal.dht.grape.replies import PEER_LIFE
from shoal.dht.grape.service import GrapeDht
from shoal.dht.grape.values import VALUES_MAX, Values
from shoal.errors import ProtocolError, UnreachableError
from shoal.rpc.grape_api import Api, Reply
from shoal.rpc.grenache import PAYLOAD_MAX
from shoal.rpc.http import Request, Requests, encode_reply

if TYPE_CHECKING:
    from random import Random

CONNECTIONS_MAX = 1000  # Links at once
WAITING_MAX = 16  # requests of one connection that wait; then it is read no further
IDLE = 60.0  # seconds that a connection may be silent between two requests
SLOW = 10.0  # seconds for a request to arrive
SWEEP = 5.0  # seconds between two looks at the connections
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

log = logging.getLogger(__name__)


class GrapeServer:
    """One Grape; port 0 takes a free one."""

    def __init__(
        self,
        *,
        host: str = "0.0.0.0",
        dht_port: int = 0,
        api_port: int = 0,
        bootstrap: Sequence[str] = (),
        peer_life: float = PEER_LIFE,
        values_max: int = VALUES_MAX,
        payload_max: int = PAYLOAD_MAX,
        allows: Callable[[str], bool] = lambda host: True,
        rng: "Random | None" = None,
    ) -> None:
        self.host = host
        self.dht_port = dht_port
        self.api_port = api_port
        self.bootstrap = bootstrap
        self.peer_life = peer_life
        self.values_max = values_max
        self.payload_max = payload_max
        self.connections: dict[Connection, None] = {}
        self._allows = allows
        self._rng = rng or SystemRandom()
        self._dht: GrapeDht | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def dht(self) -> GrapeDht:
        assert self._dht is not None, "the Grape is open"
        return self._dht

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        values = Values(self.values_max)
        core = Grape(self._rng, loop.time(), peer_life=self.peer_life, values=values)
        self._dht = await GrapeDht.open(
            core,
            host=self.host,
            port=self.dht_port,
            bootstrap=self.bootstrap,
            allows=self._allows,
        )
        self.dht_port = self._dht.port
        api = Api(self._dht)
        try:
            self._server = await loop.create_server(
                lambda: Connection(self, api), self.host, self.api_port
            )
        except OSError as error:
            await self._dht.aclose()
            reason = {f"{self.host}:{self.api_port}": str(error)}
            raise UnreachableError("the Grape's API cannot listen there", reason) from error
        self.api_port = self._server.sockets[0].getsockname()[1]
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self.connections):
            connection.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.dht.aclose()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = asyncio.get_running_loop().time()
            for connection in list(self.connections):
                connection.close_if_late(now)


class Connection(asyncio.Protocol):
    """One Link's connection: requests are answered one after another."""

    def __init__(self, server: GrapeServer, api: Api) -> None:
        self._server = server
        self._api = api
        self._requests = Requests(server.payload_max)
        self._waiting: deque[Request] = deque()
        self._asked: Request | None = None  # what is being answered
        self._working = False  # `_go_on` is on the stack
        self._full = False  # the Link does not read its replies
        self._paused = False  # nor do we read its requests
        self._since = 0.0  # when the last request ended, or the one that comes began
        self._transport: asyncio.Transport | None = None
        self._host = ""
        self._time = asyncio.get_running_loop().time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if len(self._server.connections) >= CONNECTIONS_MAX:
            self._transport.abort()
            return
        self._server.connections[self] = None
        self._since = self._time()
        self._host = (transport.get_extra_info("peername") or ("127.0.0.1",))[0]

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.pop(self, None)
        self._transport = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._requests.idle:
            self._since = self._time()
        self._waiting += self._requests.receive(data)
        if self._requests.expected:
            self._requests.expected = False
            self._send(CONTINUE)
        self._go_on()

    def pause_writing(self) -> None:
        self._full = True
        self._set_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    def _go_on(self) -> None:
        """Answer what waits, one after another; what is told at once comes back here."""
        if self._working:
            return
        self._working = True
        while self._waiting and self._asked is None and not self._full:
            request = self._asked = self._waiting.popleft()
            self._api.answer(request.path, request.body, self._host, self._tell)
        self._working = False
        if self._requests.error is not None and self._asked is None and not self._waiting:
            self._refuse(self._requests.error)
        if len(self._waiting) > WAITING_MAX or self._full or self._paused:
            self._set_reading()

    def _tell(self, reply: Reply) -> None:
        request, self._asked = self._asked, None
        assert request is not None, "a request is answered once"
        self._since = self._time()
        self._send(encode_reply(reply.status, reply.body, keep=request.keep))
        if not request.keep:
            self._waiting.clear()
            self.close()
        else:
            self._go_on()

    def _set_reading(self) -> None:
        paused = self._full or len(self._waiting) > WAITING_MAX
        if self._transport is None or paused == self._paused:
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _refuse(self, error: ProtocolError) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        log.info("%s: %s", self._host, error)
        self._send(encode_reply(400, b"", keep=False))
        self.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def close_if_late(self, now: float) -> None:
        allowed = IDLE if self._requests.idle else SLOW
        if self._asked is None and now - self._since > allowed and self._transport is not None:
            self._transport.abort()  # `close` would wait for who does not read its replies
