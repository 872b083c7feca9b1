"""Chord's fingers lead to the owner of a key in about half log2 n hops."""

import random
from bisect import bisect_left

import pytest

from shoal.dht.chord import STABILISE, SUCCESSORS, Chord, Fingers, clockwise
from shoal.dht.kademlia import Parameters
from shoal.dht.lookup import Lookup
from shoal.dht.questions import Questions, Verb, Walk
from shoal.dht.table import Contact
from shoal.lab.overlays import EngineWorld, key_at

BITS = 32


def ring(size: int, seed: int) -> tuple[list[Contact], dict[int, Fingers]]:
    """Nodes with the fingers and successors that the true ring gives them."""
    rng = random.Random(seed)
    positions = sorted(rng.sample(range(2**BITS), size))
    contacts = [Contact(position, b"%d" % position, position) for position in positions]
    tables = {}
    for number, own in enumerate(positions):
        table = tables[own] = Fingers(own, bits=BITS)
        wanted = [(number + step) % size for step in range(1, SUCCESSORS + 1)]
        wanted += [
            bisect_left(positions, (own + (1 << bit)) % 2**BITS) % size for bit in range(BITS)
        ]
        wanted.append(number - 1)
        for other in wanted:
            table.answered(contacts[other], 0.0)
    return contacts, tables


def owner_of(target: int, contacts: list[Contact]) -> Contact:
    return min(contacts, key=lambda contact: (contact.position - target) % 2**BITS)


def walk(lookup: Lookup, tables: dict[int, Fingers]) -> tuple[int, set[int]]:
    hops, met = 0, set()
    while not lookup.done:
        for contact in lookup.next():
            hops += 1
            named = tables[contact.position].closest(lookup.target, 8)
            met |= {other.position for other in named}
            lookup.answered(contact, named)
    return hops, met


@pytest.mark.parametrize("seed", range(5))
def test_a_lookup_meets_the_owner(seed: int) -> None:
    contacts, tables = ring(200, seed)
    rng = random.Random(seed)
    for _ in range(20):
        target = rng.getrandbits(BITS)
        own = rng.choice(contacts).position
        seeds = tables[own].closest(target, 4)
        lookup = Lookup(target, seeds, k=2, alpha=1, distance=clockwise(BITS))
        hops, met = walk(lookup, tables)
        met |= {contact.position for contact in seeds}
        assert owner_of(target, contacts).position in met | {own}
        assert hops <= 16


def test_it_keeps_fingers_successors_and_the_predecessor_only() -> None:
    table = Fingers(0, bits=BITS)
    rng = random.Random(1)
    for _ in range(2000):
        position = rng.randrange(1, 2**BITS)
        table.answered(Contact(position, b"x", position), 0.0)
    assert len(table) <= SUCCESSORS + BITS + 1
    ways = [contact.position for contact in table.successors]
    assert ways == sorted(ways)
    assert table.predecessor is not None


def test_the_ring_stays_closed_when_successors_die() -> None:
    contacts, tables = ring(50, 3)
    own = contacts[0].position
    for contact in contacts[1:9]:
        tables[own].failed(contact.address)
    assert tables[own].successors[0] == contacts[9]
    assert tables[own].owner(own + 1) == contacts[9]
    tables[own].failed("nobody")


def test_one_address_has_one_place_and_nobody_takes_it_over() -> None:
    table = Fingers(0, bits=BITS)
    assert table.answered(Contact(5, b"a", "home"), 0.0)
    assert not table.answered(Contact(5, b"b", "thief"), 0.0)
    assert table.answered(Contact(6, b"c", "home"), 0.0)
    assert [contact.position for contact in table.successors] == [6]
    assert not table.answered(Contact(0, b"d", "self"), 0.0)


def test_questions_work_on_a_ring_as_on_a_table() -> None:
    contacts, tables = ring(50, 4)
    own = contacts[0].position
    questions = Questions(
        tables[own], own, random.Random(1), k=2, alpha=1, distance=clockwise(BITS)
    )
    walk = questions.walk(Verb.FIND_NODE, b"key", own + 2**30, 0.0)
    assert len(questions.out) == 1
    assert not walk.done


def grown(size: int, seed: int) -> EngineWorld:
    """A ring that one after the other has joined, by way of somebody drawn at random."""
    world = EngineWorld(seed, Parameters(k=8, alpha=1), overlay=Chord)
    for _ in range(size):
        node = world.add()
        if len(world.nodes) > 1:
            known = world.rng.choice(world.nodes[:-1]).contact
            node.engine.join(world.now, [Contact(0, b"", known.address)])
        world.flush(node)
        world.run(world.now + 2.0)
    world.run(world.now + 10 * STABILISE)
    return world


def closed(world: EngineWorld) -> float:
    """The share of those whose first successor is the true one."""
    living = sorted(
        (node for node in world.nodes if node.alive), key=lambda node: node.contact.position
    )
    following = [*living[1:], living[0]]
    right = sum(
        node.engine.table.successors[:1] == [after.contact]
        for node, after in zip(living, following, strict=True)
    )
    return right / len(living)


def owners_found(world: EngineWorld, lookups: int) -> float:
    living = [node for node in world.nodes if node.alive]
    found = 0
    for _ in range(lookups):
        asker, target = world.rng.choice(living), world.rng.getrandbits(160)
        ended: list[Walk] = []

        def finished(walk: Walk, now: float, ended: list[Walk] = ended) -> None:
            ended.append(walk)

        asker.engine.walk(Verb.FIND_NODE, key_at(target), world.now, finished=finished)
        world.flush(asker)
        while not ended:
            world.run(world.now + 0.1)
        true = min(
            living, key=lambda node, target=target: (node.contact.position - target) % 2**160
        )
        found += true is asker or asker.engine.owner(ended[0]) == true.contact
    return found / lookups


@pytest.mark.slow
def test_those_who_join_close_the_ring_and_find_every_owner() -> None:
    world = grown(60, seed=1)
    assert closed(world) == 1.0
    assert owners_found(world, 40) == 1.0


@pytest.mark.slow
def test_when_a_third_leaves_without_a_word_the_ring_closes_again() -> None:
    world = grown(60, seed=2)
    for node in world.rng.sample(world.nodes, 20):
        world.die(node)
    world.run(world.now + 20 * STABILISE)
    assert closed(world) >= 0.95
    assert owners_found(world, 40) >= 0.95


def test_a_ring_of_two_knows_both() -> None:
    world = grown(2, seed=3)
    assert closed(world) == 1.0
