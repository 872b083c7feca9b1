"""One direction of a connection: TCP's sender, its packets, and their arrival.

What is modelled: slow start, congestion and receive windows, the retransmission
timer with back-off, fast retransmit, the bottleneck queues of both hosts (which
acknowledgements share), head-of-line blocking, and that a peer which vanished
is noticed only by the timer.  Bytes travel in segments of up to 16 KiB (less
while the window is small), one event each; acknowledgements are accounted
without events unless a writer waits for them.

Not modelled: Nagle's algorithm (asyncio turns it off), delayed and selective
acknowledgements in detail: a lost segment is sent again alone.
"""

from collections import deque
from errno import ECONNRESET, ETIMEDOUT
from typing import TYPE_CHECKING

from shoal.sim.tcp import FRAME, MSS, RECEIVE_WINDOW, RETRIES, RTO_MAX, Reno

if TYPE_CHECKING:
    from shoal.sim.stream import StreamTransport

SEGMENT_MAX = 11 * MSS  # bytes in one event: about 16 KiB, what TLS sends at a time
SPREAD = 8  # segments that a window is cut into, so that a loss hits part of it
SLICE = 0.005  # seconds a segment may hold a slow pipe, so that others get between

DATA, FIN, ACCEPT = 0, 1, 2


class Segment:
    """Bytes on their way."""

    __slots__ = ("arrived", "data", "kind", "landed", "sent_at", "size", "tries")

    def __init__(self, kind: int, data: bytes, now: float):
        self.kind = kind
        self.data = data
        self.size = len(data)
        self.sent_at = now
        self.tries = 0
        self.landed = False  # through the receiver's pipe
        self.arrived = False


