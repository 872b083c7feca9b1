"""Questions under way: who was asked, how long we wait, where the answers lead.

A walk is a lookup that asks.  Each question has a number, by which the
dialect hands back what came: an answer, a refusal or the news that the peer
cannot be reached.  Nothing coming is noticed here, in three steps: after the
usual time a question makes its peer late, past its patience slow, past its
limit failed.

This is what every structured overlay does alike; how a peer chooses whom it
knows is its `Routing` (Kademlia's table, Chord's fingers).
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush
from operator import xor
from typing import TYPE_CHECKING, Any, Protocol

from shoal.dht.lookup import ALPHA, Lookup
from shoal.dht.table import Contact, K
from shoal.dht.timing import RoundTrips
from shoal.errors import LimitError

if TYPE_CHECKING:
    from random import Random

WALKS_MAX = 256  # lookups at once
QUESTIONS_MAX = 4096  # questions at once; a walk has up to ASKED_MAX
NUMBER_BITS = 32  # of a question's number: a stranger cannot guess it


class Verb(Enum):
    """What one peer asks of another; each dialect has its own words for them."""

    PING = "ping"
    FIND_NODE = "find node"
    GET_PROVIDERS = "get providers"
    ADD_PROVIDER = "add provider"
    GET_VALUE = "get value"
    PUT_VALUE = "put value"
    SAMPLE = "sample keys"


@dataclass(slots=True)
class Answer:
    """What a peer said, in the engine's words."""

    contact: Contact
    closer: list[Contact] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)  # providers or records, as the dialect has them
    token: bytes = b""  # what the peer wants to see when we store
    extra: dict[str, Any] = field(default_factory=dict)  # what only this dialect knows


@dataclass(slots=True)
class Question:
    """What one contact was asked."""

    number: int
    contact: Contact
    verb: Verb
    key: bytes
    argument: Any  # the rest of the question, for the dialect
    asked: float
    walk: "Walk | None" = None
    listener: Callable[["Answer | None"], None] | None = None  # None: refused or no answer
    late: bool = False
    slow: bool = False


@dataclass(slots=True)
class Step:
    """One event of a walk, for whoever watches it."""

    what: str  # asked, answered, late, slow or failed
    contact: Contact
    hop: int  # answers between us and whoever named the contact
    seconds: float  # since it was asked
    closer: int = 0  # names in the answer


@dataclass(slots=True, eq=False)
class Walk:
    """A lookup that asks."""

    verb: Verb
    key: bytes
    lookup: Lookup
    argument: Any = None
    listener: Callable[[Answer], None] | None = None  # is told each answer
    finished: Callable[["Walk", float], None] | None = None  # is told once, at the end, and when
    watcher: Callable[[Step], None] | None = None
    done: bool = False
    hops: dict[Hashable, int] = field(default_factory=dict)  # address -> answers before it
    answers: dict[Hashable, Answer] = field(default_factory=dict)

    @property
    def closest(self) -> list[Contact]:
        return self.lookup.closest


class Routing(Protocol):
    """Whom a node knows."""

    def answered(self, contact: Contact, now: float) -> bool: ...
    def failed(self, address: Hashable) -> None: ...
    def closest(self, target: int, count: int) -> list[Contact]: ...


