"""One stream as the yamux muxer knows it: its windows, and which sides have ended.

The peer may send `window` bytes beyond what was consumed: `granted` of them
are still to come, `unread` have arrived, and the rest is credit, which a
WINDOW_UPDATE gives back when it has become half a window.

If half a window is used up within a few round trips, the window, not the
reader, holds the sender back: the path's bandwidth times its delay is more.

libp2p/specs yamux/README.md, "flow control"; hashicorp/yamux spec.md.
"""

from shoal.net.mux.sink import Sink

WINDOW = 256 * 1024  # bytes: what both sides may send before the first update
GROWTH_ROUND_TRIPS = 4  # half a window read within so many round trips: it is too small
ROUND_TRIP_MIN = 0.001  # seconds: uvloop's clock has no finer steps, and one of 0 grows nothing


class Channel:
    """The books of one stream."""

    __slots__ = (
        "acknowledged",
        "blocked",
        "dead",
        "deaf",
        "granted",
        "id",
        "inbound",
        "linger_until",
        "opened",
        "read_ended",
        "send_window",
        "sink",
        "unread",
        "updated_at",
        "window",
        "write_ended",
    )

    def __init__(self, number: int, sink: Sink, now: float, *, inbound: bool) -> None:
        self.id = number  # 0: waits for room in the backlog
        self.sink = sink
        self.inbound = inbound
        self.opened = inbound  # the peer has been told of it
        self.acknowledged = inbound
        self.send_window = WINDOW if inbound else 0  # what we may still send
        self.window = WINDOW
        self.granted = WINDOW
        self.unread = 0  # arrived, or promised by a header, and not consumed
        self.updated_at = now  # when the window was last opened again
        self.blocked = False  # a send took less than it was given
        self.read_ended = False  # the peer sent FIN
        self.write_ended = False  # we did
        self.deaf = False  # closed by us: what arrives is dropped
        self.dead = False  # out of the table
        self.linger_until = 0.0

    def grow(self, round_trip: float | None, now: float, room: int) -> int:
        """Double the window if it was used up too fast, by at most `room`; by how much."""
        elapsed = now - self.updated_at
        self.updated_at = now
        if round_trip is None:
            return 0
        if elapsed >= max(round_trip, ROUND_TRIP_MIN) * GROWTH_ROUND_TRIPS:
            return 0
        growth = min(self.window, room)
        self.window += growth
        return growth
