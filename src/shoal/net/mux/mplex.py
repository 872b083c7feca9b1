"""mplex: the muxer of old libp2p peers, without windows.

A message is varint(stream id << 3 | flag) ‖ varint(length) ‖ data.  Both sides
count their streams from 0, so a stream is an id and who opened it; the flag
says which side speaks.  Nothing holds a sender back but the connection itself:
a stream whose reader is too slow is reset when too much waits.

Specification: libp2p/specs mplex/README.md (deprecated: yamux where both can).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from shoal.codec import varint
from shoal.config import setting
from shoal.errors import ClosedError, LimitError, ProtocolError, ResetError, ShoalError
from shoal.net.mux.sink import Deaf, How, Sink

PROTOCOL = "/mplex/6.7.0"
OPEN = 0
MESSAGE, CLOSE, RESET = 1, 3, 5  # from the side that did not open the stream; else one more
MESSAGE_MAX = 1024 * 1024  # bytes: the specification's bound
DATA_MAX = 65_507  # bytes that we put into one: with its header they fill one Noise record
NAME_MAX = 1024  # bytes of a stream's name, which nobody needs
HEADER_MAX = 2 * varint.BYTES_MAX
LINGER = 60.0  # seconds for the peer to end a stream that we have closed
REFUSALS_MAX = 4096  # streams that we refuse to a peer in one period; more is a flood
REFUSALS_PERIOD = 30.0  # seconds

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class MplexSettings:
    """Limits of one mplex connection."""

    section: ClassVar[str] = "mplex"
    streams_max: int = setting(1000, "streams that a peer may have open", least=0)
    stream_unread_max: int = setting(4 << 20, "unread data of one stream", unit="B", least=1 << 20)
    unread_max: int = setting(64 << 20, "unread data of all streams", unit="B", least=1 << 20)


class Channel:
    """One stream as the muxer knows it."""

    __slots__ = (
        "dead",
        "deaf",
        "id",
        "linger_until",
        "ours",
        "read_ended",
        "sink",
        "unread",
        "write_ended",
    )

    def __init__(self, number: int, sink: Sink, *, ours: bool) -> None:
        self.id = number
        self.sink = sink
        self.ours = ours  # we opened it
        self.unread = 0  # arrived, or promised by a header, and not consumed
        self.read_ended = False
        self.write_ended = False
        self.deaf = False  # closed by us: what arrives is dropped
        self.dead = False  # out of the table
        self.linger_until = 0.0


def refuse(_channel: Channel) -> None:
    """Accept no stream."""


class Mplex:
    """Both ends of the protocol."""

    def __init__(
        self,
        initiator: bool,
        now: float,
        settings: MplexSettings | None = None,
        accept: Callable[[Channel], Sink | None] = refuse,
    ) -> None:
        self.settings = settings or MplexSettings()
        self.accept = accept  # called with each stream that the peer opens; None refuses it
        self.out: list[Bytes] = []
        self.initiator = initiator  # which makes no difference here
        self.channels: dict[tuple[int, bool], Channel] = {}  # by id and whether we opened it
        self.inbound = 0  # how many of them the peer opened
        self.unread = 0  # bytes, all streams together
        self._now = now
        self._next_id = 0
        self._lingering: dict[Channel, None] = {}  # closed by us only, oldest first
        self._closing = False
        self._error: ShoalError | None = None
        self._refusals = 0
        self._refusals_until = now
        self._partial = bytearray()  # the beginning of a header
        self._reading: Channel | None = None  # whose message is arriving; None: nobody's
        self._body = 0  # bytes of it that are still to come

    # What arrives

    def receive(self, view: memoryview, now: float) -> int:
        """Take bytes of the connection, all of them."""
        self._now = now
        end = len(view)
        at = 0
        while at < end:
            at = self._take_body(view, at, end) if self._body else self._take_header(view, at)
        return end

    def _take_body(self, view: memoryview, at: int, end: int) -> int:
        stop = min(at + self._body, end)
        self._body -= stop - at
        channel = self._reading
        if channel is not None and not channel.dead:
            channel.sink.received(view[at:stop])
        return stop

    def _take_header(self, view: memoryview, at: int) -> int:
        held = len(self._partial)
        self._partial += view[at : at + HEADER_MAX]
        taken = len(self._partial) - held
        first = varint.try_decode(self._partial)
        second = first and varint.try_decode(self._partial, first[1])
        if first is None or second is None:
            return at + taken
        (header, _), (length, used) = first, second
        self._partial.clear()
        self._frame(header >> 3, header & 7, length)
        return at + used - held

    def _frame(self, number: int, flag: int, length: int) -> None:
        if length > MESSAGE_MAX:
            raise ProtocolError(f"mplex message of {length} bytes")
        self._body = length
        self._reading = None
        if flag == OPEN:
            self._open_inbound(number, length)
            return
        if flag > RESET + 1:
            raise ProtocolError(f"mplex message with unknown flag {flag}")
        by_opener = flag % 2 == 0
        channel = self.channels.get((number, not by_opener))
        if channel is None:
            return
        kind = flag - by_opener
        if kind == MESSAGE:
            self._message(channel, length)
        elif kind == CLOSE:
            self._end_read(channel)
        else:
            self._kill(channel, ResetError("the peer reset the stream"))

    def _open_inbound(self, number: int, length: int) -> None:
        if length > NAME_MAX:
            raise ProtocolError(f"mplex stream with a name of {length} bytes")
        if (number, False) in self.channels:
            raise ProtocolError(f"the peer opened stream {number} twice")
        channel = Channel(number, Deaf(), ours=False)
        if self._closing or self.inbound >= self.settings.streams_max:
            self._refuse(channel)
            return
        sink = self.accept(channel)
        if sink is None:
            self._refuse(channel)
            return
        channel.sink = sink
        self.channels[number, False] = channel
        self.inbound += 1

    def _refuse(self, channel: Channel) -> None:
        if self._now >= self._refusals_until:
            self._refusals_until = self._now + REFUSALS_PERIOD
            self._refusals = 0
        self._refusals += 1
        if self._refusals > REFUSALS_MAX:
            raise ProtocolError("a flood of refused streams")
        self._say(channel, RESET)

    def _message(self, channel: Channel, length: int) -> None:
        if channel.deaf or channel.read_ended:
            return
        settings = self.settings
        if (
            channel.unread + length > settings.stream_unread_max
            or self.unread + length > settings.unread_max
        ):
            self._reset(channel, LimitError("too many bytes wait to be read"))
            return
        channel.unread += length
        self.unread += length
        self._reading = channel

    # What the owner asks for

    def open_stream(self, sink: Sink) -> Channel:
        if self._error is not None or self._closing:
            raise self._error or ClosedError("the connection opens no more streams")
        channel = Channel(self._next_id, sink, ours=True)
        self._next_id += 1
        self.channels[channel.id, True] = channel
        name = str(channel.id).encode()
        self.out.append(varint.encode(channel.id << 3 | OPEN) + varint.encode(len(name)) + name)
        return channel

    def send(self, channel: Channel, data: Bytes) -> int:
        """Send all of it.  The bytes must not change until `out` has been taken."""
        if channel.dead or channel.write_ended:
            raise ClosedError("the stream is closed for writing")
        view = memoryview(data)
        for start in range(0, len(view), DATA_MAX):
            piece = view[start : start + DATA_MAX]
            self._say(channel, MESSAGE, len(piece))
            self.out.append(piece)
        return len(view)

    def consumed(self, channel: Channel, count: int, now: float | None = None) -> None:
        """The application has read so many bytes."""
        if not channel.dead and not channel.deaf:
            assert count <= channel.unread, "consumed more than arrived"
            channel.unread -= count
            self.unread -= count

    def end(self, channel: Channel, how: How) -> None:
        """End our side of a stream (see `How`); harmless on a dead one."""
        if channel.dead:
            return
        if how == "reset":
            self._reset(channel, None)
            return
        if not channel.write_ended:
            channel.write_ended = True
            self._say(channel, CLOSE)
        if how == "close" and not channel.deaf:
            channel.deaf = True
            channel.sink = Deaf()
            self._forget_unread(channel)
            channel.linger_until = self._now + LINGER
            self._lingering[channel] = None
        if channel.read_ended:
            self._remove(channel)

    def go_away(self) -> None:
        """Accept no more streams; mplex has no word for it."""
        self._closing = True

    def closed(self, error: ShoalError | None = None) -> None:
        """The connection is lost, and with it all streams."""
        if self._error is None:
            self._error = error or ClosedError("the connection has ended")
            for channel in [*self.channels.values()]:
                self._kill(channel, self._error)

    # Time

    @property
    def deadline(self) -> float | None:
        return next((channel.linger_until for channel in self._lingering), None)

    def tick(self, now: float) -> None:
        """Forget the streams which the peer does not end."""
        self._now = now
        for channel in [*self._lingering]:
            if channel.linger_until > now:
                break
            self._reset(channel, None)

    # The life of a stream

    def _say(self, channel: Channel, kind: int, length: int = 0) -> None:
        header = varint.encode(channel.id << 3 | (kind + channel.ours))
        self.out.append(header + varint.encode(length))

    def _end_read(self, channel: Channel) -> None:
        if channel.read_ended:
            return
        channel.read_ended = True
        if channel.write_ended:
            self._remove(channel)
        channel.sink.ended(None)

    def _reset(self, channel: Channel, error: ShoalError | None) -> None:
        self._say(channel, RESET)
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
        del self.channels[channel.id, channel.ours]
        self._lingering.pop(channel, None)
        self.inbound -= not channel.ours

    def _forget_unread(self, channel: Channel) -> None:
        self.unread -= channel.unread
        channel.unread = 0
