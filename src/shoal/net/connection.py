"""A connection: one peer, proved to be who it says, and many streams.

It is the core of a wire whose bytes a muxer sorts into streams, or it stands on
a session that brings streams of its own (QUIC, WebRTC).  It joins three
things that know nothing of each other: the muxer, the link that carries its
bytes, and the owner, who is told of new streams and of the end.
"""

import asyncio
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, Protocol

from shoal.errors import ClosedError, LimitError, ProtocolError, ShoalError
from shoal.net.multistream import Dialer, Listener
from shoal.net.mux.sink import How, Sink
from shoal.net.stream import Bytes, Stream
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

NEGOTIATION = 10.0  # seconds for a stream to agree on its protocol, as in js and go
FLUSH_SIZE = 4 * 65_507  # bytes sent before the tick is over: four full records of four frames
CHARGE_STEP = 64 * 1024  # bytes: memory is charged so coarsely, for it is done per read


class Muxer(Protocol):
    """Streams on a connection; `out`, `deadline`, `receive` and `tick` as in any core.

    A session that brings its own streams has the first six only.
    """

    accept: Callable[[Any], Sink | None]

    def open_stream(self, sink: Sink, /) -> Any: ...

    def send(self, channel: Any, data: Bytes, /) -> int: ...

    def consumed(self, channel: Any, count: int, /) -> None: ...

    def end(self, channel: Any, how: How, /) -> None: ...

    def go_away(self) -> None: ...

    def closed(self, error: ShoalError | None, /) -> None: ...


class Link(Protocol):
    """What carries a connection's bytes: a Wire, or a session of its own."""

    def wake(self) -> None: ...

    def leave(self) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def abort(self, error: Exception | None = None, /) -> None: ...

    async def wait_closed(self) -> None: ...


class Owner(Protocol):
    """Who keeps connections: the host."""

    @property
    def protocols(self) -> Container[str]: ...  # those that a peer may open here

    def admit(self, connection: "Connection", stream: Stream) -> bool: ...

    def agreed(self, connection: "Connection", stream: Stream) -> None: ...

    def released(self, connection: "Connection", stream: Stream) -> None: ...

    def ended(self, connection: "Connection", error: Exception | None) -> None: ...


@dataclass
class About:
    """What is known of a connection besides its streams."""

    initiator: bool  # we dialled
    remote: Multiaddr  # without /p2p
    security: str = ""
    muxer: str = ""
    opened: float = 0.0


