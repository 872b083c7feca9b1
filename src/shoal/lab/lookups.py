"""What a Kademlia lookup costs, and whether it succeeds, under each trouble.

    hops      tables filled from the true ids, or by real joins
    churn     nodes come and go as measured on real networks
    half      half of the nodes, or another share, die at the same moment
    liars     some nodes name only each other

Each experiment is `run(seed, ...) -> row`.  A lookup succeeds if it finds the
closest of the honest nodes that live; one for a value (churn) ends when it has it.

Churn is judged in the middle of a network's life, or from its first hour: then
all sessions have just begun, most are short, and much more changes.
"""

from bisect import bisect_left
from typing import Any

from shoal.dht.kademlia import Parameters
from shoal.dht.lookup import Lookup
from shoal.dht.questions import Answer, Verb, Walk
from shoal.dht.table import BITS, Contact, Table
from shoal.lab.overlays import EngineNode, EngineWorld, key_at
from shoal.sim.churn import MEASURED

Row = dict[str, Any]

JOIN_GAP = 0.05  # seconds between two joins
SETTLE = 20.0  # seconds after the last join
VALUES = 50  # stored before the churn
VALUE_LIFE = 7200.0  # seconds that a node keeps one
REPUBLISH = 900.0  # seconds after which a value is stored anew
LOOKUP_LIMIT = 30.0  # seconds after which a lookup counts as failed
SPREAD = 10.0  # seconds over which the lookups of an experiment begin


class Ids:
    """All contacts in order of position: what a bucket may hold is a stretch of them."""

    def __init__(self, contacts: list[Contact]) -> None:
        self._contacts = sorted(contacts, key=lambda contact: contact.position)
        self._positions = [contact.position for contact in self._contacts]

    def fill(self, table: Table, rng: Any, now: float) -> None:
        """Up to k of each bucket, drawn from all that belong there."""
        for index in range(BITS, 0, -1):
            low = (table.own >> (index - 1) ^ 1) << (index - 1)
            start = bisect_left(self._positions, low)
            end = bisect_left(self._positions, low + (1 << (index - 1)))
            stretch = range(start, end)
            for number in rng.sample(stretch, min(table.k, len(stretch))):
                table.answered(self._contacts[number], now)
            nearer = bisect_left(self._positions, (table.own >> (index - 1)) << (index - 1))
            if self._positions[nearer : nearer + 2] in ([table.own], []):
                return

    def closest(self, target: int, count: int = 1) -> list[Contact]:
        """The true answer, from the smallest subtree around the target that has enough."""
        for bits in range(BITS + 1):
            low = (target >> bits) << bits
            start = bisect_left(self._positions, low)
            end = bisect_left(self._positions, low + (1 << bits))
            if end - start >= count:
                found = self._contacts[start:end]
                return sorted(found, key=lambda contact: contact.position ^ target)[:count]
        return sorted(self._contacts, key=lambda contact: contact.position ^ target)


def hops(seed: int, *, size: int, k: int = 8, lookups: int = 1000, joined: bool = False) -> Row:
    """Rounds that led closer, in tables as Kademlia wants them or as joins made them."""
    world = grow(seed, size, Parameters(k=k)) if joined else scattered(seed, size, Parameters(k=k))
    ids = Ids([node.contact for node in world.nodes])
    filled: dict[Any, None] = {}
    rounds, questions, found = [], 0, 0
    for _ in range(lookups):
        asker, target = world.rng.choice(world.nodes), world.rng.getrandbits(BITS)
        lookup = Lookup(target, table_of(world, asker, ids, filled, joined).closest(target, k), k=k)
        rounds.append(walk_in_rounds(world, asker, lookup, ids, filled, joined))
        questions += lookup.asked
        found += lookup.closest[0] == next_to(ids, target, asker)
    return {
        "nodes": size,
        "k": k,
        "tables": "joined" if joined else "filled",
        "hops": round(sum(rounds) / lookups, 2),
        "p95": sorted(rounds)[int(lookups * 0.95)],
        "questions": round(questions / lookups, 1),
        "found": found / lookups,
    }


