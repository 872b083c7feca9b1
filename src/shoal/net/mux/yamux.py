"""Yamux: many streams on one connection, each with a window of its own.

A frame is a header of twelve bytes: version, type, flags, stream id, length.
DATA carries `length` bytes; a WINDOW_UPDATE grants `length` further bytes to
the other side; PING is answered; GO_AWAY ends the opening of streams.  The
flags SYN, ACK, FIN and RST on DATA or WINDOW_UPDATE open, accept, half-close
and kill a stream.  The side that dialled opens odd ids, the other even ones.

A sender may have one window of unread bytes under way.  So back-pressure is
per stream and has no time limit: who does not read is not sent to.  A window
that is used up within a few round trips is too small for the path (its
bandwidth-delay product is larger), so it doubles, as long as the connection's
total allows it.

Bytes go to a stream's sink as they arrive: a DATA frame may be as large as
the window and is never gathered whole.

Specification: hashicorp/yamux spec.md; libp2p/specs yamux/README.md (windows
start at 256 KiB, round trips are measured by pings, error codes in RST and
GO_AWAY).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from shoal.config import setting
from shoal.errors import ClosedError, LimitError, ProtocolError, ResetError, ShoalError
from shoal.net.mux.channel import WINDOW, Channel
from shoal.net.mux.frames import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Frames,
)
from shoal.net.mux.sink import Deaf, How, Sink

PROTOCOL = "/yamux/1.0.0"
WINDOW_LIMIT = 2**32 - 1  # bytes: no peer can grant more than a length can say
BACKLOG = 256  # streams that we may have open and not yet accepted by the peer
WAITING_MAX = 4096  # streams that wait for room in the backlog
ANSWERS_MAX = 4096  # pongs and refusals for a peer in one period; more is a flood
ANSWERS_PERIOD = 30.0  # seconds
LINGER = 60.0  # seconds for the peer to end a stream that we have closed
LAST_ID = 2**32 - 1

NORMAL, PROTOCOL_ERROR, INTERNAL_ERROR = range(3)  # GO_AWAY
RESOURCES = 0x1002  # RST: libp2p's code for a limit that was reached


@dataclass(frozen=True, slots=True)
class YamuxSettings:
    """Limits of one yamux connection."""

    section: ClassVar[str] = "yamux"
    streams_max: int = setting(1000, "streams that a peer may have open", least=0)
    window_max: int = setting(16 << 20, "one stream's window", unit="B", least=WINDOW)
    growth_max: int = setting(64 << 20, "what all windows may grow by", unit="B", least=0)
    unread_max: int = setting(128 << 20, "unread data of all streams", unit="B", least=WINDOW)
    keepalive: float = setting(30.0, "between pings", unit="s", least=1)
    patience: float = setting(30.0, "without a byte after a ping", unit="s", least=1)


def refuse(_channel: Channel) -> None:
    """Accept no stream."""


class Yamux:
    """Both ends of the protocol; `initiator` dialled the secure channel."""

    def __init__(
        self,
        initiator: bool,
        now: float,
        settings: YamuxSettings | None = None,
        accept: Callable[[Channel], Sink | None] = refuse,
    ) -> None:
        self.settings = settings or YamuxSettings()
        self.accept = accept  # called with each stream that the peer opens; None refuses it
        self.round_trip: float | None = None  # seconds, measured
        self.gone_away: int | None = None  # the code of the peer's GO_AWAY
        self.channels: dict[int, Channel] = {}
        self.inbound = 0  # how many of them the peer opened
        self.unread = 0  # bytes, all streams together
        self._frames = Frames()
        self._initiator = initiator
        self._now = now
        self._next_id = 1 if initiator else 2
        self._unacknowledged = 0
        self._waiting: deque[Channel] = deque()  # for room in the backlog
        self._lingering: dict[int, Channel] = {}  # closed by us only, oldest first
        self._growth = 0  # bytes by which all windows have grown
        self._closing = False  # we sent GO_AWAY
        self._error: ShoalError | None = None
        self._answers = 0
        self._answers_until = now
        self._partial = bytearray()  # the beginning of a header
        self._reading: Channel | None = None  # whose DATA is arriving; None: nobody's
        self._body = 0  # bytes of it that are still to come
        self._fin = False  # and the stream ends after them
        self._ping = 0  # the number of the next ping
        self._ping_at = now
        self._heard = now
        self._pinged: float | None = None  # when the ping that is under way left
        self._send_ping(now)

    @property
    def out(self) -> list[bytes | bytearray | memoryview]:
        """What leaves next; whoever takes it clears it."""
        return self._frames.out

    # What arrives

    def receive(self, view: memoryview, now: float) -> int:
        """Take bytes of the connection, all of them."""
        self._now = self._heard = now
        end = len(view)
        at = 0
        try:
            if self._partial:
                at = self._finish_header(view, end)
            while at < end:
                if self._body:
                    at = self._take_body(view, at, end)
                elif end - at < HEADER.size:
                    self._partial += view[at:]
                    break
                else:
                    self._frame(*HEADER.unpack_from(view, at))
                    at += HEADER.size
        except ProtocolError:
            self.go_away(PROTOCOL_ERROR)
            raise
        return end

    def _finish_header(self, view: memoryview, end: int) -> int:
        missing = min(HEADER.size - len(self._partial), end)
        self._partial += view[:missing]
        if len(self._partial) == HEADER.size:
            fields = HEADER.unpack(self._partial)
            self._partial.clear()
            self._frame(*fields)
        return missing

    def _take_body(self, view: memoryview, at: int, end: int) -> int:
        stop = min(at + self._body, end)
        self._body -= stop - at
        channel = self._reading
        if channel is not None and not channel.dead:
            channel.sink.received(view[at:stop])
            if self._fin and not self._body:
                self._end_read(channel)
        return stop

    def _frame(self, version: int, kind: int, flags: int, number: int, length: int) -> None:
        if version != 0:
            raise ProtocolError(f"yamux version {version}")
        if kind == DATA:
            self._data(self._channel(flags, number), flags, length)
        elif kind == WINDOW_UPDATE:
            self._window_update(self._channel(flags, number), flags, length)
        elif kind == PING:
            self._answer_ping(flags, number, length)
        elif kind == GO_AWAY:
            self._receive_go_away(number, length)
        else:
            raise ProtocolError(f"yamux frame of unknown type {kind}")

    def _channel(self, flags: int, number: int) -> Channel | None:
        """Find or open the stream of a frame; None if nobody listens there."""
        if not number:
            raise ProtocolError("yamux frame for stream 0")
        if flags & SYN:
            return self._open_inbound(number)
        channel = self.channels.get(number)
        if channel is not None and not channel.acknowledged:
            self._acknowledge(channel)
        return channel

    def _open_inbound(self, number: int) -> Channel | None:
        if bool(number % 2) == self._initiator:
            raise ProtocolError(f"the peer opened stream {number}, which is ours to open")
        if number in self.channels:
            raise ProtocolError(f"the peer opened stream {number} twice")
        if self._closing or self.inbound >= self.settings.streams_max:
            self._refuse(number)
            return None
        channel = Channel(number, Deaf(), self._now, inbound=True)
        sink = self.accept(channel)
        if sink is None:
            self._refuse(number)
            return None
        channel.sink = sink
        self.channels[number] = channel
        self.inbound += 1
        self._frames.control(WINDOW_UPDATE, ACK, number, 0)
        return channel

    def _refuse(self, number: int) -> None:
        self._count_answer()
        self._frames.control(WINDOW_UPDATE, RST, number, RESOURCES)

    def _data(self, channel: Channel | None, flags: int, length: int) -> None:
        self._body = length
        self._fin = False
        self._reading = channel
        if channel is None:
            return
        if flags & RST:
            self._kill(channel, ResetError("the peer reset the stream"))
            return
        if length > channel.granted:
            raise ProtocolError(f"the peer sent {length} bytes into a window of {channel.granted}")
        channel.granted -= length
        if channel.deaf or channel.read_ended:
            self._drop(channel, flags)
            return
        if self.unread + length > self.settings.unread_max:
            self._reset(channel, RESOURCES, LimitError("too many bytes wait to be read"))
        else:
            channel.unread += length
            self.unread += length
        if flags & FIN:
            self._fin = True
            if not length and not channel.dead:
                self._end_read(channel)

    def _drop(self, channel: Channel, flags: int) -> None:
        """Nobody reads this stream: let its window run out, then say so."""
        self._reading = None
        if flags & FIN:
            self._end_read(channel)
        elif not channel.granted:
            self._reset(channel, NORMAL, None)

    def _window_update(self, channel: Channel | None, flags: int, length: int) -> None:
        if channel is None:
            return
        if flags & RST:  # its length is an error code
            reason = f" (code {length:#x})" if length else ""
            self._kill(channel, ResetError(f"the peer reset the stream{reason}"))
            return
        channel.send_window += length
        if channel.send_window > WINDOW_LIMIT:
            raise ProtocolError("the peer granted a window of more than 32 bits")
        if flags & FIN:
            self._end_read(channel)
        if length and channel.blocked:
            channel.blocked = False
            channel.sink.writable()

    def _answer_ping(self, flags: int, number: int, value: int) -> None:
        if number:
            raise ProtocolError(f"yamux ping on stream {number}")
        if flags & SYN:
            self._count_answer()
            self._frames.control(PING, ACK, 0, value)
        elif self._pinged is not None and value == (self._ping - 1) & WINDOW_LIMIT:
            sample = self._now - self._pinged
            self._pinged = None
            known = self.round_trip
            self.round_trip = sample if known is None else (known + sample) / 2

    def _receive_go_away(self, number: int, code: int) -> None:
        if number:
            raise ProtocolError(f"yamux go-away on stream {number}")
        self.gone_away = code
        if code:
            raise ClosedError(f"the peer ended the connection (code {code:#x})")
        while self._waiting:
            self._kill(self._waiting[0], ClosedError("the peer accepts no more streams"))

    def _count_answer(self) -> None:
        if self._now >= self._answers_until:
            self._answers_until = self._now + ANSWERS_PERIOD
            self._answers = 0
        self._answers += 1
        if self._answers > ANSWERS_MAX:
            raise ProtocolError("a flood of pings or refused streams")

    # What the owner asks for

    def open_stream(self, sink: Sink) -> Channel:
        """Open a stream: it can be written to at once, as far as `send` takes it."""
        if self._error is not None or self._closing or self.gone_away is not None:
            raise self._error or ClosedError("the connection opens no more streams")
        if len(self._waiting) >= WAITING_MAX:
            raise LimitError("too many streams wait to be opened")
        channel = Channel(0, sink, self._now, inbound=False)
        self._waiting.append(channel)
        self._open_waiting()
        return channel

    def send(self, channel: Channel, data: bytes | bytearray | memoryview) -> int:
        """Send as much as the window takes; `writable` is called when it takes the rest.

        The bytes must not change until `out` has been taken.
        """
        if channel.dead or channel.write_ended:
            raise ClosedError("the stream is closed for writing")
        size = len(data)
        if size > channel.send_window:
            channel.blocked = True
            size = channel.send_window
            data = memoryview(data)[:size]
        if size:
            channel.send_window -= size
            self._frames.data(channel.id, data, size)
        return size

    def consumed(self, channel: Channel, count: int, now: float | None = None) -> None:
        """The application has read so many bytes; the window opens again by half windows."""
        if channel.dead or channel.deaf:
            return
        assert count <= channel.unread, "consumed more than arrived"
        channel.unread -= count
        self.unread -= count
        credit = channel.window - channel.granted - channel.unread
        if credit * 2 < channel.window or channel.read_ended:
            return
        growth = self._growth_of(channel, self._now if now is None else now)
        channel.granted += credit + growth
        self._frames.control(WINDOW_UPDATE, 0, channel.id, credit + growth)

    def _growth_of(self, channel: Channel, now: float) -> int:
        room = min(
            self.settings.window_max - channel.window,
            self.settings.growth_max - self._growth,
        )
        growth = channel.grow(self.round_trip, now, room)
        self._growth += growth
        return growth

    def end(self, channel: Channel, how: How, code: int = 0) -> None:
        """End our side of a stream (see `How`); harmless on a dead one."""
        if channel.dead:
            return
        if how == "reset" or (how == "close" and not channel.opened):
            self._reset(channel, code, None)
            return
        if not channel.write_ended:
            channel.write_ended = True
            if channel.opened:
                self._frames.control(WINDOW_UPDATE, FIN, channel.id, 0)
        if how == "close" and not channel.deaf:
            channel.deaf = True
            channel.sink = Deaf()
            self._forget_unread(channel)
            channel.linger_until = self._now + LINGER
            self._lingering[channel.id] = channel
        if channel.read_ended:
            self._remove(channel)

    def go_away(self, code: int = NORMAL) -> None:
        """Accept no more streams; those that are open go on."""
        if not self._closing:
            self._closing = True
            self._frames.control(GO_AWAY, 0, 0, code)

    def closed(self, error: ShoalError | None = None) -> None:
        """The connection is lost, and with it all streams."""
        if self._error is None:
            self._error = error or ClosedError("the connection has ended")
            for channel in [*self._waiting, *self.channels.values()]:
                self._kill(channel, self._error)

    # Time

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do."""
        first = self._ping_at
        if self._pinged is not None:
            first = max(self._pinged, self._heard) + self.settings.patience
        if self._lingering:
            first = min(first, next(iter(self._lingering.values())).linger_until)
        return first

    def tick(self, now: float) -> None:
        """Keep the connection alive; ClosedError if the peer is dead."""
        self._now = now
        if self._pinged is None:
            if now >= self._ping_at:
                self._send_ping(now)
        elif now >= max(self._pinged, self._heard) + self.settings.patience:
            raise ClosedError(f"the peer was silent for {self.settings.patience:g} s")
        for channel in [*self._lingering.values()]:
            if channel.linger_until > now:
                break
            self._reset(channel, NORMAL, None)

    def _send_ping(self, now: float) -> None:
        self._frames.control(PING, SYN, 0, self._ping & WINDOW_LIMIT)
        self._ping += 1
        self._pinged = now
        self._ping_at = now + self.settings.keepalive

    # The life of a stream

    def _open_waiting(self) -> None:
        while self._waiting and self._unacknowledged < BACKLOG:
            if self._next_id > LAST_ID:
                raise LimitError("this connection has used up its stream numbers")
            channel = self._waiting.popleft()
            channel.id = self._next_id
            self._next_id += 2
            self._unacknowledged += 1
            self.channels[channel.id] = channel
            channel.opened = True
            channel.send_window = WINDOW
            self._frames.control(WINDOW_UPDATE, SYN, channel.id, 0)
            if channel.write_ended:
                self._frames.control(WINDOW_UPDATE, FIN, channel.id, 0)
            elif channel.blocked:
                channel.blocked = False
                channel.sink.writable()

    def _acknowledge(self, channel: Channel) -> None:
        channel.acknowledged = True
        self._unacknowledged -= 1
        self._open_waiting()

    def _end_read(self, channel: Channel) -> None:
        if channel.read_ended:
            return
        channel.read_ended = True
        if channel.write_ended:
            self._remove(channel)
        channel.sink.ended(None)

    def _reset(self, channel: Channel, code: int, error: ShoalError | None) -> None:
        if channel.opened:
            self._frames.control(WINDOW_UPDATE, RST, channel.id, code)
        self._remove(channel)
        if error is not None:
            channel.sink.ended(error)

    def _kill(self, channel: Channel, error: ShoalError) -> None:
        self._remove(channel)
        channel.sink.ended(error)

    def _remove(self, channel: Channel) -> None:
        channel.dead = True
        channel.write_ended = True
        self._forget_unread(channel)
        self._growth -= channel.window - WINDOW
        if not channel.opened:
            self._waiting.remove(channel)
            return
        del self.channels[channel.id]
        self._lingering.pop(channel.id, None)
        if channel.inbound:
            self.inbound -= 1
        elif not channel.acknowledged:
            self._acknowledge(channel)

    def _forget_unread(self, channel: Channel) -> None:
        self.unread -= channel.unread
        channel.unread = 0
