"""Structured overlays by their engines alone: many nodes, one clock, no bytes.

`EngineWorld` carries the questions of many Kademlia engines to each other
with a delay, so a network of 10^5 fits into one process.  Each experiment is
`run(seed, parameters) -> row`, and the same seed gives the same row.

A hop is a round of questions in which an answer shrank the closest distance
that was known.
"""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any

from shoal.dht.chord import Chord
from shoal.dht.kademlia import Kademlia, Parameters
from shoal.dht.questions import Answer, Question, Verb
from shoal.dht.table import Contact

ID_BYTES = 20
DELAY_MIN, DELAY_MAX = 0.010, 0.100  # seconds one way, as in the published experiments


def position_of(key: bytes) -> int:
    return int.from_bytes(key)


def key_at(position: int) -> bytes:
    return position.to_bytes(ID_BYTES)


@dataclass(slots=True, eq=False)
class EngineNode:
    """One engine in the world, and whether it lives, lies or keeps something."""

    engine: Any  # Kademlia, or an engine of the same shape
    contact: Contact
    alive: bool = True
    liar: bool = False
    tick_at: float = float("inf")
    kept: dict[bytes, float] = field(default_factory=dict)  # key -> until when


class EngineWorld:
    """Engines that hear each other after a delay."""

    def __init__(
        self,
        seed: int,
        parameters: Parameters,
        *,
        start: float = 1000.0,
        overlay: type[Kademlia] | type[Chord] = Kademlia,
    ) -> None:
        self.overlay = overlay
        self.rng = Random(seed)
        self.parameters = parameters
        self.now = start
        self.nodes: list[EngineNode] = []
        self.by_address: dict[int, EngineNode] = {}
        self.liars: list[EngineNode] = []
        self.questions = 0
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._order = 0

    def add(
        self, *, group: int | None = None, liar: bool = False, own: int | None = None
    ) -> EngineNode:
        """A node; liars may choose where it stands."""
        own = self.rng.getrandbits(8 * ID_BYTES) if own is None else own
        address = len(self.nodes)
        engine = self.overlay(
            key_at(own),
            Random(self.rng.getrandbits(64)),
            position_of=position_of,
            key_at=key_at,
            parameters=self.parameters,
            now=self.now,
        )
        node = EngineNode(engine, Contact(own, engine.id, address, group), liar=liar)
        self.nodes.append(node)
        self.by_address[address] = node
        if liar:
            self.liars.append(node)
        return node

    def after(self, seconds: float, action: Any, *arguments: Any) -> None:
        self._order += 1
        heappush(self._events, (self.now + seconds, self._order, action, arguments))

    def run(self, until: float) -> None:
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, action, arguments = heappop(events)
            action(*arguments)
        self.now = until

    def flush(self, node: EngineNode) -> None:
        """Send what the node's engine wants sent, and wake it when it wants to be woken."""
        engine = node.engine
        for question in engine.out:
            self.questions += 1
            self.after(self._delay(), self._ask, node, question)
        engine.out.clear()
        if engine.deadline < node.tick_at:
            node.tick_at = engine.deadline
            self.after(max(engine.deadline - self.now, 0.0), self._tick, node, node.tick_at)

    def die(self, node: EngineNode) -> None:
        node.alive = False

    def _delay(self) -> float:
        return self.rng.uniform(DELAY_MIN, DELAY_MAX)

    def _tick(self, node: EngineNode, when: float) -> None:
        if node.alive and node.tick_at == when:
            node.tick_at = float("inf")
            node.engine.tick(self.now)
            self.flush(node)

    def _ask(self, asker: EngineNode, question: Question) -> None:
        node = self.by_address[question.contact.address]  # type: ignore[index]
        if not node.alive:
            return
        node.engine.verify(asker.contact, self.now)
        answer = Answer(node.contact, self._closer(node, question, asker))
        if question.verb is Verb.PUT_VALUE:
            node.kept[question.key] = self.now + float(question.argument)
        elif question.verb is Verb.GET_VALUE and not node.liar:
            kept = node.kept.get(question.key, 0.0) > self.now
            answer.values = [question.key] if kept else []
        self.flush(node)
        self.after(self._delay(), self._answer, asker, question.number, answer)

    def _answer(self, asker: EngineNode, number: int, answer: Answer) -> None:
        if asker.alive:
            asker.engine.answered(number, answer, self.now)
            self.flush(asker)

    def _closer(self, node: EngineNode, question: Question, asker: EngineNode) -> list[Contact]:
        if question.verb is Verb.PING:
            return []
        target = position_of(question.key)
        if node.liar:
            return self.nearest(self.liars, target, self.parameters.k)
        return [c for c in node.engine.closest(target) if c.position != asker.contact.position]

    @staticmethod
    def nearest(nodes: list[EngineNode], target: int, count: int) -> list[Contact]:
        ordered = sorted(nodes, key=lambda node: node.contact.position ^ target)
        return [node.contact for node in ordered[:count]]
