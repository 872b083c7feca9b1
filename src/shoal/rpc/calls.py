"""Calls that wait for their replies, and which of several addresses to call.

A call is known by its number; it ends with its reply, at its deadline, or when
the connection that carries it closes.  Of the addresses of a service two are
drawn by chance and the one with fewer calls under way is taken: nearly as good
as knowing every load, and no herd runs to the same one ("the power of two
choices", Mitzenmacher 2001).

A call may be tried elsewhere when it cannot have been executed (it was not
sent) or when executing it twice does no harm (it is idempotent).
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shoal.errors import LimitError

if TYPE_CHECKING:
    from random import Random

PENDING_MAX = 100_000  # calls of one client that wait at once
SLACK = 64  # ended calls that may stand in the heap before it is built anew
ADDRESSES_MAX = 1000  # of one service
KEPT = 120.0  # seconds that addresses are good when whom we ask for them knows nothing any more
REFUSED_FOR = 30.0  # seconds an address that refused us is chosen only when all others did

Call = TypeVar("Call")


@dataclass(slots=True)
class _Waiting(Generic[Call]):
    call: Call
    carrier: Hashable
    deadline: float


class Pending(Generic[Call]):
    """The calls that wait, by number (or whatever names them)."""

    def __init__(self, most: int = PENDING_MAX) -> None:
        self._most = most
        self._waiting: dict[Any, _Waiting[Call]] = {}
        self._heap: list[tuple[float, Any]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def deadline(self) -> float | None:
        """When `expired` has something to say."""
        while self._heap and self._heap[0][1] not in self._waiting:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def add(self, number: Any, call: Call, carrier: Hashable, deadline: float) -> None:
        if len(self._waiting) >= self._most:
            raise LimitError(f"{self._most} calls wait for replies already")
        self._waiting[number] = _Waiting(call, carrier, deadline)
        heappush(self._heap, (deadline, number))
        if len(self._heap) > 2 * len(self._waiting) + SLACK:
            self._heap = [(each.deadline, key) for key, each in self._waiting.items()]
            heapify(self._heap)

    def take(self, number: Any) -> Call | None:
        """The call that this reply ends; None for a stranger's or one that ended before."""
        waiting = self._waiting.pop(number, None)
        return waiting.call if waiting else None

    def expired(self, now: float) -> list[tuple[Any, Call]]:
        """Those whose time is over, with their numbers."""
        ended = []
        while (first := self.deadline) is not None and first <= now:
            number = heappop(self._heap)[1]
            ended.append((number, self._waiting.pop(number).call))
        return ended

    def lost(self, carrier: Hashable) -> list[Call]:
        """The calls on a connection that closed: nobody will answer them."""
        numbers = [key for key, each in self._waiting.items() if each.carrier == carrier]
        return [self._waiting.pop(number).call for number in numbers]


@dataclass(slots=True)
class Destination:
    """One address of a service."""

    address: Any  # a text, or a peer
    load: int = 0  # our calls under way there
    refused_until: float = 0.0


@dataclass(slots=True)
class Destinations:
    """The addresses of one service, as the last lookup named them."""

    known: dict[Hashable, Destination] = field(default_factory=dict)
    fresh_until: float = 0.0  # when to look the service up again
    kept_until: float = 0.0  # when to believe a lookup that finds nobody

    def lost(self, now: float) -> bool:
        """A lookup found nobody, or failed: do those that we know stay?

        Whoever is asked may have been restarted, and hears of the services again
        only when they announce themselves; those that refused us are gone.
        """
        if now >= self.kept_until:
            self.learn(())
        good = [each.address for each in self.known.values() if each.refused_until <= now]
        self.learn(good)
        return bool(good)

    def learn(self, addresses: Iterable[Hashable]) -> None:
        """Those that are named no more are forgotten, once their calls have ended."""
        named = dict.fromkeys(list(addresses)[:ADDRESSES_MAX])
        busy = [each for each in self.known.values() if each.load]
        kept = {**named, **dict.fromkeys(each.address for each in busy)}
        self.known = {name: self.known.get(name) or Destination(name) for name in kept}

    def choose(
        self, rng: "Random", now: float, tried: Iterable[Hashable] = ()
    ) -> Destination | None:
        """One that has not been tried; None when there is none left."""
        if len(self.known) == 1 and not tried:
            return next(iter(self.known.values()))
        avoid = set(tried)
        left = [each for each in self.known.values() if each.address not in avoid]
        good = [each for each in left if each.refused_until <= now] or left
        if not good:
            return None
        pair = rng.sample(good, 2) if len(good) > 1 else good
        return min(pair, key=lambda each: each.load)

    def refused(self, address: Hashable, now: float) -> None:
        if address in self.known:
            self.known[address].refused_until = now + REFUSED_FOR

    def patience(self, now: float, deadline: float, *, tried: int, idempotent: bool) -> float:
        """When to give up an address: half of the time is for others, if one may be tried."""
        others = len(self.known) - tried > 1
        return now + (deadline - now) / 2 if idempotent and others else deadline


def may_retry(*, sent: bool, idempotent: bool) -> bool:
    """Whether trying a failed call elsewhere cannot execute it twice to anyone's harm."""
    return idempotent or not sent
