"""Publish and subscribe over WebSocket, as Grenache does it.

A publisher is a WebSocket server announced like a service; what it publishes
goes as one message to everybody who is connected: no topic, no envelope, no
replay.  A subscriber looks the name up, connects to one publisher and reads;
when that one goes it looks for another, so that only what was published in
between is lost.

A subscriber that does not keep up is disconnected when WAITING_MAX messages
wait for it: it cannot make the publisher remember more.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Self

from shoal.errors import LimitError, ProtocolError, RefusedError, UnreachableError
from shoal.net.web import BINARY, TEXT, Web, WebServer, accept, reply, wants_socket
from shoal.rpc.grenache import MESSAGE_MAX
from shoal.rpc.link import Link, check_name

if TYPE_CHECKING:
    from random import Random

    from aiohttp import web

log = logging.getLogger(__name__)

HOST = "0.0.0.0"
SUBSCRIBERS_MAX = 10_000
SAID_MAX = 1024  # bytes that a subscriber may say at a time
WAITING_MAX = 1000  # messages that wait for one subscriber
LOOKUP_TIMEOUT = 5.0  # seconds, as in grenache-nodejs-ws
RETRY = 0.5  # seconds before a subscriber looks again; doubles
RETRY_MAX = 10.0  # seconds

Message = str | bytes


class Publisher:
    """`async with Publisher(link, "news") as publisher: publisher.publish("hello")`."""

    def __init__(self, link: Link, name: str, *, host: str = HOST, port: int = 0) -> None:
        self.link = link
        self.name = check_name(name)
        self.host = host
        self.port = port
        self._queues: dict[int, asyncio.Queue[Message | None]] = {}
        self._count = 0
        self._web = WebServer(self._serve, connections=SUBSCRIBERS_MAX)
        self._open = False

    @property
    def subscribers(self) -> int:
        return len(self._queues)

    async def __aenter__(self) -> Self:
        self.port = await self._web.listen(self.host, self.port)
        self._open = True
        await self.link.announce(self.name, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open = False
        await self.link.withdraw(self.name, self.port)
        for queue in self._queues.values():
            queue.put_nowait(None)
        await self._web.aclose()

    def publish(self, message: Message) -> int:
        """Send to everybody connected; how many they are."""
        if len(message) > MESSAGE_MAX:
            raise LimitError(f"a message has at most {MESSAGE_MAX} bytes")
        for queue in self._queues.values():
            if queue.qsize() < WAITING_MAX:
                queue.put_nowait(message)
            elif queue.qsize() == WAITING_MAX:
                queue.put_nowait(None)  # it has had its chance
        return len(self._queues)

    async def _serve(self, request: "web.BaseRequest") -> "web.StreamResponse":
        if not wants_socket(request):
            return reply(b"this is a publisher: connect with a WebSocket", status=426)
        socket = await accept(request, limit=SAID_MAX)
        self._count += 1
        number = self._count
        queue = self._queues[number] = asyncio.Queue()
        sender = asyncio.create_task(self._send(socket, queue))
        try:
            async for _ in socket:  # a subscriber has nothing to say
                pass
        finally:
            del self._queues[number]
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return socket

    async def _send(self, socket: Any, queue: "asyncio.Queue[Message | None]") -> None:
        while (message := await queue.get()) is not None:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)
        await socket.close()


class Subscriber:
    """`async with Subscriber(link, "news") as news: async for message in news: ...`."""

    def __init__(self, link: Link, name: str, *, rng: "Random | None" = None) -> None:
        self.link = link
        self.name = check_name(name)
        self.rng = rng or SystemRandom()
        self.connected = asyncio.Event()  # while a publisher is connected
        self._web = Web()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._web.aclose()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Messages, from one publisher after another, for as long as you listen."""
        pause = RETRY
        while True:
            socket = await self._connect()
            if socket is None:
                await asyncio.sleep(pause * (0.5 + self.rng.random()))
                pause = min(2 * pause, RETRY_MAX)
                continue
            pause = RETRY
            self.connected.set()
            try:
                async for message in socket:
                    if message.type in (TEXT, BINARY):
                        yield message.data
            finally:
                self.connected.clear()
                await socket.close()

    async def _connect(self) -> Any:
        """A WebSocket to one publisher; None where none can be had now."""
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):  # for the Grape and the handshake
                addresses = await self.link.lookup(self.name, fresh=True)
                if not addresses:
                    return None
                address = self.rng.choice(addresses)
                return await self._web.socket(f"ws://{address}/ws", limit=MESSAGE_MAX)
        except (TimeoutError, UnreachableError, RefusedError, ProtocolError) as error:
            log.info("no publisher of %s: %s", self.name, error)
            return None
