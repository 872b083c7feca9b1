"""How fast something flows, and how fast it may.

A token bucket holds as many bytes as may flow at once; it fills with time.
Who wants to send takes tokens and waits when there are none.  A `Budget` is
several buckets over each other (the content's own and the node's): what flows
is what all of them allow.  A `Meter` measures without allowing anything.
"""

from collections.abc import Sequence

BURST = 1.0  # seconds of the rate that an idle bucket saves up at most
BURST_MIN = 32 * 1024  # bytes: two blocks fit through the narrowest limit
ROUNDING = 0.5  # bytes that may lack: else a wait could be too short for the clock to move
WINDOW = 10.0  # seconds over which a rate is measured


class Bucket:
    """Tokens for bytes; a rate of None is no limit."""

    def __init__(self, rate: float | None, now: float) -> None:
        self.rate = rate
        self._tokens = self._most
        self._filled = now

    @property
    def _most(self) -> float:
        return max(self.rate * BURST, BURST_MIN) if self.rate is not None else 0.0

    def limit(self, rate: float | None, now: float) -> None:
        """Change the rate; what was saved up is lost."""
        self.rate = rate
        self._tokens = min(self._tokens, self._most)
        self._filled = now

    def available(self, now: float) -> float:
        if self.rate is None:
            return float("inf")
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        return self._tokens

    def lacking(self, count: int, now: float) -> float:
        """Bytes that are still missing; what is more than the bucket holds waits for a full one."""
        return min(count, self._most) - self.available(now)

    def spend(self, count: int) -> None:
        if self.rate is not None:
            self._tokens -= count

    def ready(self, count: int, now: float) -> float:
        """When this many bytes may flow."""
        if self.rate is None:
            return now
        lacking = self.lacking(count, now)
        if lacking <= ROUNDING:
            return now
        return now + lacking / self.rate if self.rate > 0 else float("inf")


class Budget:
    """What all of several buckets allow."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self.buckets = tuple(buckets)

    @property
    def unlimited(self) -> bool:
        return all(bucket.rate is None for bucket in self.buckets)

    def take(self, count: int, now: float) -> bool:
        """True if this many bytes may flow now; they are then spent."""
        for bucket in self.buckets:
            if bucket.rate is not None and bucket.lacking(count, now) > ROUNDING:
                return False
        for bucket in self.buckets:
            bucket.spend(count)
        return True

    def ready(self, count: int, now: float) -> float:
        return max((bucket.ready(count, now) for bucket in self.buckets), default=now)


class Meter:
    """Bytes a second, an average that forgets over WINDOW seconds."""

    __slots__ = ("_measured", "_recent", "_started", "last", "total")

    def __init__(self, now: float) -> None:
        self.total = 0
        self._recent = 0
        self.last = 0.0  # the rate when it was last asked
        self._measured = self._started = now

    def count(self, count: int) -> None:
        self.total += count
        self._recent += count

    def rate(self, now: float) -> float:
        """Asked at least once a second by a tick; younger than WINDOW, the plain mean."""
        passed = now - self._measured
        if passed > 0:
            share = min(1.0, passed / min(WINDOW, max(now - self._started, passed)))
            self.last += share * (self._recent / passed - self.last)
            self._recent = 0
            self._measured = now
        return self.last