class Connection:
    """One peer's streams."""

    def __init__(self, peer: PeerId, muxer: Any, link: Link, owner: Owner, about: About) -> None:
        self.peer = peer
        self.about = about
        self.streams: dict[Any, Stream] = {}  # by the muxer's channel
        self.error: Exception | None = None
        self.ended = False
        self.protocols: frozenset[str] | None = None  # what the peer speaks, once identified
        self.retired = False  # another connection to this peer takes the new streams
        self.used_at = about.opened  # when the peer last opened a stream that we serve
        self.scope: Any = None  # what charges it against the limits
        self.inbound: Any = None  # and its place among the inbound ones
        self._muxer = muxer
        self._link = link
        self._owner = owner
        self._fresh: list[Stream] = []  # opened by the peer within this call
        self._negotiating: dict[Stream, float] = {}  # -> until when; oldest first
        self._paused = False  # the link takes no more
        self._stalled: dict[Any, None] = {}  # channels that wait for it
        self._unflushed = 0
        self._charged = 0  # bytes of memory
        self.out: list[Any] = getattr(muxer, "out", [])
        muxer.accept = self._accept

    def __repr__(self) -> str:
        way = "to" if self.about.initiator else "from"
        return f"<Connection {way} {self.peer} at {self.about.remote}, {len(self.streams)} streams>"

    @property
    def traffic(self) -> dict[str, int]:
        """Bytes as they travelled; a session that counts none has none."""
        return {way: getattr(self._link, way, 0) for way in ("received", "sent")}

    # As a core

    @property
    def deadline(self) -> float | None:
        due: float | None = self._muxer.deadline
        if self._negotiating:
            first = next(iter(self._negotiating.values()))
            return first if due is None else min(first, due)
        return due

    def receive(self, view: memoryview, now: float) -> int:
        used: int = self._muxer.receive(view, now)
        if self._fresh:
            self._greet(now)
        unread = self._muxer.unread
        if not -CHARGE_STEP < unread - self._charged < CHARGE_STEP:
            self._charge(unread)
        return used

    def _charge(self, unread: int) -> None:
        """What waits to be read is memory; LimitError ends the connection that asks too much."""
        more, self._charged = unread - self._charged, unread
        if more < 0:
            self.scope.give("memory", -more)
            return
        try:
            self.scope.take("memory", more)
        except LimitError:
            self._charged -= more
            raise

    def tick(self, now: float) -> None:
        due = self._muxer.deadline
        if due is not None and due <= now:
            self._muxer.tick(now)
        self._expire(now)

    def closed(self, error: Exception | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.error = error
        lost = error if isinstance(error, ShoalError) else None
        self._muxer.closed(lost or ClosedError("the connection has ended"))
        self._charge(0)
        self._owner.ended(self, error)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        stalled, self._stalled = self._stalled, {}
        for channel in stalled:
            stream = self.streams.get(channel)
            if stream is not None:
                stream.writable()

    # As the carrier of its streams

    def send(self, channel: Any, data: Bytes, at_once: bool = False) -> int:
        """As much as the peer's window and the link take; it leaves with all of this tick."""
        taken, size = 0, len(data)
        while taken < size:
            if self._paused:
                self._stalled[channel] = None
                break
            if not self.out:
                self._unflushed = 0
            room = FLUSH_SIZE - self._unflushed
            whole = not taken and size <= room
            part = data if whole else memoryview(data)[taken : taken + room]
            count: int = self._muxer.send(channel, part)
            taken += count
            self._unflushed += count
            if self._unflushed >= FLUSH_SIZE:
                self._unflushed = 0
                self._link.flush()
            elif at_once:
                self._link.leave()
            else:
                self._link.wake()
            if count < len(part):
                break  # `writable` is called when the window opens
        return taken

    def consumed(self, channel: Any, count: int) -> None:
        self._muxer.consumed(channel, count)
        if self._charged:
            unread = self._muxer.unread
            if not unread or self._charged - unread >= CHARGE_STEP:
                self._charge(unread)
        if self.out:
            self._link.wake()

    def end(self, channel: Any, how: How) -> None:
        if not self.ended:
            self._muxer.end(channel, how)
            self._link.wake()

    # Streams

    def _accept(self, channel: Any) -> Stream | None:
        stream = Stream(self, self.peer, inbound=True, release=self._released)
        if not self._owner.admit(self, stream):
            return None
        stream.channel = channel
        self.streams[channel] = stream
        stream.negotiate(Listener(self._owner.protocols), self._agreed_inbound)
        if self._muxer is self._link and not self._fresh:  # a session calls nothing afterwards
            loop = asyncio.get_running_loop()
            loop.call_soon(self._greet, loop.time())
        self._fresh.append(stream)
        return stream

    def _greet(self, now: float) -> None:
        """Speak to new streams, in one frame with the answer where there is one already."""
        fresh, self._fresh = self._fresh, []
        for stream in fresh:
            stream.greet()
            if not stream.protocol and stream.channel in self.streams:
                self._limit(stream, now)

    def _limit(self, stream: Stream, now: float) -> None:
        self._negotiating[stream] = now + NEGOTIATION
        if self._muxer is self._link:  # a session has no tick for us
            asyncio.get_running_loop().call_later(NEGOTIATION, self._expire, now + NEGOTIATION)

    def _expire(self, now: float) -> None:
        while self._negotiating:
            stream, until = next(iter(self._negotiating.items()))
            if until > now:
                return
            del self._negotiating[stream]
            stream.reset(ProtocolError("no protocol was agreed in time"))

    def _agreed_inbound(self, stream: Stream, error: ShoalError | None) -> None:
        self._negotiating.pop(stream, None)
        if error is None:
            self._owner.agreed(self, stream)

    def _agreed_outbound(self, stream: Stream, error: ShoalError | None) -> None:
        """Nobody waits for a lazy agreement: its error is met by the first read."""
        self._negotiating.pop(stream, None)

    def _released(self, stream: Stream) -> None:
        self.streams.pop(stream.channel, None)
        self._stalled.pop(stream.channel, None)
        self._negotiating.pop(stream, None)
        self._owner.released(self, stream)

    async def open(self, protocols: list[str], *, lazy: bool = False) -> Stream:
        """Open a stream for the first of these protocols that the peer speaks.

        A lazy one is given back at once, with one protocol that the peer is known
        to speak; if it does not after all, the first read says so.
        """
        known = self.protocols
        if known is not None:
            protocols = [name for name in protocols if name in known] or protocols
            lazy = lazy or protocols[0] in known
        stream = Stream(self, self.peer, inbound=False, release=self._released)
        if not self._owner.admit(self, stream):
            raise LimitError("too many streams are open")
        self._start(stream, protocols[:1] if lazy else protocols)
        if not lazy:
            await self._agreement(stream)
        return stream

    def _start(self, stream: Stream, protocols: list[str]) -> None:
        try:
            dialer = Dialer(protocols)  # which refuses a name that is too long
            stream.channel = self._muxer.open_stream(stream)
        except ShoalError:
            self._owner.released(self, stream)
            raise
        self.streams[stream.channel] = stream
        stream.protocol = protocols[0]  # until another is agreed
        stream.negotiate(dialer, self._agreed_outbound)
        stream.greet()
        self._limit(stream, asyncio.get_running_loop().time())

    async def _agreement(self, stream: Stream) -> None:
        agreed = asyncio.get_running_loop().create_future()

        def tell(stream: Stream, error: ShoalError | None) -> None:
            self._agreed_outbound(stream, error)
            if agreed.done():
                return
            if error is None:
                agreed.set_result(None)
            else:
                agreed.set_exception(error)

        stream.when_agreed(tell)
        try:
            await agreed
        except asyncio.CancelledError:
            stream.reset()
            raise

    # The end

    @property
    def round_trip(self) -> float | None:
        """Seconds, as measured last."""
        return getattr(self._muxer, "round_trip", None)

    def close(self) -> None:
        """Say goodbye, send what waits, close."""
        if not self.ended:
            self._muxer.go_away()
            self._link.close()

    def abort(self, error: Exception | None = None) -> None:
        self._link.abort(error)

    async def wait_closed(self) -> None:
        await self._link.wait_closed()


def address_of(transport: asyncio.BaseTransport) -> Multiaddr:
    """Where the other end of a pipe is."""
    told: Multiaddr | None = transport.get_extra_info("multiaddr")
    if told is not None:
        return told
    name = transport.get_extra_info("peername")
    if not name:
        raise ClosedError("the peer has gone already")
    return Multiaddr.of(name[0], name[1])