class Flow:
    """Sends what `sender` writes to `receiver`."""

    __slots__ = (
        "_acks",
        "_blocked",
        "_flight",
        "_in_flight",
        "_last_sent",
        "_loop",
        "_network",
        "_outgoing",
        "_waking",
        "dead",
        "ending",
        "finished",
        "over",
        "pending",
        "receiver",
        "reno",
        "sender",
    )

    def __init__(self, sender: "StreamTransport"):
        self.sender = sender
        self.receiver = sender  # until the handshake names the other end
        self.reno = Reno()
        self.pending = 0  # bytes written, not yet sent
        self.ending = False  # nothing will be written any more
        self.finished = False  # and the end has been sent
        self.over = False  # and has arrived
        self.dead = False  # nothing is sent any more
        self._loop = sender.host.loop
        self._network = sender.host.network
        self._outgoing: deque[bytes | memoryview] = deque()
        self._flight: deque[Segment] = deque()  # sent, not yet delivered, in order
        self._acks: deque[tuple[float, Segment]] = deque()  # when we shall hear of which
        self._in_flight = 0  # bytes of whose arrival the sender has not heard
        self._last_sent = self._loop.now
        self._blocked = False  # by a window
        self._waking = False  # an event will call _wake

    # What the sender calls

    def write(self, data: bytes) -> None:
        if not self._outgoing and len(data) <= MSS and not self._blocked and not self.dead:
            now = self._loop.now
            self._look(now)
            if self._room() >= len(data):  # most messages are short: straight on their way
                self._send(Segment(DATA, data, now))
                return
        self._outgoing.append(data)
        self.pending += len(data)
        self.pump()

    def finish(self) -> None:
        self.ending = True
        self.pump()

    def accept(self) -> None:
        """The third step of the handshake."""
        self._send(Segment(ACCEPT, b"", self._loop.now))

    def stop(self) -> None:
        """Send no more; what is on its way still arrives."""
        self.dead = True
        self._outgoing.clear()
        self.pending = 0

    def forget(self, keep: int) -> None:
        """Drop what was written last until `keep` bytes are left."""
        while self.pending > keep and self._outgoing:
            self.pending -= len(self._outgoing.pop())

    def pump(self) -> None:
        """Send as much as the windows let through, then the end if it is due."""
        if self.dead or self._blocked:
            return
        now = self._loop.now
        self._look(now)
        while self._outgoing:
            room = self._room()
            if room < MSS and room < self.pending:
                self._block()
                return
            self._send(Segment(DATA, self._take(room), now))
        if self.ending and not self.finished:
            self.finished = True
            self._send(Segment(FIN, b"", now))

    # Windows

    def _look(self, now: float) -> None:
        """Bring the windows up to date."""
        if self._acks and self._acks[0][0] <= now:
            self._hear(now)
        if now - self._last_sent > self.reno.rto:
            self.reno.rested()

    def _room(self) -> int:
        room = int(self.reno.window)
        unread = self.receiver.unread_size
        if unread and RECEIVE_WINDOW - unread < room:
            room = RECEIVE_WINDOW - unread
        return room - self._in_flight

    def _take(self, room: int) -> bytes:
        """The next segment's bytes."""
        limit = min(room, SEGMENT_MAX, max(MSS, int(self.reno.window) // SPREAD))
        pipe = self.sender.host.edge.uplink
        if pipe is not None:
            limit = min(limit, max(MSS, int(pipe.rate * SLICE)))
        first = self._outgoing[0]
        if len(first) > limit:
            self._outgoing[0] = memoryview(first)[limit:]
            self.pending -= limit
            return bytes(first[:limit])
        self._outgoing.popleft()
        parts, size = [first], len(first)
        while self._outgoing and size + len(self._outgoing[0]) <= limit:
            parts.append(self._outgoing.popleft())
            size += len(parts[-1])
        self.pending -= size
        return b"".join(parts) if len(parts) > 1 or type(first) is not bytes else first

    def _block(self) -> None:
        self._blocked = True
        if self._acks:
            self._wake_at(self._acks[0][0])

    def _wake_at(self, when: float) -> None:
        if not self._waking:
            self._waking = True
            self._loop.post(when, self._wake, ())

    def _wake(self) -> None:
        self._waking = False
        if self.dead:
            return
        self._hear(self._loop.now)  # while blocked: the window grows only if it is the limit
        self._blocked = False
        self.pump()
        self.sender.drained()

    def reader_has_room(self) -> None:
        """The receiver read on: it tells the sender, if that waits."""
        if self._blocked:
            delay = self._network.delay(self.receiver.host, self.sender.host)
            self._wake_at(self._loop.now + delay)

    def _hear(self, now: float) -> None:
        """Account the acknowledgements that have come in."""
        acks, reno = self._acks, self.reno
        limited = self._blocked or 2 * self._in_flight >= reno.window
        while acks and acks[0][0] <= now:
            when, segment = acks.popleft()
            self._in_flight -= segment.size
            if segment.tries == 0:  # Karn's algorithm: a repeated one measures nothing
                reno.measured(when - segment.sent_at)
            reno.acked(segment.size, limited)

    # Packets

    def _send(self, segment: Segment) -> None:
        self._in_flight += segment.size
        self._last_sent = segment.sent_at
        self._flight.append(segment)
        self._launch(segment)

    def _launch(self, segment: Segment) -> None:
        segment.landed = False
        packets = 1 + segment.size // MSS
        arrival = self._network.carry(
            self.sender.host, self.receiver.host, segment.size + FRAME * packets, packets
        )
        if arrival is None:
            self._lost(segment)
        else:
            self._loop.post(arrival, self._arrive, (segment,))

    def _lost(self, segment: Segment) -> None:
        """Later segments give the loss away after a round trip, else the timer does."""
        segment.tries += 1
        if segment.tries == 1 and self.reno.round_trip:
            when = segment.sent_at + self.reno.round_trip
            self._loop.post(max(when, self._loop.now), self._suspect, (segment,))
        else:
            self._await_timer(segment)

    def _suspect(self, segment: Segment) -> None:
        if self._in_flight - segment.size >= 3 * MSS:  # three duplicate acknowledgements
            self._repeat(segment, timer=False)
        else:
            self._await_timer(segment)

    def _await_timer(self, segment: Segment) -> None:
        wait = min(self.reno.rto * 2 ** (segment.tries - 1), RTO_MAX)
        when = max(segment.sent_at + wait, self._loop.now)
        self._loop.post(when, self._repeat, (segment,))

    def _repeat(self, segment: Segment, timer: bool = True) -> None:
        if self.dead:
            return
        if segment.tries > RETRIES:
            self.sender.fail(TimeoutError(ETIMEDOUT, "Connection timed out"))
            return
        now = self._loop.now
        if not segment.arrived:
            self.reno.lost(segment.sent_at, now, self._in_flight, timer=timer)
        segment.sent_at = now
        self._launch(segment)

    def _arrive(self, segment: Segment) -> None:
        """The segment is at the receiver's door."""
        network, loop = self._network, self._loop
        sender, receiver = self.sender, self.receiver
        if not segment.landed and (network.cuts or receiver.host.edge.downlink is not None):
            through = network.land(sender.host, receiver.host, segment.size + FRAME)
            if through is None:
                self._lost(segment)
                return
            segment.landed = True
            if through > loop.now:
                loop.post(through, self._arrive, (segment,))
                return
        if not receiver.life.alive:
            if receiver.host.life.alive:  # booted anew: it knows nothing of this connection
                self.reject()
            else:
                self._lost(segment)
            return
        network.arrived("stream", sender.host, receiver.host, segment.size)
        self._acknowledge(segment)
        if not segment.arrived:
            segment.arrived = True
            flight = self._flight
            while flight and flight[0].arrived:
                receiver.take(flight.popleft())

    def _acknowledge(self, segment: Segment) -> None:
        network, loop = self._network, self._loop
        one, other = self.receiver.host, self.sender.host
        if network.cuts and not network.reaches(one, other):
            self._lost(segment)
            return
        when = loop.now + network.delay(one, other)
        pipe = one.edge.uplink
        if pipe is not None and not network.local(one, other):
            # one acknowledgement for two packets; a later one makes up for one that was lost
            pipe.enter(FRAME * (2 + segment.size // MSS) // 2, loop.now)
            when += pipe.wait(loop.now)
        self._acks.append((when, segment))
        if self._blocked and not self._waking:
            self._wake_at(when)

    def reject(self) -> None:
        """Answer with a reset."""
        when = self._loop.now + self._network.delay(self.receiver.host, self.sender.host)
        error = ConnectionResetError(ECONNRESET, "Connection reset by peer")
        self._loop.post(when, self.sender.fail, (error,))
