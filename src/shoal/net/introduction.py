"""Who are you: identify, identify-push and ping, driven on a host.

Both sides of a new connection ask each other.  Until the answer has come a
peer's protocols are unknown and a stream costs one round trip more.
"""

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING

from shoal.errors import LimitError, ProtocolError, ShoalError
from shoal.net.clock import clock_of
from shoal.net.connection import Connection
from shoal.net.host import Host
from shoal.net.identify import (
    IDENTIFY,
    MESSAGE_MAX,
    MESSAGES_MAX,
    PING,
    PING_SIZE,
    PUSH,
    Identity,
    describe,
    read,
)
from shoal.net.stream import Stream
from shoal.peer.book import CONFIRMED, Book
from shoal.peer.record import PeerRecord

if TYPE_CHECKING:
    from shoal.peer.id import PeerId
    from shoal.peer.multiaddr import Multiaddr

PATIENCE = 30.0  # seconds for an answer; current go and js allow 5 s, older go 60 s
PING_IDLE = 60.0  # seconds between the pings of one stream
READ_MAX = MESSAGE_MAX * MESSAGES_MAX


class Introduction:
    """What a host says of itself and hears of others."""

    def __init__(
        self,
        host: Host,
        book: Book,
        *,
        agent: str,
        extra: Iterable[str] = (),
        sequence: Callable[[], int],
    ) -> None:
        self.heard: list[Callable[[Connection, Identity], None]] = []  # told of each answer
        self._host = host
        self._book = book
        self._agent = agent
        self._extra = list(extra)  # protocols that need no handler, as security protocols
        self._sequence = sequence  # grows from record to record, and over restarts
        self._asking: dict[Connection, asyncio.Task[None]] = {}
        self._pushing: dict[PeerId, Stream] = {}  # one at a time: what it has said is memory
        self._record: tuple[list[Multiaddr], bytes] = ([], b"")
        host.handle(IDENTIFY, self._tell)
        host.handle(PUSH, self._take)
        host.handle(PING, answer_pings)
        host.watchers.append(self._watch)

    def _watch(self, event: str, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if event == "connected":
            self._book.hold(connection.peer, now)
            task = self._host.tasks.start(self._ask(connection), f"identify {connection.peer}")
            self._asking[connection] = task
        elif event == "ended":
            self._book.release(connection.peer)
            asking = self._asking.pop(connection, None)
            if asking is not None:
                asking.cancel()

    async def wait(self, connection: Connection) -> None:
        """Until the peer has answered or will not."""
        asking = self._asking.get(connection)
        if asking is not None:
            await asyncio.wait([asking])

    async def _ask(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                stream = await connection.open([IDENTIFY], lazy=True)
                async with stream:
                    self._learn(connection, await read_all(stream))
        except (TimeoutError, ShoalError):
            return  # the connection may be of use all the same
        finally:
            self._asking.pop(connection, None)

    def _learn(self, connection: Connection, data: bytes) -> None:
        identity = read(data)
        peer = connection.peer
        identity.check(peer)
        now = asyncio.get_running_loop().time()
        connection.protocols = frozenset(identity.protocols)
        self._book.set_protocols(peer, identity.protocols, now)
        self._book.add(peer, identity.listening(peer), now, CONFIRMED)
        if identity.record and identity.record != self._book.record(peer):
            self._book.certify(identity.record, now)  # whoever it speaks of has signed it
        for listener in self.heard:
            listener(connection, identity)

    def message(self, connection: Connection | None) -> bytes:
        """What we say of ourselves, with its length."""
        host = self._host
        addresses = [address.without_peer() for address in host.addresses]
        if self._record[0] != addresses:
            sealed = PeerRecord.seal(host.offer.key, addresses, self._sequence())
            self._record = addresses, sealed
        return describe(
            host.offer.key.public,
            addresses,
            [*host.protocols, *self._extra],
            connection.about.remote if connection is not None else None,
            agent=self._agent,
            record=self._record[1] if addresses else b"",
        )

    async def _tell(self, stream: Stream) -> None:
        await stream.write(self.message(self._host.connection(stream.peer)))

    async def _take(self, stream: Stream) -> None:
        older = self._pushing.pop(stream.peer, None)
        if older is not None:
            older.reset(LimitError("the peer has begun another identify-push"))
        self._pushing[stream.peer] = stream
        try:
            async with asyncio.timeout(PATIENCE):
                data = await read_all(stream)
        finally:
            if self._pushing.get(stream.peer) is stream:
                del self._pushing[stream.peer]
        connection = self._host.connection(stream.peer)
        if connection is not None:
            self._learn(connection, data)

    async def push(self) -> None:
        """Tell everybody who listens that our protocols or addresses have changed."""
        for connection in self._host.connections:
            if connection.protocols is not None and PUSH in connection.protocols:
                _ = self._host.tasks.start(self._push(connection), f"push to {connection.peer}")

    async def _push(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                async with await connection.open([PUSH], lazy=True) as stream:
                    await stream.write(self.message(connection))
        except (TimeoutError, ShoalError):
            return


async def read_all(stream: Stream) -> bytes:
    """Until the peer has said everything; what came before a reset counts."""
    data = bytearray()
    try:
        while part := await stream.read():
            data += part
            if len(data) > READ_MAX:
                raise ProtocolError("identify messages that do not end")
    except ProtocolError:
        raise
    except ShoalError:
        if not data:
            raise
    return bytes(data)


async def answer_pings(stream: Stream) -> None:
    while True:
        async with asyncio.timeout(PING_IDLE):
            data = await stream.read(PING_SIZE)
        if not data:
            return
        await stream.write(data)


async def ping(stream: Stream, rng: Random) -> float:
    """One round trip on a ping stream, in seconds."""
    clock = clock_of(asyncio.get_running_loop())
    payload = rng.randbytes(PING_SIZE)
    started = clock()
    await stream.write(payload)
    if await stream.readexactly(PING_SIZE) != payload:
        raise ProtocolError("the peer answered a ping with other bytes")
    return clock() - started