def churn(
    seed: int,
    *,
    size: int = 1000,
    hours: float = 1.0,
    lookups: int = 1000,
    values: bool = True,
    young: bool = False,
) -> Row:
    """Sessions end and others begin; what was stored is still found, and so are nodes."""
    world = grow(seed, size, Parameters(k=8, resend=True))
    stored = [key_at(world.rng.getrandbits(BITS)) for _ in range(VALUES if values else 0)]
    for number, value in enumerate(stored):
        world.after(number * REPUBLISH / VALUES, publish, world, value)
    world.run(world.now + REPUBLISH)
    for node in world.nodes:
        rest = (MEASURED.draw if young else MEASURED.draw_rest)(world.rng)
        world.after(rest, replace, world, node)
    tally = Tally(world)
    for number in range(lookups):
        verb = Verb.GET_VALUE if values else Verb.FIND_NODE
        key = world.rng.choice(stored) if values else key_at(world.rng.getrandbits(BITS))
        tally.plan(number * hours * 3600 / lookups, verb, key)
    world.run(world.now + hours * 3600 + LOOKUP_LIMIT)
    return {
        "nodes": size,
        "hours": hours,
        "sessions": "new" if young else "under way",
        "replaced": len(world.nodes) - size,
        "sought": "value" if values else "node",
        **tally.row(),
    }


def half(seed: int, *, size: int = 1000, share: float = 0.5, lookups: int = 500) -> Row:
    """Half of the nodes die at the same moment; the others look at once."""
    world = filled_world(seed, size, Parameters(k=8, resend=True))
    warm(world)
    dead = world.rng.sample(world.nodes, int(size * share))
    for node in dead:
        world.die(node)
    tally = Tally(world)
    for number in range(lookups):
        target = key_at(world.rng.getrandbits(BITS))
        tally.plan(number * SPREAD / lookups, Verb.FIND_NODE, target)
    world.run(world.now + SPREAD + LOOKUP_LIMIT)
    return {"nodes": size, "dead": len(dead), **tally.row()}


def liars(
    seed: int,
    *,
    size: int = 1000,
    share: float = 0.2,
    paths: int = 8,
    k: int = 16,
    lookups: int = 300,
) -> Row:
    """A share of the nodes names only each other; paths that share no node go round them."""
    world = filled_world(seed, size, Parameters(k=k, paths=paths), share)
    tally = Tally(world)
    for number in range(lookups):
        target = world.rng.choice([node for node in world.nodes if not node.liar])
        tally.plan(number * SPREAD / lookups, Verb.FIND_NODE, target.engine.id)
    world.run(world.now + SPREAD + LOOKUP_LIMIT)
    return {"nodes": size, "liars": share, "k": k, "paths": paths, **tally.row()}


