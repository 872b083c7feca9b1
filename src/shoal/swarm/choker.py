"""Whom to send to.

A peer that downloads sends to those who send most to it (tit for tat), so that
giving pays; one place goes to somebody by turns (optimistic unchoke), so that
newcomers get a first piece and better partners are found.  A peer that has
everything has no such measure: it favours those who pass on what they get,
tries others, those near their beginning or their end first, and passes its
places round.  Who only takes gets a place that nobody else wants.

Pure decisions over plain records.  Cohen, "Incentives build robustness in
BitTorrent", section 3; Chow, Golubchik, Misra, "Improving BitTorrent: a simple
approach" (who a seed should favour).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

INTERVAL = 10.0  # seconds between decisions: long enough for TCP to reach its rate
OPTIMISTIC_INTERVAL = 30.0  # seconds for which somebody is tried
SLOTS = 8  # peers sent to at the same time, the optimistic one among them
TURN = 30.0  # seconds after which a seed gives a place to the next
TRIALS = 1  # places of a seed for those who could not yet show whether they pass on
NEWCOMER = 3.0  # how much likelier a new peer is tried than another
TAKERS = 2  # places that takers may fill when nobody else wants them: an idle link helps no one


@dataclass(slots=True)
class Candidate:
    """What the choker knows of a peer."""

    key: int
    interested: bool
    unchoked: bool = False
    received: float = 0.0  # bytes a second from it, over the last 20 s
    sent: float = 0.0  # bytes a second to it
    since: float = 0.0  # when it was last unchoked (or when it came)
    progress: float = 0.0  # the part of the content that it has, 0 to 1
    newcomer: bool = False
    snubbing: bool = False  # sends nothing although asked
    blameless: bool = True  # False: sent bad data; never tried
    passes: bool = False  # what it alone got from us appeared at others
    taker: bool = False  # has shown that it gives nothing back


def choose_downloading(peers: Iterable[Candidate], slots: int, optimistic: int | None) -> list[int]:
    """Who sends most gets a place; the optimistic one has its own."""
    wanting = [peer for peer in peers if peer.interested and peer.key != optimistic]
    giving = [peer for peer in wanting if peer.received > 0 and not peer.snubbing]
    giving.sort(key=lambda peer: (-peer.received, not peer.unchoked, peer.key))
    return [peer.key for peer in giving[: max(slots, 0)]]


def choose_seeding(peers: Iterable[Candidate], slots: int, now: float) -> list[int]:
    """Who passes on comes first, a few others are tried, and takers get what is left over."""
    wanting = [peer for peer in peers if peer.interested and peer.blameless]
    wanting.sort(key=lambda peer: _seed_rank(peer, now))
    passing = [peer for peer in wanting if peer.passes and not peer.taker]
    untried = [peer for peer in wanting if not peer.passes and not peer.taker]
    takers = [peer for peer in wanting if peer.taker]
    trials = max(slots - len(passing), min(TRIALS, slots), 0)
    chosen = untried[:trials]
    chosen += passing[: max(slots - len(chosen), 0)]
    places = min(slots, max(len(chosen), TAKERS)) if chosen else slots
    return [peer.key for peer in [*chosen, *takers[: max(places - len(chosen), 0)]]]


def _seed_rank(peer: Candidate, now: float) -> tuple[bool, float, float, int]:
    fresh_turn = peer.unchoked and now - peer.since < TURN
    waited = -(now - peer.since) if not peer.unchoked else 0.0
    ends = -abs(2 * peer.progress - 1)  # -1 at both ends, 0 in the middle
    return (not fresh_turn, waited // TURN, ends, peer.key)


def choose_optimistic(
    peers: Sequence[Candidate], chosen: Iterable[int], rng: "Random", *, takers: bool = False
) -> int | None:
    """Somebody who is not sent to, by chance; newcomers more likely."""
    taken = frozenset(chosen)
    open_to = [p for p in peers if p.interested and p.blameless and p.key not in taken]
    open_to = [peer for peer in open_to if not peer.taker] or (open_to if takers else [])
    if not open_to:
        return None
    weights = [NEWCOMER if peer.newcomer else 1.0 for peer in open_to]
    return rng.choices(open_to, weights)[0].key


class Choker:
    """Keeps the optimistic place and its time; decides every INTERVAL."""

    def __init__(self, rng: "Random", slots: int = SLOTS) -> None:
        self.rng = rng
        self.slots = slots
        self.optimistic: int | None = None
        self._changed = float("-inf")
        self.deadline = float("-inf")

    def decide(self, peers: Sequence[Candidate], *, seeding: bool, now: float) -> list[int]:
        """The keys of all who are sent to from now on."""
        self.deadline = now + INTERVAL
        if seeding:
            self.optimistic = None
            return choose_seeding(peers, self.slots, now)
        known = {peer.key for peer in peers if peer.interested}
        if self.optimistic not in known or now - self._changed >= OPTIMISTIC_INTERVAL:
            best = choose_downloading(peers, self.slots - 1, None)
            self.optimistic = choose_optimistic(peers, best, self.rng)
            self._changed = now
        chosen = choose_downloading(peers, self.slots - 1, self.optimistic)
        if self.optimistic is not None:
            chosen.append(self.optimistic)
        return self.filled(peers, chosen)

    def filled(self, peers: Sequence[Candidate], chosen: list[int]) -> list[int]:
        """Places that nobody earned go to further ones by chance, to takers only the last."""
        while len(chosen) < self.slots:
            takers = len(chosen) < TAKERS
            more = choose_optimistic(peers, chosen, self.rng, takers=takers)
            if more is None:
                break
            chosen.append(more)
        return chosen

    def has_room(self, unchoked: int, *, taker: bool = False) -> bool:
        return unchoked < (min(TAKERS, self.slots) if taker else self.slots)
