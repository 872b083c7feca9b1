"""How long to wait for an answer.

A fixed timer is too long for most peers and makes every dead one expensive:
with half the peers dead a lookup then takes tens of seconds.  So the wait
follows what was measured.  Past `usual` a peer is late: somebody else is asked
beside it.  Past `patience` it is slow: nobody waits for it any more, and its
answer is still welcome until `limit`.

R. Jimenez, F. Osmani, B. Knutsson: Sub-second lookups on a large-scale
Kademlia-based overlay (2011).
"""

from bisect import bisect_left, insort
from collections import deque

WINDOW = 64  # round trips remembered: enough for a 95th percentile, and quick to forget
SAMPLES_MIN = 4  # before that many nothing is known
UNKNOWN = 1.0  # seconds of patience while nothing is known
USUAL = 0.6  # of the answers come within this share of the round trips
QUANTILE = 0.95  # and nearly all within this one
MARGIN = 1.2  # for those that are a little later
MARGIN_FEW = 2.0  # over the number of round trips: of few the latest says little
USUAL_MIN = 0.02  # seconds: among neighbours a busy moment makes nobody late
PATIENCE_MIN, PATIENCE_MAX = 0.05, 2.0  # seconds
LIMIT_FACTOR = 4.0  # patiences after which a peer has failed
LIMIT_MIN, LIMIT_MAX = 1.5, 8.0  # seconds


class RoundTrips:
    """The last round trips, and the waits that follow from them."""

    def __init__(self) -> None:
        self.usual = UNKNOWN / 2
        self.patience = UNKNOWN
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    @property
    def limit(self) -> float:
        return min(max(self.patience * LIMIT_FACTOR, LIMIT_MIN), LIMIT_MAX)

    def measured(self, seconds: float) -> None:
        if len(self._recent) == WINDOW:
            oldest = self._recent.popleft()
            del self._sorted[bisect_left(self._sorted, oldest)]
        self._recent.append(seconds)
        insort(self._sorted, seconds)
        if len(self._sorted) >= SAMPLES_MIN:
            count = len(self._sorted)
            nearly_all = self._sorted[int(count * QUANTILE)] * (MARGIN + MARGIN_FEW / count)
            self.patience = min(max(nearly_all, PATIENCE_MIN), PATIENCE_MAX)
            usual = max(self._sorted[int(count * USUAL)] * MARGIN, USUAL_MIN)
            self.usual = min(usual, self.patience)
