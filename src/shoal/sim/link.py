"""What lies between two hosts: delays, losses and bottlenecks.

A `Path` says how long packets take and what happens to them on the way.  Every
pair of hosts has its own propagation delay, drawn once from the distribution
(same seed, same delay); jitter is drawn for each packet.

A `Pipe` is a line of limited rate with one first-in first-out queue before it:
a packet leaves when all before it have left, and one that finds the queue full
is dropped (tail drop).  With Poisson arrivals and packets of one size this is
the M/D/1 queue, whose mean wait is rho / (2 mu (1 - rho)).
"""

from dataclasses import dataclass, field
from math import exp, log
from statistics import NormalDist
from typing import Protocol

LOOPBACK_DELAY = 0.000_05  # seconds within one host: about what a kernel takes
LAN_DELAY = 0.000_5  # seconds on one local network: switched Ethernet or good Wi-Fi
QUEUE = 0.25  # seconds of backlog that a home router keeps before it drops


class Delay(Protocol):
    """A distribution of seconds."""

    def quantile(self, share: float) -> float:
        """The value below which `share` (0 to 1) of all values lie."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    seconds: float

    def quantile(self, share: float) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything between two bounds, equally likely."""

    low: float
    high: float

    def quantile(self, share: float) -> float:
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True, slots=True)
class Exponential:
    """Many short ones, few long ones, and never shorter than `least`."""

    mean: float
    least: float = 0.0

    def quantile(self, share: float) -> float:
        return self.least - (self.mean - self.least) * log(1.0 - min(share, 1 - 1e-12))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """As measured between homes of the Internet: a median and a long tail."""

    median: float
    sigma: float = 0.5

    def quantile(self, share: float) -> float:
        normal = NormalDist().inv_cdf(min(max(share, 1e-12), 1 - 1e-12))
        return self.median * exp(self.sigma * normal)


@dataclass(slots=True)
class Path:
    """What happens to packets between two hosts; probabilities are per packet."""

    delay: Delay = field(default_factory=lambda: Uniform(0.010, 0.100))  # one way, per pair
    jitter: Delay | None = None  # added to each packet: more than the spacing reorders
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # held back by up to one more delay, so that others overtake


class Pipe:
    """A line of limited rate behind one queue; a direction of a host's access link."""

    __slots__ = ("dropped", "free_at", "queue", "rate")

    def __init__(self, rate: float, queue: float = QUEUE):
        self.rate = rate  # bytes a second
        self.queue = queue  # seconds of backlog that still fit
        self.free_at = 0.0  # when the last bit of the queue has left
        self.dropped = 0

    def enter(self, size: int, now: float) -> float | None:
        """When a packet of `size` bytes has left the pipe, or None if it was dropped."""
        backlog = self.free_at - now
        if backlog <= 0.0:
            self.free_at = now + size / self.rate
        elif backlog > self.queue:
            self.dropped += 1
            return None
        else:
            self.free_at += size / self.rate
        return self.free_at

    def wait(self, now: float) -> float:
        """How long a packet would queue if it came now."""
        return max(0.0, self.free_at - now)
