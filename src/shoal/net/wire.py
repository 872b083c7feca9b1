"""The one pump: bytes of a connection -> secure session -> one core, and back.

Every layer that is a coroutine with a queue costs a task switch for each
message.  Here the loop hands bytes to `buffer_updated`; they are decrypted in
place and the core is called with views of the same buffer, all before anybody
else runs.  What the core wants to send collects in its `out`; one callback a
loop iteration seals it and leaves it in one write.

What a core has, and may have more, is told in core.py.  Whoever makes a core
send something outside `receive`, `filled` and `tick` calls `wake` afterwards.
"""

import asyncio
from dataclasses import dataclass, field
from math import inf
from typing import cast

from shoal.errors import ClosedError, LimitError, ProtocolError, ResetError, ShoalError
from shoal.net.buffers import Buffers
from shoal.net.clock import clock_of
from shoal.net.core import Core, Session

KEEP_MAX = 4096  # bytes: a shorter incomplete frame is copied away, so that its buffer is free
NOTHING = memoryview(b"")


@dataclass(frozen=True)
class WireSettings:
    """Bounds of one wire."""

    idle: float | None = field(default=None, metadata={"help": "seconds without a byte"})
    closing: float = field(default=5.0, metadata={"help": "seconds to send the rest at close"})
    frame_max: int = field(default=4 << 20, metadata={"help": "bytes the core may wait for"})
    out_high: int = field(default=1 << 20, metadata={"help": "unsent bytes: writers pause"})
    out_low: int = field(default=256 << 10, metadata={"help": "unsent bytes: they go on"})
    out_max: int = field(default=8 << 20, metadata={"help": "unsent bytes: the wire is cut"})


