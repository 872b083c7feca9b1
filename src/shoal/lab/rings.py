"""What a lookup on Chord's ring costs, in fingers filled from the true ids.

A hop is counted as on Kademlia's tables: a round in which an answer came from
a node closer to the target than all before.  One node is asked at a time.

I. Stoica et al.: Chord (2001), section 6.2: a lookup asks half of log2 n nodes.
"""

from bisect import bisect_left
from random import Random
from typing import Any

from shoal.dht.chord import SUCCESSORS, Fingers, clockwise
from shoal.dht.lookup import Lookup
from shoal.dht.table import BITS, Contact

NEAREST = 2  # before the target that must have answered: one may be wrong
NAMED = 8  # in one answer, as many as Kademlia's k


class Ring:
    """All nodes in order; their fingers are made when they are first asked."""

    def __init__(self, seed: int, size: int) -> None:
        self.rng = Random(seed)
        self.positions = sorted(self.rng.getrandbits(BITS) for _ in range(size))
        self._contacts = [Contact(own, own.to_bytes(BITS // 8), own) for own in self.positions]
        self._fingers: dict[int, Fingers] = {}

    def owner(self, target: int) -> Contact:
        """The first node at or after the target."""
        return self._contacts[bisect_left(self.positions, target) % len(self.positions)]

    def fingers(self, own: int) -> Fingers:
        if own not in self._fingers:
            fingers = self._fingers[own] = Fingers(own)
            place = bisect_left(self.positions, own)
            for step in (-1, *range(1, SUCCESSORS + 1)):
                fingers.answered(self._contacts[(place + step) % len(self.positions)], 0.0)
            for bit in range(BITS):
                fingers.answered(self.owner((own + (1 << bit)) % (1 << BITS)), 0.0)
        return self._fingers[own]


def chord(seed: int, *, size: int, lookups: int = 500) -> dict[str, Any]:
    """Rounds that led closer, questions, and whether the owner was named."""
    ring = Ring(seed, size)
    hops, questions, found = [], 0, 0
    for _ in range(lookups):
        own, target = ring.rng.choice(ring.positions), ring.rng.getrandbits(BITS)
        seeds = ring.fingers(own).closest(target, NAMED)
        lookup = Lookup(target, seeds, k=NEAREST, alpha=1, distance=clockwise())
        rounds, named = walk(ring, lookup)
        hops.append(rounds)
        questions += lookup.asked
        found += ring.owner(target).position in {own, *named, *(seed.position for seed in seeds)}
    return {
        "nodes": size,
        "overlay": "chord",
        "hops": round(sum(hops) / lookups, 2),
        "p95": sorted(hops)[int(lookups * 0.95)],
        "questions": round(questions / lookups, 1),
        "found": found / lookups,
    }


def walk(ring: Ring, lookup: Lookup) -> tuple[int, list[int]]:
    """Ask to the end: the rounds that led closer, and everybody named."""
    count, nearest, named = 0, 1 << BITS, []
    while batch := lookup.next():
        before = nearest
        for contact in batch:
            known = ring.fingers(contact.position).closest(lookup.target, NAMED)
            named += [other.position for other in known]
            lookup.answered(contact, known)
            nearest = min(nearest, lookup.distance(contact.position, lookup.target))
        count += nearest < before
    return count, named
