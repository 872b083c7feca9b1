"""Kademlia engines that hear each other after a delay keep a network alive."""

import random

import pytest

from shoal.dht.kademlia import CALL_EVERY, VERIFY_MAX, Kademlia, Parameters
from shoal.dht.questions import QUESTIONS_MAX, WALKS_MAX, Answer, Step, Verb, Walk
from shoal.dht.table import Contact
from shoal.errors import LimitError
from shoal.lab.overlays import EngineNode, EngineWorld, key_at, position_of


def grown(size: int, seed: int, parameters: Parameters | None = None) -> EngineWorld:
    """A network in which one after the other has joined."""
    world = EngineWorld(seed, parameters or Parameters(k=8))
    for number in range(size):
        node = world.add()
        if number:
            known = world.rng.choice(world.nodes[:-1]).contact
            node.engine.join(world.now, [Contact(0, b"", known.address)])
        world.flush(node)
        world.run(world.now + 0.2)
    world.run(world.now + 20.0)
    return world


def find(
    world: EngineWorld, node: EngineNode, target: int, steps: list[Step] | None = None
) -> Walk:
    ended: list[Walk] = []
    watcher = steps.append if steps is not None else None
    key = key_at(target)
    walk = node.engine.walk(
        Verb.FIND_NODE, key, world.now, finished=lambda walk, _: ended.append(walk), watcher=watcher
    )
    world.flush(node)
    while not ended:
        world.run(world.now + 0.1)
    return walk


def engine(k: int = 8) -> Kademlia:
    rng = random.Random(1)
    return Kademlia(
        bytes(20), rng, position_of=position_of, key_at=key_at, parameters=Parameters(k=k)
    )


def stranger(number: int) -> Contact:
    return Contact(2**159 + number, key_at(2**159 + number), number)


def test_everybody_finds_the_closest_after_joining() -> None:
    world = grown(60, seed=1)
    for _ in range(30):
        target = world.rng.getrandbits(160)
        node = world.rng.choice(world.nodes)
        found = [contact.position for contact in find(world, node, target).closest]
        others = [other for other in world.nodes if other is not node]
        assert found == [contact.position for contact in world.nearest(others, target, 8)]


@pytest.mark.slow
def test_the_dead_are_forgotten_and_lookups_go_round_them() -> None:
    world = grown(60, seed=2)
    for node in world.nodes[::2]:
        world.die(node)
    living = world.nodes[1::2]
    for _ in range(20):
        target = world.rng.getrandbits(160)
        node = world.rng.choice(living)
        found = find(world, node, target).closest[0]
        others = [other for other in living if other is not node]
        assert found.position == world.nearest(others, target, 1)[0].position
    world.run(world.now + 3000.0)
    known = [world.by_address[c.address].alive for node in living for c in node.engine.table]
    assert sum(known) / len(known) > 0.95


def test_an_idle_network_refreshes_its_buckets_and_asks_silent_contacts() -> None:
    world = grown(30, seed=3)
    before = world.questions
    world.run(world.now + 2000.0)
    assert world.questions - before > 30
    assert all(len(node.engine.table) > 5 for node in world.nodes)


def test_a_stranger_who_asks_enters_only_after_it_has_answered() -> None:
    node = engine()
    node.verify(stranger(1), 0.0)
    assert len(node.table) == 0
    (question,) = node.out
    assert question.verb is Verb.PING
    node.verify(stranger(1), 0.0)
    assert len(node.out) == 1  # asked once
    node.answered(question.number, Answer(stranger(1)), 0.1)
    assert [contact.address for contact in node.table] == [1]


def test_a_flood_of_strangers_makes_us_ask_only_a_few() -> None:
    node = engine()
    for number in range(5000):
        node.verify(stranger(number), 0.0)
    assert len(node.out) == VERIFY_MAX
    node.tick(1.0)
    node.tick(10.0)
    node.verify(stranger(6000), 10.0)
    assert len(node.out) == VERIFY_MAX + 1  # the silent ones have given their places back


def test_an_answer_under_another_id_is_a_failure() -> None:
    node = engine()
    node.questions.routing.answered(stranger(1), 0.0)
    walk = node.walk(Verb.FIND_NODE, key_at(5), 0.0)
    (question,) = node.out
    spoof = Contact(5, key_at(5), 1)
    node.answered(question.number, Answer(spoof, [stranger(2)]), 0.1)
    assert walk.done
    assert walk.closest == []
    assert [contact.position for contact in node.table] == [5]


