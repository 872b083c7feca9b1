"""Carries a node's questions and answers over the host's streams.

A stream to a peer is kept when its answer has come, and the next question
takes it: no agreement on a protocol, no new stream.  A peer may close what is
idle at any time, so a question that fails on a kept stream is asked once more
on a fresh one.  An announcement has no answer; we say that we have finished
and wait for the peer's end of the stream, which tells that it was read.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from shoal.dht.guard import Guard
from shoal.dht.kademlia import Kademlia
from shoal.dht.libp2p.core import Core
from shoal.dht.libp2p.messages import REPLY_MAX, REQUEST_MAX
from shoal.dht.libp2p.places import LOOPBACK, reach_of
from shoal.dht.libp2p.replies import Asker
from shoal.dht.questions import Answer, Question, Verb
from shoal.errors import ClosedError, LimitError, NotFoundError, ProtocolError, ShoalError
from shoal.net.connection import Connection
from shoal.net.host import Host
from shoal.net.stream import Stream
from shoal.net.tasks import Tasks
from shoal.peer.id import PeerId

ASK_MAX = 10.0  # seconds for one question, with the dial before it (go's)
IDLE = 60.0  # seconds after which we close a stream on which nobody asks, on either side (go's)
KEPT_MAX = 256  # streams that wait for another question
SERVED_MAX = 32  # streams that one peer may have here (js's)


class Lines:
    """Streams to peers, one of each kept for the next question."""

    def __init__(self, host: Host, protocol: str) -> None:
        self._host = host
        self._protocol = protocol
        self._kept: dict[PeerId, tuple[Stream, float]] = {}  # -> since when; the oldest first

    def __len__(self) -> int:
        return len(self._kept)

    async def ask(self, peer: PeerId, data: bytes, *, silent: bool) -> bytes:
        """The answer to a message with its length in front; empty where there is none."""
        standing = self._host.connection(peer)
        if standing is not None and self._refuses(standing):
            raise NotFoundError(f"{peer} is a client: it does not answer")
        kept = self._kept.pop(peer, None)
        if kept is not None:
            try:
                return await self._exchange(kept[0], data, silent=silent)
            except ClosedError:
                pass  # it has ended while it was idle
        connection = await self._host.dial(peer)
        stream = await connection.open([self._protocol], lazy=True)
        return await self._exchange(stream, data, silent=silent)

    def _refuses(self, connection: Connection) -> bool:
        return connection.protocols is not None and self._protocol not in connection.protocols

    async def _exchange(self, stream: Stream, data: bytes, *, silent: bool) -> bytes:
        try:
            await stream.write(data)
            if silent:
                await self._end(stream)
                return b""
            reply = await stream.read_message(REPLY_MAX)
        except BaseException:
            stream.reset()
            raise
        self._keep(stream)
        return reply

    async def _end(self, stream: Stream) -> None:
        await stream.close_write()
        try:
            while await stream.read():
                pass
        except ClosedError:
            if not stream.protocol:
                raise
        await stream.close()  # some reset a stream whose last question they have read

    def _keep(self, stream: Stream) -> None:
        now = asyncio.get_running_loop().time()
        former = self._kept.pop(stream.peer, None)
        self._kept[stream.peer] = stream, now
        if former is not None:
            former[0].reset()
        if len(self._kept) > KEPT_MAX:
            self._drop(next(iter(self._kept)))

    def sweep(self, now: float) -> None:
        while self._kept:
            peer, (_, since) = next(iter(self._kept.items()))
            if now - since < IDLE:
                return
            self._drop(peer)

    def close(self) -> None:
        for peer in list(self._kept):
            self._drop(peer)

    def _drop(self, peer: PeerId) -> None:
        stream, _ = self._kept.pop(peer)
        stream.reset()


class Carrier:
    """One core on one host."""

    def __init__(self, core: Core, host: Host, *, rate: float) -> None:
        loop = asyncio.get_running_loop()
        self.core = core
        self.tasks = Tasks()
        self.lines = Lines(host, core.protocol)
        self.address = first_socket(host)
        self.changed: Callable[[], None] | None = None  # is told now and then, and looks around
        self._host = host
        self._loop = loop
        self._guard = Guard(loop.time(), rate=rate)
        self._serving: dict[PeerId, int] = {}  # -> streams
        self._timer: Any = None
        self._timer_at = float("inf")
        self._closed = False

    @property
    def engine(self) -> Kademlia:
        return self.core.engine

    def stored(self, verb: Verb, key: bytes) -> list[Any]:
        return self.core.stored(verb, key, self._loop.time())

    def poke(self) -> None:
        """Somebody has asked the engine for something."""
        if self._closed:
            return
        out = self.engine.out
        for question in out:
            _ = self.tasks.start(self._ask(question), f"kad {question.verb.value}")
        out.clear()
        self._arm()

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.lines.close()

    async def aclose(self) -> None:
        self.close()
        await self.tasks.aclose()
        self.engine.questions.close(self._loop.time())

    # Asking

    async def _ask(self, question: Question) -> None:
        number = question.number
        try:
            answer = await self._answer(question)
        except ProtocolError:
            self.engine.refused(number, self._loop.time())
        except (ShoalError, TimeoutError):
            self.engine.unreachable(number, self._loop.time())
        else:
            self.engine.answered(number, answer, self._loop.time())
        self.poke()

    async def _answer(self, question: Question) -> Answer:
        peer = question.contact.address
        assert isinstance(peer, PeerId), "contacts are asked by their id"
        silent = question.verb is Verb.ADD_PROVIDER
        if silent or question.verb is Verb.PUT_VALUE:
            self.core.kept(question.key, question.argument if not silent else None, self._now)
        async with asyncio.timeout(ASK_MAX):
            data = await self.lines.ask(peer, self.core.request(question, self._now), silent=silent)
        connection = self._host.connection(peer)
        if connection is None:
            raise ClosedError("the connection ended with the answer")
        remote = connection.about.remote
        if silent:
            return self.core.answer(question, remote, self._now)
        return self.core.read(question, data, remote, self._now)

    @property
    def _now(self) -> float:
        now: float = self._loop.time()
        return now

    # Answering

    async def serve(self, stream: Stream) -> None:
        """A stream on which a peer asks."""
        peer = stream.peer
        connection = self._host.connection(peer)
        streams = self._serving.get(peer, 0)
        if (
            connection is None
            or streams >= SERVED_MAX
            or not self.core.welcomes(connection.about.remote)
        ):
            stream.reset(LimitError("no more streams for this peer"))
            return
        self._serving[peer] = streams + 1
        try:
            await self._serve(stream, connection)
        finally:
            self._serving[peer] -= 1
            if not self._serving[peer]:
                del self._serving[peer]

    async def _serve(self, stream: Stream, connection: Connection) -> None:
        asker = Asker(stream.peer, connection.about.remote)
        while True:
            try:
                async with asyncio.timeout(IDLE):
                    data = await stream.read_message(REQUEST_MAX)
            except (ClosedError, TimeoutError):
                return  # it has no more questions
            self._admit(asker)
            reply = self.core.serve(data, asker, self._now)
            if reply is not None:
                try:
                    async with asyncio.timeout(ASK_MAX):
                        await stream.write(reply)
                except TimeoutError:
                    raise LimitError("the peer does not read its answer") from None

    def _admit(self, asker: Asker) -> None:
        """One network's questions are counted together; those of this machine are not."""
        host = asker.remote.host
        if host and reach_of(asker.remote) != LOOPBACK and not self._guard.admits(host, self._now):
            raise LimitError("too many questions from this network")

    # Time

    def _arm(self) -> None:
        deadline = self.engine.deadline
        if deadline < self._timer_at and not self._closed:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer_at = float("inf")
        self._timer = None
        now = self._now
        self.engine.tick(now)
        self.lines.sweep(now)
        if self.changed is not None:
            self.changed()
        self.poke()


def first_socket(host: Host) -> tuple[str, int]:
    """Where the host listens first; port 0 if it does not."""
    for address in host.addresses:
        if address.host and address.port:
            return address.host, address.port
    return "", 0
