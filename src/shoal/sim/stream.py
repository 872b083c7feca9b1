"""Streams between simulated hosts: asyncio's transports, one at each end.

Bytes go through a `Flow` (flow.py, which states the model of TCP).  Here is what
the owner sees: protocols fed as the loop of real sockets would feed them, write
buffers that fill when the peer does not read, half-close, resets, keep-alive.

Reads come in pieces drawn from the seed: a reader that takes one `data_received`
for one message is wrong on real networks, and fails here.
"""

import asyncio
import socket
import struct
from collections import deque
from contextvars import Context
from errno import ECONNRESET, ETIMEDOUT
from typing import TYPE_CHECKING, Any

from shoal.sim.flow import ACCEPT, FIN, Flow, Segment
from shoal.sim.resolve import Address, SimSocket, shown
from shoal.sim.tcp import KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, SEND_BUFFER

if TYPE_CHECKING:
    from shoal.sim.host import Host
    from shoal.sim.server import Listener, Server

HIGH_WATER = 64 * 1024  # bytes; asyncio's default
BROKEN_READS = 1 / 16  # share of reads that bring less than what is there


class StreamTransport(asyncio.Transport):
    """One end of a connection."""

    __slots__ = (
        "_buffered",
        "_check_due",
        "_closed",
        "_closing",
        "_context",
        "_end_read",
        "_eof",
        "_family",
        "_feeding",
        "_flow",
        "_high",
        "_keepalive",
        "_last_heard",
        "_linger_zero",
        "_local",
        "_low",
        "_paused",
        "_probes",
        "_protocol",
        "_remote",
        "_socket",
        "_unread",
        "_writer_paused",
        "host",
        "life",
        "listener",
        "loop",
        "peer",
        "server",
        "unread_size",
    )

    def __init__(
        self, host: "Host", local: Address, remote: Address, family: int, context: Context
    ):
        self.host = host
        self.life = host.life  # the boot that this end lives in
        self.loop = host.loop
        self.peer: StreamTransport | None = None
        self.listener: Listener | None = None  # that has still to accept this end
        self.server: Server | None = None  # that accepted it
        self.unread_size = 0  # bytes that wait for a reader which has paused
        self._local = local
        self._remote = remote
        self._family = family
        self._context = context
        self._protocol: Any = None
        self._buffered = False
        self._socket: SimSocket | None = None
        self._flow = Flow(self)
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self._writer_paused = False
        self._unread: deque[bytes] = deque()
        self._paused = False
        self._feeding = False
        self._eof = False  # the peer's end has arrived
        self._end_read = False  # and the protocol knows
        self._closing = False
        self._closed = False
        self._linger_zero = False
        self._keepalive: list[float] | None = None  # idle, interval, probes
        self._last_heard = self.loop.now
        self._probes = 0
        self._check_due = 0.0
        if host.streams is None:
            host.streams = {}
        host.streams[self] = None

    def join(self, peer: "StreamTransport") -> None:
        """Make two ends one connection."""
        self.peer = self._flow.receiver = peer
        peer.peer = peer._flow.receiver = self

    def begin(self, protocol: Any, *, accept: bool = False) -> None:
        """The connection stands: tell the protocol, and the peer if we opened it."""
        self.set_protocol(protocol)
        if accept:
            self._flow.accept()
        self._context.run(protocol.connection_made, self)

    # Reading, as the owner sees it

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> Any:
        return self._protocol

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        if self._paused and not self._closing:
            self._paused = False
            if self._unread or self._eof:
                self.loop.call_soon(self._feed, context=self._context)

    # Writing, as the owner sees it

    def write(self, data: Any) -> None:
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                kind = type(data).__name__
                raise TypeError(f"data: expecting a bytes-like instance, got {kind}")
            data = bytes(data)
        flow = self._flow
        if self._closing or self._closed:
            return
        if flow.ending:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        flow.write(data)
        if flow.pending > self._high + SEND_BUFFER and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._closing and not self._flow.ending:
            self._flow.finish()

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return max(0, self._flow.pending - SEND_BUFFER)

    def drained(self) -> None:
        """The flow could send: resume the writer, or close if that was all."""
        size = self.get_write_buffer_size()
        if self._closing and size == 0:
            self._lose(None)
        elif self._writer_paused and size <= self._low and not self._closed:
            self._writer_paused = False
            self._call(self._protocol.resume_writing)

    # The end, as the owner sees it

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what was written, then the end; what was left unread resets the connection."""
        if self._closing:
            return
        self._closing = True
        if self._unread or self._linger_zero:
            self._reset()
            return
        self._flow.finish()
        if self.get_write_buffer_size() == 0:
            self._lose(None)

    def abort(self) -> None:
        """As close, but forget what the kernel has not taken yet."""
        if self._closed:
            return
        self._closing = True
        if self._unread or self._linger_zero:
            self._reset()
            return
        self._flow.forget(SEND_BUFFER)
        self._flow.finish()
        self._lose(None)

    def _force_close(self, error: BaseException | None) -> None:
        """What asyncio's TLS calls when it cannot go on."""
        self._closing = True
        self._flow.finish()
        self._lose(error)

    def _reset(self) -> None:
        """Cut the connection off; the peer hears of it in due time."""
        self._flow.stop()
        if self.peer is not None:
            self.peer._flow.reject()
        self._lose(None)

    # Names and options

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return shown(self._remote, self._family)
        if name == "sockname":
            return shown(self._local, self._family)
        if name == "socket":
            if self._socket is None:
                self._socket = SimSocket(socket.SOCK_STREAM, self._family, self)
            return self._socket
        return default

    def set_option(self, level: int, option: int, value: Any) -> None:
        """What `setsockopt` means here: an SO_LINGER of zero, and keep-alive."""
        if level == socket.SOL_SOCKET and option == socket.SO_LINGER:
            self._linger_zero = struct.unpack("ii", value) == (1, 0)
            return
        timers = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        if level == socket.SOL_SOCKET and option == socket.SO_KEEPALIVE and value:
            self._keepalive = [KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES]
        elif level == socket.IPPROTO_TCP and option in timers and self._keepalive:
            self._keepalive[timers.index(option)] = value
        else:
            return
        self._check_at(self.loop.now + self._keepalive[0])

    def _check_at(self, due: float) -> None:
        self._check_due = due
        self.loop.post(due, self._check_peer, (due,))

    def _check_peer(self, due: float) -> None:
        """Keep-alive: after a silence, probe; after enough silent probes, give up."""
        if self._closed or self._keepalive is None or self.peer is None or due != self._check_due:
            return
        loop, peer = self.loop, self.peer
        idle, interval, probes = self._keepalive
        silent_until = self._last_heard + idle
        if loop.now < silent_until:
            self._check_at(silent_until)
        elif self.host.network.linked(self.host, peer.host):
            if not peer.life.alive:
                self.fail(ConnectionResetError(ECONNRESET, "Connection reset by peer"))
                return
            self._last_heard = loop.now
            self._probes = 0
            self._check_at(loop.now + idle)
        elif self._probes >= probes:
            self.fail(TimeoutError(ETIMEDOUT, "Connection timed out"))
        else:
            self._probes += 1
            self._check_at(loop.now + interval)

    # What the network calls

    def take(self, segment: Segment) -> None:
        """A segment has arrived, in its turn."""
        self._last_heard = self.loop.now
        if self.listener is not None:
            listener, self.listener = self.listener, None
            if not listener.server.is_serving():  # it closed in the midst of the handshake
                self._closing = True
                self._reset()
                return
            self.server = listener.server
            listener.accept(self)
        if segment.kind == ACCEPT:
            return
        if segment.kind == FIN:
            self._eof = True
            if self.peer is not None:
                self.peer._flow.over = True
                if self.peer._closed:
                    self.peer._unlist()
        elif self._closed:
            if self.peer is not None and not self._eof:
                self.peer._flow.reject()
            return
        elif self._closing:
            return
        else:
            self._unread.append(segment.data)
            self.unread_size += segment.size
        if not self._paused and not self._feeding:
            self._context.run(self._feed)

    def _feed(self) -> None:
        """Hand what has arrived to the protocol until it pauses or closes."""
        self._feeding = True
        unread = self._unread
        try:
            while unread and not self._paused and not self._closing:
                data = unread.popleft()
                self.unread_size -= len(data)
                if self._buffered:
                    self._fill(data)
                elif self.host.network.rng.random() < BROKEN_READS and len(data) > 1:
                    cut = self.host.network.rng.randrange(1, len(data))
                    self._put_back(data[cut:])
                    self._protocol.data_received(data[:cut])
                else:
                    self._protocol.data_received(data)
            if self._eof and not (self._end_read or unread or self._paused or self._closing):
                self._end_read = True
                if not self._protocol.eof_received():
                    self.close()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fatal(error, "the protocol failed on what it received")
        finally:
            self._feeding = False
        if self.peer is not None:
            self.peer._flow.reader_has_room()

    def _put_back(self, data: bytes) -> None:
        if data:
            self._unread.appendleft(data)
            self.unread_size += len(data)

    def _fill(self, data: bytes) -> None:
        """Fill a BufferedProtocol's buffer: often wholly, sometimes by as little as a byte."""
        buffer = self._protocol.get_buffer(-1)
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
        size = min(len(data), len(buffer))
        rng = self.host.network.rng
        if rng.random() < BROKEN_READS:
            size = rng.randint(1, size)
        self._put_back(data[size:])
        memoryview(buffer).cast("B")[:size] = data[:size]
        self._protocol.buffer_updated(size)

    def fail(self, error: OSError) -> None:
        """The connection broke: a reset has arrived, or the timer gave up."""
        if not self.life.alive:
            return
        self._flow.stop()
        self._unread.clear()
        self._closing = True
        self._lose(error)
        self._unlist()

    def vanish(self) -> None:
        """The host lost its power."""
        self._closing = self._closed = True
        self._flow.stop()
        self._unread.clear()

    def unmake(self) -> None:
        """Nobody took our end of a connection that just stood: neither end was ever there."""
        for end in (self, self.peer):
            if end is not None:
                end.vanish()
                end._unlist()

    def _fatal(self, error: BaseException, message: str) -> None:
        self.loop.call_exception_handler(
            {
                "message": f"Fatal error: {message}",
                "exception": error,
                "transport": self,
                "protocol": self._protocol,
            }
        )
        if not self._closed:
            self._closing = True
            self._flow.stop()
            if self.peer is not None:
                self.peer._flow.reject()
            self._lose(error)

    def _call(self, function: Any) -> None:
        try:
            self._context.run(function)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            message = f"Exception in callback {function!r}"
            self.loop.call_exception_handler({"message": message, "exception": error})

    def _lose(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._unread.clear()
        self.unread_size = 0
        if self._flow.dead or self._flow.over:
            self._unlist()
        if self._protocol is not None:
            self.loop.call_soon(self._say_lost, error, context=self._context)

    def _say_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            if self.server is not None:
                self.server.lost(self)

    def _unlist(self) -> None:
        """Nothing is left to be sent: the host may forget this end."""
        if self.host.streams is not None:
            self.host.streams.pop(self, None)
