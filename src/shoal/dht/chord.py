"""Chord: nodes on a ring, each knowing the way half round, a quarter round, and so on.

A key belongs to its successor, the first node at or after it.  Finger i of a
node is the first node at least 2^i further on, so each hop at least halves
what is left of the way, and a list of the next nodes keeps the ring closed
when some of them die.  Distance is clockwise and goes one way only: unlike
Kademlia's, a query teaches the one who is asked nothing of use.

The seam is that of Kademlia's table: `Fingers` is a `Routing` for `Questions`,
and `Lookup` takes its distance.  `Chord` keeps the ring: a node asks its
successor, again and again, who stands before it and who comes after it, so
that it meets those who have joined in between; and it looks for one finger
after the other.  Who leaves says nothing: the next question finds out.

I. Stoica et al.: Chord (2001), sections 4.2 to 4.4, 5.1 and 5.2.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any

from shoal.dht.kademlia import VERIFY_MAX, Parameters
from shoal.dht.questions import Answer, Question, Questions, Step, Verb, Walk
from shoal.dht.table import BITS, Contact

if TYPE_CHECKING:
    from random import Random

SUCCESSORS = 16  # the next nodes on the ring that we know; the paper's r, about log2 n
STABILISE = 30.0  # seconds, about, between two looks at the ring; the paper's experiments
FINGERS_AT_ONCE = 2  # fingers looked for at one look
SPLIT = 2  # nodes before a target that must have answered: one may be wrong


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

    def wants(self, contact: Contact) -> bool:
        """Whether the contact would serve: as a successor, a finger or the predecessor."""
        way = contact.position - self.own & self._mask
        if not way or not contact.id or way in self._known or contact.address in self._addresses:
            return False
        near = self._ways[: self.successors_max]
        if len(near) < self.successors_max or way < near[-1] or way > self._ways[-1]:
            return True
        stretch = way.bit_length()
        first = next((known for known in self._ways if known.bit_length() == stretch), None)
        return first is None or way < first

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


class Chord:
    """One node of the ring, with the face of `Kademlia`."""

    def __init__(
        self,
        own_id: bytes,
        rng: "Random",
        *,
        position_of: Callable[[bytes], int],
        key_at: Callable[[int], bytes],
        parameters: Parameters | None = None,
        now: float = 0.0,
    ) -> None:
        self.parameters = parameters or Parameters(k=SPLIT)
        self.id = own_id
        self.own = position_of(own_id)
        self.rng = rng
        self.position_of = position_of
        self.key_at = key_at
        self.bootstrap: list[Contact] = []
        bits = self.parameters.bits
        self.table = Fingers(self.own, bits=bits)
        self.questions = Questions(
            self.table,
            self.own,
            rng,
            k=SPLIT,
            alpha=self.parameters.alpha,
            distance=clockwise(bits),
            resend=self.parameters.resend,
        )
        self._mask = (1 << bits) - 1
        self._finger = 0  # the next one to look for
        self._verifying: dict[Hashable, None] = {}
        self._look_at = now + STABILISE * (0.5 + rng.random())

    @property
    def out(self) -> list[Question]:
        return self.questions.out

    @property
    def deadline(self) -> float:
        asked = self.questions.deadline
        return self._look_at if asked is None else min(asked, self._look_at)

    def walk(
        self,
        verb: Verb,
        key: bytes,
        now: float,
        *,
        listener: Callable[[Answer], None] | None = None,
        finished: Callable[[Walk, float], None] | None = None,
        watcher: Callable[[Step], None] | None = None,
    ) -> Walk:
        """Towards the nodes before a key; the last of them name its owner."""
        return self.questions.walk(
            verb,
            key,
            self.position_of(key),
            now,
            seeds=() if len(self.table) else self.bootstrap,
            listener=listener,
            finished=finished,
            watcher=watcher,
        )

    def cancel(self, walk: Walk) -> None:
        self.questions.cancel(walk)

    def answered(self, number: int, answer: Answer, now: float) -> None:
        self.questions.answered(number, answer, now)

    def closest(self, target: int) -> list[Contact]:
        return self.table.closest(target, self.parameters.k)

    def verify(self, contact: Contact, now: float) -> None:
        """Who asks may stand before us, or further on: see whether it lives (`notify`)."""
        if self.table.wants(contact) and len(self._verifying) < VERIFY_MAX:
            self._meet(contact, now)

    def join(self, now: float, bootstrap: Iterable[Contact] = ()) -> None:
        """Find our successor; it is told by being asked."""
        self.bootstrap += bootstrap
        self._look_at = min(self._look_at, now + 1.0)
        self._seek(self.own, now)

    def owner(self, walk: Walk) -> Contact | None:
        """The first node at or after the target, of all that a walk has met or heard of."""
        met = list(walk.closest)
        for answer in walk.answers.values():
            met += answer.closer
        target = walk.lookup.target
        return min(met, key=lambda contact: contact.position - target & self._mask, default=None)

    def tick(self, now: float) -> None:
        self.questions.tick(now)
        if now >= self._look_at:
            self._look_at = now + STABILISE * (0.5 + self.rng.random())
            self._stabilise(now)

    def _stabilise(self, now: float) -> None:
        """Who stands before our successor, who comes after it; then a few fingers."""
        if self.questions.busy:
            return
        if not len(self.table):
            self._seek(self.own, now)
            return
        successor = self.table.successors[0]
        for target in (successor.position - 1 & self._mask, successor.position):
            self._ask(successor, Verb.FIND_NODE, now, self.key_at(target))
        if self.table.predecessor is not None:
            self._ask(self.table.predecessor, Verb.PING, now)
        for _ in range(FINGERS_AT_ONCE):
            self._fix_finger(now)

    def _fix_finger(self, now: float) -> None:
        """Those between us and our successor all begin with it: only the longer ways are sought."""
        nearest = (self.table.successors[0].position - self.own & self._mask).bit_length()
        if not nearest <= self._finger < self.parameters.bits:
            self._finger = nearest
        if self._finger < self.parameters.bits:
            self._seek(self.own + (1 << self._finger) & self._mask, now)
            self._finger += 1

    def _seek(self, target: int, now: float) -> None:
        self.walk(Verb.FIND_NODE, self.key_at(target), now, finished=self._sought)

    def _sought(self, walk: Walk, now: float) -> None:
        named = [contact for answer in walk.answers.values() for contact in answer.closer]
        self._meet_all(named, now)

    def _ask(self, contact: Contact, verb: Verb, now: float, key: bytes = b"") -> None:
        def heard(answer: Answer | None) -> None:
            if answer is not None:
                self._meet_all(answer.closer, now)

        self.questions.ask(contact, verb, key, now, listener=heard)

    def _meet_all(self, named: Iterable[Contact], now: float) -> None:
        """Those whom we would keep are asked whether they live."""
        for contact in named:
            if len(self._verifying) < VERIFY_MAX and self.table.wants(contact):
                self._meet(contact, now)

    def _meet(self, contact: Contact, now: float) -> None:
        if contact.address in self._verifying or self.questions.full:
            return
        self._verifying[contact.address] = None

        def heard(_: Any) -> None:
            self._verifying.pop(contact.address, None)

        self.questions.ask(contact, Verb.PING, b"", now, listener=heard)