class Tally:
    """Lookups by nodes drawn at random, and how they ended."""

    def __init__(self, world: EngineWorld) -> None:
        self.world = world
        self.planned = 0
        self.succeeded = 0
        self.seconds: list[float] = []
        self.questions = 0

    def plan(self, seconds: float, verb: Verb, key: bytes) -> None:
        self.planned += 1
        self.world.after(seconds, self._begin, verb, key)

    def row(self) -> Row:
        late = [LOOKUP_LIMIT] * (self.planned - len(self.seconds))
        took = sorted(self.seconds + late)
        return {
            "lookups": self.planned,
            "succeeded": round(self.succeeded / self.planned, 4),
            "p50_s": round(took[len(took) // 2], 3),
            "p95_s": round(took[int(len(took) * 0.95)], 3),
            "questions": round(self.questions / self.planned, 1),
        }

    def _begin(self, verb: Verb, key: bytes) -> None:
        world = self.world
        asker = world.rng.choice([node for node in world.nodes if node.alive and not node.liar])
        began = world.now

        def finished(walk: Walk, now: float) -> None:
            self.seconds.append(now - began)
            self.questions += walk.lookup.asked
            self.succeeded += self._success(walk, asker)

        def heard(answer: Answer) -> None:
            if answer.values:  # who wanted a value has it and asks no more
                asker.engine.cancel(walk)
                finished(walk, world.now)

        walk = asker.engine.walk(verb, key, world.now, listener=heard, finished=finished)
        world.flush(asker)

    def _success(self, walk: Walk, asker: EngineNode) -> bool:
        if walk.verb is Verb.GET_VALUE:
            return any(answer.values for answer in walk.answers.values())
        target = walk.lookup.target
        honest = [n for n in self.world.nodes if n.alive and not n.liar and n is not asker]
        best = min(honest, key=lambda node: node.contact.position ^ target)
        return best.contact.position in [contact.position for contact in walk.closest]


def scattered(seed: int, size: int, parameters: Parameters, share: float = 0.0) -> EngineWorld:
    """Nodes that know nobody yet."""
    world = EngineWorld(seed, parameters)
    for number in range(size):
        world.add(liar=number < size * share)
    return world


def filled_world(seed: int, size: int, parameters: Parameters, share: float = 0.0) -> EngineWorld:
    world = scattered(seed, size, parameters, share)
    ids = Ids([node.contact for node in world.nodes])
    for node in world.nodes:
        ids.fill(node.engine.table, world.rng, world.now)
    return world


def grow(seed: int, size: int, parameters: Parameters) -> EngineWorld:
    """A network in which one after the other has joined."""
    world = EngineWorld(seed, parameters)
    for number in range(size):
        world.after(number * JOIN_GAP, join, world)
    world.run(world.now + size * JOIN_GAP + SETTLE)
    return world


def join(world: EngineWorld) -> EngineNode:
    living = [node.contact.address for node in world.nodes if node.alive]
    node = world.add()
    if living:
        node.engine.join(world.now, [Contact(0, b"", world.rng.choice(living))])
    world.flush(node)
    return node


def replace(world: EngineWorld, node: EngineNode) -> None:
    world.die(node)
    world.after(MEASURED.draw(world.rng), replace, world, join(world))


def publish(world: EngineWorld, value: bytes) -> None:
    """Somebody stores it, now and again later."""
    asker = world.rng.choice([node for node in world.nodes if node.alive])

    def store(walk: Walk, now: float) -> None:
        for contact in walk.closest:
            asker.engine.ask(contact, Verb.PUT_VALUE, now, value, argument=VALUE_LIFE)

    asker.engine.walk(Verb.FIND_NODE, value, world.now, finished=store)
    world.flush(asker)
    world.after(REPUBLISH, publish, world, value)


def warm(world: EngineWorld) -> None:
    """A few lookups each, so that nodes know how long answers take."""
    for node in world.nodes:
        key = key_at(world.rng.getrandbits(BITS))
        node.engine.walk(Verb.FIND_NODE, key, world.now)
        world.flush(node)
    world.run(world.now + SPREAD)


def table_of(
    world: EngineWorld, node: EngineNode, ids: Ids, filled: dict[Any, None], joined: bool
) -> Table:
    """Tables are filled when they are first looked at: most of 10^5 never are."""
    if not joined and node.contact.address not in filled:
        filled[node.contact.address] = None
        ids.fill(node.engine.table, world.rng, world.now)
    table: Table = node.engine.table
    return table


def walk_in_rounds(
    world: EngineWorld,
    asker: EngineNode,
    lookup: Lookup,
    ids: Ids,
    filled: dict[Any, None],
    joined: bool,
) -> int:
    """Every question of a round is answered before the next; the rounds that led closer.

    Closer than whoever had answered so far: the first round always is.
    """
    count, nearest = 0, 1 << BITS
    while batch := lookup.next():
        before = nearest
        for contact in batch:
            node = world.by_address[contact.address]  # type: ignore[index]
            known = table_of(world, node, ids, filled, joined).closest(lookup.target, lookup.k)
            named = [other for other in known if other is not asker.contact]
            lookup.answered(contact, named)
            nearest = min(nearest, contact.position ^ lookup.target)
        count += nearest < before
    return count


def next_to(ids: Ids, target: int, asker: EngineNode) -> Contact:
    first, second = ids.closest(target, 2)
    return second if first is asker.contact else first
