"""Chord: nodes on a ring, each knowing the way half round, a quarter round, and so on.

A key belongs to its successor, the first node at or after it.  Finger i of a
node is the first node at least 2^i further on, so each hop at least halves
what is left of the way, and a list of the next nodes keeps the ring closed
when some of them die.  Distance is clockwise and goes one way only: unlike
Kademlia's, a query teaches the one who is asked nothing of use.

The seam is that of Kademlia's table: `Fingers` is a `Routing` for `Questions`,
and `Lookup` takes its distance.

I. Stoica et al.: Chord (2001), sections 4.2 to 4.4 and 5.2.
"""

from collections.abc import Callable, Hashable

from shoal.dht.table import BITS, Contact

SUCCESSORS = 16  # the next nodes on the ring that we know; the paper's r, about log2 n


def clockwise(bits: int = BITS) -> Callable[[int, int], int]:
    """The distance of a lookup: how far a node stands before the target."""
    mask = (1 << bits) - 1
    return lambda position, target: target - position & mask


class Fingers:
    """The nodes that one node of the ring knows."""

    def __init__(self, own: int, *, bits: int = BITS, successors: int = SUCCESSORS) -> None:
        self.own = own
        self.bits = bits
        self.successors_max = successors
        self._mask = (1 << bits) - 1
        self._known: dict[int, Contact] = {}  # way from us -> contact
        self._ways: list[int] = []  # sorted
        self._addresses: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def successors(self) -> list[Contact]:
        return [self._known[way] for way in self._ways[: self.successors_max]]

    @property
    def predecessor(self) -> Contact | None:
        return self._known[self._ways[-1]] if self._ways else None

    def answered(self, contact: Contact, now: float) -> bool:
        """The contact lives. True if it is kept: as a successor, a finger or the predecessor."""
        way = contact.position - self.own & self._mask
        if not way or not contact.id:
            return False
        former = self._addresses.get(contact.address)
        if former is not None and former != way:
            self.failed(contact.address)
        known = self._known.get(way)
        if known is not None:
            return known.address == contact.address
        self._known[way] = contact
        self._addresses[contact.address] = way
        self._ways = sorted(self._known)
        self._forget()
        return way in self._known

    def failed(self, address: Hashable) -> None:
        way = self._addresses.pop(address, None)
        if way is not None:
            del self._known[way]
            self._ways.remove(way)

    def closest(self, target: int, count: int) -> list[Contact]:
        """Those before the target, the nearest to it first; then our successors.

        The successors are for the last hop: whoever owns the key is the first
        of them that is not before it.
        """
        goal = target - self.own & self._mask
        before = [way for way in reversed(self._ways) if way <= goal]
        after = [way for way in self._ways if way > goal]
        return [self._known[way] for way in (*before, *after)][:count]

    def owner(self, target: int) -> Contact | None:
        """The first node at or after the target, as far as we know."""
        goal = target - self.own & self._mask
        after = [way for way in self._ways if way >= goal]
        return self._known[after[0]] if after else None

    def _forget(self) -> None:
        """Keep who serves: of each stretch from 2^i on only the first."""
        keep = dict.fromkeys(self._ways[: self.successors_max])
        keep[self._ways[-1]] = None
        stretch = -1
        for way in self._ways:
            if way.bit_length() != stretch:
                stretch = way.bit_length()
                keep[way] = None
        for way in [way for way in self._ways if way not in keep]:
            self.failed(self._known[way].address)
