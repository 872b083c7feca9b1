"""Which of a swarm's trackers to ask, and when.

Trackers come in tiers.  All of one tier are tried, in an order drawn once,
before the next tier is; the one that answered is moved to the front of its
tier and asked again after its interval.  When none answers we wait, longer
each time.

BEP 12.  No bytes, clock or sockets: the caller asks the tracker that `next`
names and reports with `answered` or `failed`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

TRACKERS_MAX = 50  # of one swarm; more are never useful
RETRY = 30.0  # seconds after a round in which nobody answered; doubles
RETRY_MAX = 1800.0  # seconds


class Tiers:
    """The trackers of one swarm, best first."""

    def __init__(self, tiers: Iterable[Iterable[str]], rng: "Random") -> None:
        self.tiers: list[list[str]] = []
        self.deadline: float = 0.0  # when to ask again
        self._rounds = 0  # fruitless rounds, one after another
        self._tried: list[str] = []  # in this round
        self._learn(tiers, rng)

    def next(self, now: float) -> str | None:
        """The tracker to ask now; None while it is too early or there is none."""
        if now < self.deadline:
            return None
        for tier in self.tiers:
            for url in tier:
                if url not in self._tried:
                    self._tried.append(url)
                    return url
        return None

    def answered(self, url: str, interval: float, now: float) -> None:
        for tier in self.tiers:
            if url in tier:
                tier.remove(url)
                tier.insert(0, url)
        self._tried.clear()
        self._rounds = 0
        self.deadline = now + interval

    def failed(self, url: str, now: float) -> None:
        """After the last tracker of the last tier the round is over: wait."""
        if any(other not in self._tried for tier in self.tiers for other in tier):
            return
        self._tried.clear()
        self.deadline = now + min(RETRY * 2 ** min(self._rounds, 10), RETRY_MAX)
        self._rounds += 1

    def hurry(self, now: float) -> None:
        """Something happened that trackers should hear of at once (completed, stopped)."""
        self.deadline = now

    def _learn(self, tiers: Iterable[Iterable[str]], rng: "Random") -> None:
        seen: dict[str, None] = {}
        for tier in tiers:
            fresh = [url for url in dict.fromkeys(tier) if url not in seen]
            fresh = fresh[: TRACKERS_MAX - len(seen)]
            seen.update(dict.fromkeys(fresh))
            rng.shuffle(fresh)  # spreads the load (BEP 12)
            if fresh:
                self.tiers.append(fresh)
