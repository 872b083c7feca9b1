"""Liars that choose where they stand: beside the key that they want to own."""

import pytest

from shoal.dht.kademlia import Parameters
from shoal.dht.questions import Verb, Walk
from shoal.lab.lookups import filled_world
from shoal.lab.overlays import EngineWorld, key_at

K = 8
TARGET = 0xC0FFEE << 136
SYBILS = 40


def besieged(paths: int, *, groups: int) -> EngineWorld:
    """Sybils hold the places nearest to the target; those who live there know them."""
    world = filled_world(5, 150, Parameters(k=K, paths=paths))
    honest = world.nodes.copy()
    for number in range(SYBILS):
        sybil = world.add(own=TARGET ^ number + 1, group=number % groups, liar=True)
        near = sorted(honest, key=lambda node: node.contact.position ^ TARGET)[:40]
        for node in [*near, *world.rng.sample(honest, 40)]:
            node.engine.table.answered(sybil.contact, world.now)
    return world


def look(world: EngineWorld) -> tuple[Walk, bool]:
    """A lookup by somebody honest; whether the nearest honest node was found."""
    honest = [node for node in world.nodes if not node.liar]
    asker = max(honest, key=lambda node: node.contact.position ^ TARGET)
    ended: list[Walk] = []
    asker.engine.walk(
        Verb.FIND_NODE, key_at(TARGET), world.now, finished=lambda walk, _: ended.append(walk)
    )
    world.flush(asker)
    world.run(world.now + 5.0)
    best = min(honest, key=lambda node: node.contact.position ^ TARGET)
    return ended[0], best.contact in ended[0].closest


@pytest.mark.slow
@pytest.mark.parametrize("paths", [1, 4])
def test_those_of_one_network_get_a_quarter_of_each_path(paths: int) -> None:
    walk, found = look(besieged(paths, groups=1))
    sybils = sum(answer.contact.group is not None for answer in walk.answers.values())
    assert found
    assert sybils <= paths * K // 4


@pytest.mark.slow
def test_with_a_network_for_each_they_own_the_key_so_ids_have_to_be_bound() -> None:
    walk, found = look(besieged(1, groups=SYBILS))
    assert not found  # what BEP 42 is for: `enforce_ids`, tested in test_mainline.py
    assert all(contact.group is not None for contact in walk.closest)
