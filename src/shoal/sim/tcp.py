"""How fast a stream may send: TCP Reno's congestion control.

The window starts at ten segments and doubles every round trip (slow start)
until a loss or the threshold; then it grows by one segment a round trip.  A
loss that later segments give away (fast retransmit) halves it; one that only
the timer finds (RTO) takes it down to one segment.  For a loss rate p this
gives the throughput of Mathis et al. (1997): MSS / RTT * sqrt(3 / (2 p)).

RFC 5681 (windows), 6298 (timer), 6928 (initial window).
"""

MSS = 1460  # bytes of payload in one Ethernet frame
INITIAL_WINDOW = 10 * MSS  # RFC 6928
RECEIVE_WINDOW = 1 << 20  # bytes a receiver keeps for a reader that is busy
SEND_BUFFER = 1 << 18  # bytes the kernel takes from a writer before it blocks
RTO_FIRST = 1.0  # seconds, before anything was measured; RFC 6298
RTO_MIN = 0.2  # seconds; what Linux does (RFC 6298 says 1)
RTO_MAX = 120.0  # seconds
RETRIES = 15  # of one segment, then the peer is given up; Linux tcp_retries2: 924 s
SYN_RETRIES = 6  # Linux tcp_syn_retries: 127 s
KEEPALIVE_IDLE = 7200.0  # seconds of silence before the first probe; RFC 1122
KEEPALIVE_INTERVAL = 75.0  # seconds between probes
KEEPALIVE_PROBES = 9
FRAME = 40  # bytes of IPv4 and TCP header


class Reno:
    """The congestion window and the retransmission timer of one direction."""

    __slots__ = ("_cut_at", "_variation", "round_trip", "rto", "threshold", "window")

    def __init__(self) -> None:
        self.window: float = INITIAL_WINDOW
        self.threshold: float = RECEIVE_WINDOW
        self.round_trip = 0.0  # seconds, smoothed; 0 before the first measurement
        self.rto = RTO_FIRST
        self._variation = 0.0
        self._cut_at = -1.0

    def acked(self, size: int, limited: bool) -> None:
        """`size` bytes have arrived; the window grows only if it is what limits us."""
        if not limited or self.window >= RECEIVE_WINDOW:
            return
        if self.window < self.threshold:
            self.window += size
        else:
            self.window += MSS * size / self.window

    def measured(self, seconds: float) -> None:
        """A round trip of a segment that was sent once."""
        if self.round_trip == 0.0:
            self.round_trip = seconds
            self._variation = seconds / 2
        else:
            self._variation += (abs(seconds - self.round_trip) - self._variation) / 4
            self.round_trip += (seconds - self.round_trip) / 8
        self.rto = min(max(RTO_MIN, self.round_trip + 4 * self._variation), RTO_MAX)

    def lost(self, sent_at: float, now: float, in_flight: int, *, timer: bool) -> None:
        """A segment was lost; several of one flight count once."""
        if sent_at <= self._cut_at:
            return
        self._cut_at = now
        self.threshold = max(in_flight / 2, 2 * MSS)
        self.window = MSS if timer else self.threshold

    def rested(self) -> None:
        """After a pause longer than the timer the path may have changed: start anew."""
        self.window = min(self.window, INITIAL_WINDOW)
