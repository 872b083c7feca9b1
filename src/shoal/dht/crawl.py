"""Meeting every node, from one to the next, and asking each for what it holds."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from shoal.dht.kademlia import Kademlia
from shoal.dht.questions import Answer, Verb

if TYPE_CHECKING:
    from shoal.dht.table import Contact

AT_ONCE = 16  # questions in flight
QUEUE_MAX = 100_000  # nodes heard of and not asked yet


class Crawl:
    """Breadth first: those heard of first are asked first, each towards a place of its own."""

    def __init__(
        self, engine: Kademlia, listener: Callable[[Answer | None], None], limit: int
    ) -> None:
        self._engine = engine
        self._listener = listener
        self._left = limit  # answers still wanted
        self._flying = 0
        self._queue: list[Contact] = [*engine.bootstrap, *engine.table]
        self._seen: dict[Hashable, None] = {contact.address: None for contact in self._queue}

    def next(self, now: float) -> bool:
        """Ask on. False: everybody was met, or enough."""
        engine = self._engine
        while self._queue and self._flying < min(AT_ONCE, self._left) and not engine.questions.full:
            contact = self._queue.pop(0)
            key = engine.key_at(engine.rng.getrandbits(engine.parameters.bits))
            engine.ask(contact, Verb.SAMPLE, now, key, listener=self._listener)
            self._flying += 1
        return self._flying > 0

    def heard(self, answer: Answer | None) -> None:
        self._flying -= 1
        if answer is None:
            return
        self._left -= 1
        self._seen[answer.contact.address] = None
        for contact in answer.closer:
            known = contact.address in self._seen or contact.position == self._engine.own
            if not known and len(self._queue) < QUEUE_MAX:
                self._seen[contact.address] = None
                self._queue.append(contact)
