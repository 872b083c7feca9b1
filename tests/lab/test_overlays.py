"""Engines that hear each other without bytes: delays, deaths and lies are as told."""

import pytest

from shoal.dht.kademlia import Parameters
from shoal.dht.questions import Verb, Walk
from shoal.lab.lookups import churn, filled_world, grow, half
from shoal.lab.overlays import DELAY_MAX, DELAY_MIN, EngineNode, EngineWorld, key_at


def look(world: EngineWorld, asker: EngineNode, target: int) -> tuple[Walk, float]:
    """One lookup to its end, and how long it took."""
    began, ends = world.now, []
    walk = asker.engine.walk(
        Verb.FIND_NODE, key_at(target), began, finished=lambda _, now: ends.append(now)
    )
    world.flush(asker)
    world.run(began + 30)
    return walk, ends[0] - began


def test_an_answer_takes_two_delays() -> None:
    world = EngineWorld(1, Parameters(k=8))
    asker, other = world.add(), world.add()
    asker.engine.table.answered(other.contact, world.now)
    walk, seconds = look(world, asker, 7)
    assert walk.closest == [other.contact]
    assert 2 * DELAY_MIN <= seconds <= 2 * DELAY_MAX


def test_who_is_asked_learns_who_asked() -> None:
    world = EngineWorld(1, Parameters(k=8))
    asker, other = world.add(), world.add()
    asker.engine.table.answered(other.contact, world.now)
    look(world, asker, 7)
    assert other.engine.closest(7) == [asker.contact]


def test_the_dead_say_nothing() -> None:
    world = filled_world(1, 30, Parameters(k=8))
    asker, *others = world.nodes
    for node in others[::2]:
        world.die(node)
    walk, _ = look(world, asker, 7)
    dead = [node.contact for node in others[::2]]
    assert walk.closest
    assert not [contact for contact in walk.closest if contact in dead]


def test_liars_name_only_liars() -> None:
    world = filled_world(1, 40, Parameters(k=4), 0.5)
    asker = world.nodes[-1]
    walk, _ = look(world, asker, 7)
    for answer in walk.answers.values():
        node = world.by_address[answer.contact.address]
        named = [world.by_address[contact.address].liar for contact in answer.closer]
        assert not node.liar or all(named)


def test_whoever_joins_is_found_by_those_who_were_there() -> None:
    world = grow(1, 30, Parameters(k=8))
    first, *_, last = world.nodes
    walk, _ = look(world, first, last.contact.position)
    assert walk.closest[0] == last.contact


@pytest.mark.slow
def test_under_churn_the_closest_of_the_living_is_found_within_a_second() -> None:
    row = churn(1, size=150, hours=0.3, lookups=400, values=False)
    assert row["succeeded"] >= 0.98
    assert row["p95_s"] < 1.0


@pytest.mark.slow
def test_more_dead_cost_more_time() -> None:
    seconds = [half(1, size=150, share=share, lookups=100)["p50_s"] for share in (0, 0.2, 0.5)]
    assert seconds == sorted(seconds)