class Wire(asyncio.BufferedProtocol):
    """One connection's pump.  Hand it to `create_connection`, or `feed` it by hand."""

    def __init__(
        self,
        core: Core,
        secure: Session | None = None,
        *,
        settings: WireSettings | None = None,
        buffers: Buffers | None = None,
    ) -> None:
        self.settings = settings or WireSettings()
        self.received = self.sent = 0  # bytes, as they travel
        self.error: Exception | None = None
        self.ended = self.lost = False  # nothing more comes or goes; and the transport has gone
        self.writable = True
        self._buffers = buffers or Buffers()
        self._view = NOTHING  # the receive buffer; _start to _end waits for the core
        self._start = self._end = 0
        self._kept = b""  # an incomplete frame while we hold no buffer
        self._plain = b""  # decrypted, but the core wants more of it at once
        self._target: memoryview | None = None  # the core's own buffer that is being filled
        self._reading = True
        self._held = False  # our owner asked for no more
        self._pumping = self._waking = self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed = inf  # when the timer rings
        self._ready_by = self._idle_at = inf  # when a handshake, and silence, must have ended
        self._reason = ""
        self._heard = 0.0
        self._gone: asyncio.Event | None = None  # for whoever waits for the end
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._adopt(core, secure)

    def _adopt(self, core: Core, secure: Session | None) -> None:
        self._core = core
        self._secure = secure
        whole = secure is None or secure.overhead == 0
        self._offer = getattr(core, "buffer_for_next", None) if whole else None
        self._pausable = hasattr(core, "pause_writing")
        self._fillable = hasattr(core, "full")

    @property
    def core(self) -> Core:
        return self._core

    @property
    def secure(self) -> Session | None:
        return self._secure

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    @property
    def closing(self) -> bool:
        return self._closing or self.ended

    def become(self, core: Core, secure: Session | None = None) -> None:
        """Go on with another core, as after a handshake; bytes that wait are its first."""
        self._flush()
        self._adopt(core, secure)
        if not self.writable and self._pausable:
            core.pause_writing()  # type: ignore[attr-defined]
        if not self._pumping:
            self._pump()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._clock = clock_of(self._loop)
        self._heard = self._clock()
        if self.settings.idle is not None:
            self._idle_at = self._heard + self.settings.idle
        if self.closing:  # before it began
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(self.settings.out_high, self.settings.out_low)
        connected = getattr(self._core, "connected", None)
        if connected is not None:
            try:
                connected(self._heard)
            except ShoalError as error:
                self.fail(error)
                return
        self._flush()
        self._arm()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._offer is not None and self._start == self._end and not self._kept:
            self._target = self._offer()
            if self._target is not None:
                return self._target
        if not self._view:
            self._load()
        elif len(self._view) - self._end < self._buffers.size // 4:
            self._compact()
        return self._view[self._end :] if self._end else self._view

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        if self.ended:
            return
        if self._target is None:
            self._end += nbytes
        self._pump(nbytes)

    def eof_received(self) -> bool:
        """Half-closing is for cores that know `finished`; to the others it is the end."""
        finished = getattr(self._core, "finished", None)
        if finished is None or self.ended:
            return False
        finished(self._clock())
        self._flush()
        return not self._closing

    def pause_writing(self) -> None:
        self.writable = False
        if self._pausable:
            self._core.pause_writing()  # type: ignore[attr-defined]
        self._set_reading()

    def resume_writing(self) -> None:
        self.writable = True
        if self._pausable:
            self._core.resume_writing()  # type: ignore[attr-defined]
        self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._finish(ResetError(str(exc) or type(exc).__name__) if exc else None)
        if self._timer is not None:
            self._timer.cancel()
        if self._gone is not None:
            self._gone.set()

    # Inwards

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Bytes from a transport that does not fill our buffer itself."""
        view = memoryview(data)
        while view and not self.closing:
            room = self.get_buffer(len(view))
            if not room:  # paused, and our feeder is not: its limit on messages bounds this
                self._enlarge(self._end + len(view))
                room = self._view[self._end :]
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.buffer_updated(count)
            view = view[count:]

    def _pump(self, count: int = 0) -> None:
        now = self._heard = self._clock()
        self._pumping = True
        try:
            if self._target is not None:
                self._fill(count, now)
            if self._plain:
                self._deliver(NOTHING, now)
            if self._kept:
                self._load()
            self._consume(now)
        except ShoalError as error:
            self.fail(error)
        finally:
            self._pumping = False
        if self.ended:
            self._release()
            return
        self._settle()
        self._flush()
        self._set_reading()
        self._arm()

    def _fill(self, count: int, now: float) -> None:
        target, self._target = self._target, None
        if self._secure is not None and target is not None:
            self._secure.open(target[:count])
        self._core.filled(count, now)  # type: ignore[attr-defined]

    def _consume(self, now: float) -> None:
        """Hand on what the buffer holds, until the core (or the next) wants more."""
        while self._start < self._end and not self.closing:
            core, secure = self._core, self._secure
            view = self._view[self._start : self._end]
            if secure is None:
                used = core.receive(view, now)
            else:
                plain, used = secure.open(view)
                for part in plain:
                    self._deliver(part, now)
            self._start += used
            if not used and core is self._core and secure is self._secure:
                return

    def _deliver(self, part: memoryview, now: float) -> None:
        """Decrypted bytes; what the core leaves is given again with what follows."""
        if self._plain:
            part = memoryview(b"".join((self._plain, part)))
            self._plain = b""
        while part:
            core = self._core
            part = part[core.receive(part, now) :]
            if core is self._core:
                break
        if part:
            if len(part) > self.settings.frame_max:
                raise ProtocolError(f"a frame longer than {self.settings.frame_max} bytes")
            self._plain = bytes(part)

    def _settle(self) -> None:
        """Free, move or enlarge the receive buffer, by what waits in it."""
        waits = self._end - self._start
        if not waits:
            if self._view:
                self._release()
            return
        if not self._view or (self._end < len(self._view) and waits > KEEP_MAX):
            return
        if waits <= KEEP_MAX:
            self._kept = bytes(self._view[self._start : self._end])
            self._release()
        elif waits < len(self._view):
            self._compact()
        elif waits < self.settings.frame_max:
            self._enlarge(min(2 * waits, self.settings.frame_max))
        elif self._reading and not self._blocked():
            self.fail(ProtocolError(f"a frame longer than {self.settings.frame_max} bytes"))

    def _load(self) -> None:
        self._view = self._buffers.take()
        self._start, self._end = 0, len(self._kept)
        if self._kept:
            self._view[: self._end] = self._kept
            self._kept = b""

    def _enlarge(self, size: int) -> None:
        larger = memoryview(bytearray(size))
        larger[: self._end] = self._view[: self._end]
        self._buffers.give(self._view)
        self._view = larger

    def _compact(self) -> None:
        waits = self._end - self._start
        self._view[:waits] = self._view[self._start : self._end]
        self._start, self._end = 0, waits

    def _release(self) -> None:
        self._buffers.give(self._view)  # which keeps only those of its size
        self._view = NOTHING
        self._start = self._end = 0

    # Back-pressure

    def pause_reading(self) -> None:
        """Our owner cannot take more now."""
        self._held = True
        self._set_reading()

    def resume_reading(self) -> None:
        self._held = False
        self.wake()

    def _blocked(self) -> bool:
        # A core that cannot be told to stop writing is not read while the other side does not.
        if self._held or not (self.writable or self._pausable):
            return True
        return self._fillable and bool(self._core.full)  # type: ignore[attr-defined]

    def _set_reading(self) -> None:
        reading = not self._blocked()
        if reading == self._reading or self.closing:
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # Outwards

    def wake(self) -> None:
        """The core has something to send, or can take more: at the end of this tick."""
        if not self._waking and not self._pumping and not self.ended:
            self._waking = True
            self._loop.call_soon(self._awake)

    def _awake(self) -> None:
        self._waking = False
        if self.ended:
            return
        if not self._reading and not self._blocked():
            self._pump()  # what waits in the buffer comes before what is still to be read
        else:
            self._flush()
            self._arm()

    def flush(self) -> None:
        """Send now what would leave at the end of this tick: for a writer that is far ahead."""
        if not self.ended:
            self._flush()

    def leave(self) -> None:
        """Send now if nothing was to leave in this tick yet; what comes after it is gathered."""
        if not self._waking and not self._pumping and not self.ended:
            self._flush()
            self.wake()

    def _flush(self) -> None:
        out = self._core.out
        if not out or self.closing or self._transport is None:
            return
        parts = out[:]
        out.clear()
        if self._secure is not None:
            parts = self._secure.seal(parts)
        self.sent += sum(map(len, parts))
        if len(parts) == 1:
            self._transport.write(parts[0])
        else:
            self._transport.writelines(parts)
        if not self.writable and self._transport.get_write_buffer_size() > self.settings.out_max:
            self.abort(LimitError(f"over {self.settings.out_max} bytes wait for the peer"))

    # Time

    def expect_ready(self, seconds: float, reason: str = "the handshake took too long") -> None:
        """Close unless `ready` is called in time."""
        self._ready_by = asyncio.get_running_loop().time() + seconds
        self._reason = reason
        if self._transport is not None:
            self._arm()

    def ready(self) -> None:
        self._ready_by = inf

    def _arm(self) -> None:
        """One timer; one that rings too early is armed anew when it rings."""
        due = self._core.deadline
        due = min(self._ready_by, self._idle_at, inf if due is None else due)
        if due < self._armed and not self.closing:
            if self._timer is not None:
                self._timer.cancel()
            self._armed = due
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        now = self._clock()
        self._armed, self._timer = inf, None
        if self.settings.idle is not None:
            self._idle_at = self._heard + self.settings.idle
        if self._ready_by <= now:
            self.fail(ProtocolError(self._reason))
        elif self._idle_at <= now:
            self.fail(ClosedError(f"nothing came for {self.settings.idle:g} s"))
        else:
            self._tick_core(now)

    def _tick_core(self, now: float) -> None:
        due = self._core.deadline
        if due is not None and due <= now:
            try:
                self._core.tick(now)
            except ShoalError as error:
                self.fail(error)
                return
            self._flush()
            self._set_reading()
        self._arm()

    # The end

    def close(self) -> None:
        """Send what waits, then close; a peer that does not read has `closing` seconds."""
        if self.closing:
            return
        self._flush()
        self._closing = True
        if self._transport is not None:
            self._transport.close()
            self._limit_closing()

    def fail(self, error: Exception) -> None:
        """Close because of an error; the core's last words are still sent."""
        if self.ended:
            return
        self._flush()
        self._finish(error)
        self._closing = True
        if self._transport is not None:
            self._transport.close()
            self._limit_closing()

    def abort(self, error: Exception | None = None) -> None:
        """Close at once."""
        self._finish(error)
        if self._transport is not None:
            self._transport.abort()
        elif self._gone is not None:
            self._gone.set()

    async def wait_closed(self) -> None:
        if not (self.lost or (self.ended and self._transport is None)):
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()

    def _limit_closing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self.settings.closing, self._transport.abort)

    def _finish(self, error: Exception | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.error = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._target = None
        self._kept = self._plain = b""
        if not self._pumping:
            self._release()
        self._core.closed(error)