def test_an_answer_counts_once_and_a_made_up_number_never() -> None:
    node = engine()
    heard: list[Answer | None] = []
    question = node.ask(stranger(1), Verb.PING, 0.0, listener=heard.append)
    answer = Answer(stranger(1))
    node.answered(question.number ^ 1, answer, 0.1)
    assert heard == []
    for _ in range(3):
        node.answered(question.number, answer, 0.1)
    assert heard == [answer]


def test_when_we_are_cut_off_nobody_is_blamed() -> None:
    node = engine()
    for number in range(5):
        node.table.answered(stranger(number), 0.0)
    node.walk(Verb.FIND_NODE, key_at(5), 0.0)
    for second in range(1, 30):
        node.tick(float(second))
    assert len(node.table) == 5
    assert len(node.closest(0)) == 5


def test_a_refusal_is_a_sign_of_life() -> None:
    node = engine()
    node.table.answered(stranger(1), 0.0)
    refused: list[Answer | None] = []
    question = node.ask(stranger(1), Verb.PUT_VALUE, 0.0, listener=refused.append)
    node.refused(question.number, 1.0)
    assert refused == [None]
    assert len(node.closest(0)) == 1


def test_walks_and_questions_are_limited() -> None:
    node = engine()
    for number in range(8):
        node.table.answered(stranger(number), 0.0)
    for _ in range(WALKS_MAX):
        node.walk(Verb.FIND_NODE, key_at(5), 0.0)
    with pytest.raises(LimitError):
        node.walk(Verb.FIND_NODE, key_at(5), 0.0)
    while len(node.questions) < QUESTIONS_MAX:
        node.ask(stranger(1), Verb.PING, 0.0)
    with pytest.raises(LimitError):
        node.ask(stranger(1), Verb.PING, 0.0)
    node.verify(stranger(99), 0.0)  # no room to verify it, and no error
    node.tick(1000.0)
    assert len(node.questions) < QUESTIONS_MAX


def test_a_cancelled_walk_asks_no_more() -> None:
    node = engine()
    for number in range(8):
        node.table.answered(stranger(number), 0.0)
    walk = node.walk(Verb.FIND_NODE, key_at(2**159), 0.0)
    first, *_ = node.out
    node.cancel(walk)
    node.cancel(walk)
    node.out.clear()
    node.answered(first.number, Answer(first.contact, [stranger(99)]), 0.1)
    assert node.out == []


def test_a_walk_can_be_watched() -> None:
    world = grown(40, seed=4)
    steps: list[Step] = []
    find(world, world.nodes[0], 12345, steps)
    asked = [step for step in steps if step.what == "asked"]
    answered = [step for step in steps if step.what == "answered"]
    assert len(asked) >= 8
    assert all(0.02 <= step.seconds <= 0.2 for step in answered)
    assert max(step.hop for step in steps) >= 1


def test_alone_it_tries_to_join_again() -> None:
    node = engine()
    node.join(0.0, [Contact(0, b"", "router")])
    now = 0.0
    asked = 0
    while now < 300.0:
        asked += len(node.out)
        node.out.clear()
        now = max(node.deadline, now + 0.01)
        node.tick(now)
    assert 8 <= asked <= 30
    walk = node.walk(Verb.FIND_NODE, key_at(5), now)
    assert walk.done  # no lookup waits for a bootstrap node that is dead


def test_in_a_small_network_those_who_come_back_are_called_before_long() -> None:
    world = grown(4, seed=8)
    first = world.nodes[0]
    world.die(first)
    world.run(world.now + 30.0)
    empty = first.engine = engine()
    empty.id, empty.own = first.contact.id, first.contact.position
    empty.table.own = empty.questions.own = first.contact.position
    first.alive = True
    world.run(world.now + 2 * CALL_EVERY)
    assert len(first.engine.table) == 3


def test_the_same_seed_gives_the_same_network() -> None:
    one, two = grown(25, seed=5), grown(25, seed=5)
    assert one.questions == two.questions
    assert [list(node.engine.table) for node in one.nodes] == [
        list(node.engine.table) for node in two.nodes
    ]
