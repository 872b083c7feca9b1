"""A Kademlia node: keeps its table alive and says who is closest to a key.

It learns from everything that happens: who answers enters the table, who
asks is asked back whether it really lives at its address, who stays silent
makes room for another.  What is left to do by itself is to ask contacts that
have been silent for long, and to walk into buckets where no lookup has gone.

A client (read-only) asks but is not asked: it tells its questions so, and
others do not remember it.

Kademlia paper, sections 2.2 to 2.5.  This file knows no bytes: a dialect
sends what is in `out` and reports what came.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal.dht.lookup import ALPHA
from shoal.dht.questions import Answer, Question, Questions, Step, Verb, Walk
from shoal.dht.table import BITS, QUESTIONABLE, Contact, K, Table

if TYPE_CHECKING:
    from random import Random

REFRESH = 900.0  # seconds after which a bucket where no lookup went is walked into (BEP 5)
UPKEEP = 15.0  # seconds, about, between two looks at the table
CALL_FIRST = 1.0  # seconds after which a node that knows few calls again; doubles
CALL_EVERY = 60.0  # seconds, at most, between two such calls
PINGS_MAX = 2  # silent contacts asked at one look
VERIFY_MAX = 16  # strangers asked at once whether they live where they say


@dataclass(slots=True, frozen=True)
class Parameters:
    """The numbers in which the networks differ."""

    k: int = K
    alpha: int = ALPHA
    paths: int = 1
    bits: int = BITS
    refresh: float = REFRESH  # seconds
    questionable: float = QUESTIONABLE  # seconds
    server: bool = True  # else we ask only
    resend: bool = False  # questions travel as datagrams, which get lost
    call_every: float = CALL_EVERY  # seconds


class Kademlia:
    """One node's view of the network."""

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
        self.parameters = parameters or Parameters()
        self.id = own_id
        self.own = position_of(own_id)
        self.rng = rng
        self.position_of = position_of  # of a key or an id
        self.key_at = key_at  # a key that lies at a position, or near it
        self.bootstrap: list[Contact] = []
        self._mute: dict[Hashable, None] = {}  # bootstrap contacts that did not answer lately
        self.table = Table(self.own, k=self.parameters.k, bits=self.parameters.bits)
        self.questions = Questions(
            self.table,
            self.own,
            rng,
            k=self.parameters.k,
            alpha=self.parameters.alpha,
            resend=self.parameters.resend,
        )
        self._verifying: dict[Hashable, None] = {}
        self._upkeep = now + UPKEEP * (0.5 + rng.random())
        self._call_after = CALL_FIRST
        self._call_at = now + CALL_FIRST
        self._refreshing: list[int] = []  # buckets to walk into, one after the other
        self.joining = False

    @property
    def out(self) -> list[Question]:
        return self.questions.out

    @property
    def deadline(self) -> float:
        asked = self.questions.deadline
        soon = min(self._upkeep, self._call_at)
        return soon if asked is None else min(asked, soon)

    def walk(
        self,
        verb: Verb,
        key: bytes,
        now: float,
        *,
        argument: Any = None,
        paths: int | None = None,
        listener: Callable[[Answer], None] | None = None,
        finished: Callable[[Walk, float], None] | None = None,
        watcher: Callable[[Step], None] | None = None,
    ) -> Walk:
        """Ask towards a key; from the bootstrap contacts too while few others are known."""
        target = self.position_of(key)
        self.table.touch(target, now)
        return self.questions.walk(
            verb,
            key,
            target,
            now,
            argument=argument,
            seeds=self._seeds(now),
            paths=paths or self.parameters.paths,
            listener=listener,
            finished=finished,
            watcher=watcher,
        )

    def cancel(self, walk: Walk) -> None:
        self.questions.cancel(walk)

    def ask(
        self,
        contact: Contact,
        verb: Verb,
        now: float,
        key: bytes = b"",
        *,
        argument: Any = None,
        listener: Callable[[Answer | None], None] | None = None,
    ) -> Question:
        return self.questions.ask(contact, verb, key, now, argument=argument, listener=listener)

    def answered(self, number: int, answer: Answer, now: float) -> None:
        self.questions.answered(number, answer, now)

    def refused(self, number: int, now: float) -> None:
        self.questions.refused(number, now)

    def unreachable(self, number: int, now: float) -> None:
        self.questions.unreachable(number, now)

    def closest(self, target: int) -> list[Contact]:
        """Whom we name when somebody asks."""
        return self.table.closest(target, self.parameters.k)

    def heard(self, address: Hashable, contact_id: bytes, now: float) -> bool:
        """A query came. True if that was all; else `verify` may make a contact of the stranger."""
        return (
            self.table.heard(address, contact_id, now)
            or address in self._verifying
            or len(self._verifying) >= VERIFY_MAX
            or self.table.closed(self.position_of(contact_id))
        )

    def verify(self, contact: Contact, now: float) -> None:
        """A stranger enters the table only after it has answered a question of ours."""
        if self.questions.full or self.heard(contact.address, contact.id, now):
            return
        if self.table.wants(contact):
            self._verifying[contact.address] = None
            self.ask(contact, Verb.PING, now, listener=lambda _: self._verified(contact))

    def join(self, now: float, bootstrap: Iterable[Contact] = ()) -> None:
        """Find our neighbours, then somebody in every farther bucket."""
        self.bootstrap += [
            contact
            for contact in bootstrap
            if all(contact.address != known.address for known in self.bootstrap)
        ]
        self._call(now)

    def tick(self, now: float) -> None:
        self.questions.tick(now)
        if now >= self._call_at:
            self._call_again(now)
        if now >= self._upkeep:
            self._upkeep = now + UPKEEP * (0.5 + self.rng.random())
            self._look_after_table(now)

    def _verified(self, contact: Contact) -> None:
        self._verifying.pop(contact.address, None)

    def _seeds(self, now: float) -> list[Contact]:
        """No lookup waits for a bootstrap node that is dead; the lonely call them at once."""
        if len(self.table) >= self.parameters.k:
            return []
        if not len(self.table):
            self._call_at = min(self._call_at, now + CALL_FIRST)
        return [contact for contact in self.bootstrap if contact.address not in self._mute]

    def _call(self, now: float) -> None:
        if not self.joining and (self.bootstrap or len(self.table)):
            self.joining = True
            mute, self._mute = self._mute, {}
            self.walk(Verb.FIND_NODE, self.id, now, finished=self._joined)
            self._mute = mute if self.joining else self._mute

    def _call_again(self, now: float) -> None:
        """Whoever knows few calls them all: they may know others by now.

        A node that has come back knows nobody, and nobody else would ask it before long.
        """
        if len(self.table) >= self.parameters.k:
            self._call_after = self.parameters.call_every
        elif not self.questions.busy:
            self._call(now)
        self._call_at = now + self._call_after * (0.5 + self.rng.random())
        self._call_after = min(2 * self._call_after, self.parameters.call_every)

    def _joined(self, walk: Walk, now: float) -> None:
        self.joining = False
        self._mute = {
            contact.address: None
            for contact in self.bootstrap
            if contact.address not in walk.answers and self.table.find(contact.address) is None
        }
        nearest = min((self.own ^ contact.position for contact in walk.closest), default=0)
        if nearest:
            self._refreshing = list(range(nearest.bit_length() + 1, self.parameters.bits + 1))
            self._refresh_next(now)

    def _look_after_table(self, now: float) -> None:
        if self.questions.busy:
            return
        silent = self.table.questionable(now, self.parameters.questionable)
        if silent:
            asked = self.rng.sample(silent, min(len(silent), PINGS_MAX))
            witness = self.table.latest()  # whose answer shows that it is not we who are cut off
            for contact in asked if witness is None else [*asked, witness]:
                self.ask(contact, Verb.PING, now)
        if not self._refreshing:
            self._refreshing = self.table.idle(now - self.parameters.refresh)
            self._refresh_next(now)

    def _refresh_next(self, now: float) -> None:
        """Farthest first: the walk into a far bucket also meets peers of the nearer ones."""
        if self._refreshing and len(self.table) and not self.questions.busy:
            target = self.table.inside(self._refreshing.pop(), self.rng)
            self.walk(Verb.FIND_NODE, self.key_at(target), now, finished=self._refreshed)

    def _refreshed(self, walk: Walk, now: float) -> None:
        self._refresh_next(now)