class Questions:
    """All that a node asks at the moment."""

    def __init__(
        self,
        routing: Routing,
        own: int,
        rng: "Random",
        *,
        k: int = K,
        alpha: int = ALPHA,
        distance: Callable[[int, int], int] = xor,
        resend: bool = False,
    ) -> None:
        self.resend = resend  # what stays unanswered is sent once more: datagrams get lost
        self.routing = routing
        self.own = own
        self.rng = rng
        self.k = k
        self.alpha = alpha
        self.distance = distance
        self.trips = RoundTrips()
        self.out: list[Question] = []  # to be sent; the dialect takes and clears
        self._pending: dict[int, Question] = {}
        self._walks: dict[Walk, None] = {}
        self._timers: list[tuple[float, int]] = []  # when, number of the question
        self._last_answer = float("-inf")

    @property
    def deadline(self) -> float | None:
        while self._timers and self._timers[0][1] not in self._pending:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    @property
    def full(self) -> bool:
        return len(self._pending) >= QUESTIONS_MAX

    @property
    def busy(self) -> bool:
        """What we do of our own accord has to wait."""
        return self.full or len(self._walks) >= WALKS_MAX

    def __len__(self) -> int:
        return len(self._pending)

    def pending(self, number: int) -> Question | None:
        """The question that a message answers; the dialect compares the sender."""
        return self._pending.get(number)

    def walk(
        self,
        verb: Verb,
        key: bytes,
        target: int,
        now: float,
        *,
        argument: Any = None,
        seeds: Iterable[Contact] = (),
        paths: int = 1,
        listener: Callable[[Answer], None] | None = None,
        finished: Callable[[Walk, float], None] | None = None,
        watcher: Callable[[Step], None] | None = None,
    ) -> Walk:
        """Ask towards a target. Raises LimitError when too many walks are under way."""
        if len(self._walks) >= WALKS_MAX:
            raise LimitError(f"{WALKS_MAX} lookups are under way already")
        known = self.routing.closest(target, self.k * paths)
        lookup = Lookup(
            target,
            [*known, *seeds],
            k=self.k,
            alpha=self.alpha,
            paths=paths,
            distance=self.distance,
        )
        walk = Walk(verb, key, lookup, argument, listener, finished, watcher)
        self._walks[walk] = None
        self._advance(walk, now)
        return walk

    def cancel(self, walk: Walk) -> None:
        """Ask no more; answers that still come are learned from and not reported."""
        if not walk.done:
            walk.done = True
            del self._walks[walk]

    def close(self, now: float) -> None:
        """End everything: walks with what they have, questions without an answer."""
        for question in list(self._pending.values()):
            del self._pending[question.number]
            if question.listener:
                question.listener(None)
        for walk in list(self._walks):
            self._end(walk, now)

    def ask(
        self,
        contact: Contact,
        verb: Verb,
        key: bytes,
        now: float,
        *,
        argument: Any = None,
        walk: Walk | None = None,
        listener: Callable[[Answer | None], None] | None = None,
    ) -> Question:
        if self.full:
            raise LimitError(f"{QUESTIONS_MAX} questions wait for an answer already")
        number = self.rng.getrandbits(NUMBER_BITS)
        while number in self._pending:
            number = self.rng.getrandbits(NUMBER_BITS)
        question = Question(number, contact, verb, key, argument, now, walk, listener)
        self._pending[number] = question
        heappush(self._timers, (now + self.trips.usual, number))
        self.out.append(question)
        return question

    def answered(self, number: int, answer: Answer, now: float) -> None:
        question = self._pending.pop(number, None)
        if question is None:
            return
        self._last_answer = now
        self.trips.measured(now - question.asked)
        expected = question.contact
        if expected.id and expected.id != answer.contact.id:
            self.routing.answered(answer.contact, now)  # somebody else lives there now
            self._missed(question, now, "failed")
            return
        self.routing.answered(answer.contact, now)
        if question.listener:
            question.listener(answer)
        walk = question.walk
        if walk is not None and not walk.done:
            self._step(walk, question, answer, now)

    def refused(self, number: int, now: float) -> None:
        """The peer lives but does not answer this question."""
        question = self._pending.pop(number, None)
        if question is not None:
            self._last_answer = now
            self._missed(question, now, "failed")

    def unreachable(self, number: int, now: float) -> None:
        """The peer cannot be asked, or did not answer in time."""
        question = self._pending.pop(number, None)
        if question is None:
            return
        if self._last_answer >= question.asked:  # else it may be we who are cut off
            self.routing.failed(question.contact.address)
        self._missed(question, now, "failed")

    def tick(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, number = heappop(self._timers)
            question = self._pending.get(number)
            if question is None:
                continue
            if question.slow:
                self.unreachable(number, now)
                continue
            if question.late:
                question.slow = True
                if self.resend:
                    self.out.append(question)
            wait = self.trips.limit if question.late else self.trips.patience
            question.late = True
            heappush(self._timers, (max(question.asked + wait, now), number))
            self._missed(question, now, "slow" if question.slow else "late")

    def _missed(self, question: Question, now: float, what: str) -> None:
        if what == "failed" and question.listener:
            question.listener(None)
        walk = question.walk
        if walk is None or walk.done:
            return
        lookup = walk.lookup
        report = {"late": lookup.late, "slow": lookup.slow, "failed": lookup.failed}[what]
        report(question.contact)
        self._watch(walk, what, question, now)
        self._advance(walk, now)

    def _step(self, walk: Walk, question: Question, answer: Answer, now: float) -> None:
        closer = [named for named in answer.closer if named.position != self.own]
        if walk.watcher:
            hop = walk.hops.get(question.contact.address, 0) + 1
            for named in closer:
                walk.hops.setdefault(named.address, hop)
        walk.answers[answer.contact.address] = answer
        walk.lookup.answered(answer.contact, closer)
        self._watch(walk, "answered", question, now, len(closer))
        if walk.listener:
            walk.listener(answer)
        self._advance(walk, now)

    def _advance(self, walk: Walk, now: float) -> None:
        if walk.done:
            return  # its listener has cancelled it
        for contact in walk.lookup.next():
            if self.full:
                walk.lookup.failed(contact)
                continue
            question = self.ask(
                contact, walk.verb, walk.key, now, argument=walk.argument, walk=walk
            )
            self._watch(walk, "asked", question, now)
        if walk.lookup.done:
            self._end(walk, now)

    def _end(self, walk: Walk, now: float) -> None:
        self.cancel(walk)
        if walk.finished:
            walk.finished(walk, now)

    def _watch(
        self, walk: Walk, what: str, question: Question, now: float, closer: int = 0
    ) -> None:
        if walk.watcher:
            hop = walk.hops.get(question.contact.address, 0)
            walk.watcher(Step(what, question.contact, hop, now - question.asked, closer))
