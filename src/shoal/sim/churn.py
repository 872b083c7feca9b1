"""Peers come and go, as measurements say that they do.

Session lengths of peers follow a Weibull distribution of shape below one: most
leave soon, and who has stayed long will stay longer.  Stutzbach and Rejaie,
"Understanding Churn in Peer-to-Peer Networks" (2006), fit BitTorrent's with
shape 0.38 and scale 42 minutes; half of the sessions are then over after 16.

A world starts in the middle of its life: a node that is up has a share of a
session behind it, and long sessions are more likely to be met.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import gamma, log
from random import Random
from typing import Any, Protocol

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Weibull:
    """Lengths of time: S(t) = exp(-(t / scale) ** shape)."""

    scale: float  # seconds
    shape: float = 0.38

    @property
    def mean(self) -> float:
        return self.scale * gamma(1 + 1 / self.shape)

    def quantile(self, share: float) -> float:
        """The length that `share` of all do not exceed."""
        return float(self.scale * (-log(1.0 - min(share, 1 - 1e-12))) ** (1 / self.shape))

    def draw(self, rng: Random) -> float:
        return self.quantile(rng.random())

    def draw_rest(self, rng: Random) -> float:
        """What is left of one that is under way when we look.

        We meet long ones more often: the length met, by the power `shape`, is
        gamma distributed with 1 + 1 / shape; we meet it at any point alike.
        """
        met = self.scale * rng.gammavariate(1 + 1 / self.shape, 1.0) ** (1 / self.shape)
        return float(met * rng.random())


MEASURED = Weibull(42 * MINUTE)
HARSH = Weibull(4.2 * MINUTE)  # ten times as fast


class Timers(Protocol):
    """What churn asks of the loop."""

    now: float

    def post(self, when: float, function: Callable[..., object], args: tuple[Any, ...]) -> None: ...


class Nodes(Protocol):
    """What churn does to nodes: numbered from 0, each up or down."""

    def up(self, number: int) -> bool: ...
    def crash(self, number: int) -> None: ...
    def restart(self, number: int) -> None: ...


class Churn:
    """Ends sessions by crashes and begins them by restarts until stopped.

    `stay` are nodes that never leave.  Absences are as long as sessions unless
    said otherwise: about half of the nodes are then up at any moment.
    """

    def __init__(
        self,
        timers: Timers,
        rng: Random,
        nodes: Nodes,
        count: int,
        *,
        sessions: Weibull = MEASURED,
        absences: Weibull | None = None,
        stay: Collection[int] = (),
    ) -> None:
        self.ended = 0  # sessions so far
        self._timers = timers
        self._rng = rng
        self._nodes = nodes
        self._sessions = sessions
        self._absences = absences or sessions
        self._running = True
        up_share = sessions.mean / (sessions.mean + self._absences.mean)
        for number in range(count):
            if number not in stay:
                self._join(number, up_share)

    def stop(self) -> None:
        """Nobody leaves or comes any more; who is down stays down."""
        self._running = False

    def _join(self, number: int, up_share: float) -> None:
        here = self._rng.random() < up_share
        if not here:
            self._nodes.crash(number)
        length = self._sessions if here else self._absences
        self._after(length.draw_rest(self._rng), number)

    def _after(self, seconds: float, number: int) -> None:
        self._timers.post(self._timers.now + seconds, self._turn, (number,))

    def _turn(self, number: int) -> None:
        """The session or the absence of a node is over."""
        if not self._running:
            return
        if self._nodes.up(number):
            self.ended += 1
            self._nodes.crash(number)
            self._after(self._absences.draw(self._rng), number)
        else:
            self._nodes.restart(number)
            self._after(self._sessions.draw(self._rng), number)
