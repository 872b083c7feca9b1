"""Who gives is given to; the others get a try by turns."""

import itertools
import random
from collections import Counter

from shoal.swarm.choker import (
    INTERVAL,
    OPTIMISTIC_INTERVAL,
    TAKERS,
    TRIALS,
    TURN,
    Candidate,
    Choker,
    choose_downloading,
    choose_optimistic,
    choose_seeding,
)


def peer(key: int, received: float = 0.0, **more) -> Candidate:
    return Candidate(key, interested=more.pop("interested", True), received=received, **more)


def test_who_sends_most_is_sent_to():
    peers = [peer(1, 10), peer(2, 30), peer(3, 20), peer(4, 99, interested=False), peer(5)]
    assert choose_downloading(peers, 2, None) == [2, 3]
    assert choose_downloading(peers, 2, 2) == [3, 1]


def test_who_gives_nothing_although_asked_loses_its_place():
    assert choose_downloading([peer(1, 10, snubbing=True), peer(2, 5)], 2, None) == [2]


def test_a_free_rider_gets_only_the_places_nobody_earned():
    choker = Choker(random.Random(1), slots=4)
    givers = [peer(key, 100.0) for key in range(6)]
    takers = [peer(key) for key in range(10, 16)]
    served: Counter[int] = Counter()
    for turn in range(600):
        served.update(choker.decide(givers + takers, seeding=False, now=turn * INTERVAL))
    given, taken = sum(served[k] for k in range(6)), sum(served[k] for k in range(10, 16))
    assert given > 4 * taken
    assert min(served[key] for key in range(10, 16)) > 0


def test_the_optimistic_place_is_kept_for_a_while():
    choker = Choker(random.Random(1), slots=3)
    peers = [peer(1, 50), peer(2, 40), *(peer(key) for key in range(3, 20))]
    seen = []
    for turn in range(90):
        choker.decide(peers, seeding=False, now=turn * INTERVAL)
        seen.append(choker.optimistic)
    changes = sum(1 for a, b in itertools.pairwise(seen) if a != b)
    assert 10 < changes <= 90 * INTERVAL / OPTIMISTIC_INTERVAL


def test_newcomers_are_tried_more_often():
    rng = random.Random(1)
    peers = [peer(1, newcomer=True), peer(2)]
    tries = Counter(choose_optimistic(peers, [], rng) for _ in range(400))
    assert tries[1] > 2 * tries[2]


def test_who_sent_bad_data_is_never_tried():
    assert choose_optimistic([peer(1, blameless=False)], [], random.Random(1)) is None
    assert choose_seeding([peer(1, blameless=False)], 4, 0.0) == []


def test_a_seed_passes_its_places_round():
    peers = [peer(key, progress=0.5) for key in range(8)]
    served: Counter[int] = Counter()
    for turn in range(48):
        now = turn * INTERVAL
        chosen = choose_seeding(peers, 2, now)
        for each in peers:
            if (each.key in chosen) != each.unchoked:
                each.unchoked, each.since = each.key in chosen, now
        served.update(chosen)
    assert len(served) == 8
    assert TURN > INTERVAL


def test_a_taker_is_served_only_when_nobody_else_wants_the_place():
    choker = Choker(random.Random(1), slots=4)
    takers = [peer(key, taker=True) for key in range(10, 16)]
    others = [peer(1, 100.0), peer(2), peer(3)]
    assert sorted(choker.decide(others + takers, seeding=False, now=0.0)) == [1, 2, 3]
    alone = choker.decide(takers, seeding=False, now=100.0)
    assert len(alone) == TAKERS
    assert choker.has_room(TAKERS)
    assert not choker.has_room(TAKERS, taker=True)


def test_a_seed_serves_who_passes_on_and_tries_another():
    passing = [peer(key, passes=True) for key in range(5)]
    untried = [peer(key) for key in range(10, 15)]
    takers = [peer(key, taker=True) for key in range(20, 25)]
    chosen = choose_seeding(takers + untried + passing, 4, 0.0)
    assert sum(key < 5 for key in chosen) == 4 - TRIALS
    assert not set(chosen) & set(range(20, 25))
    assert len(choose_seeding([*takers, passing[0]], 4, 0.0)) == TAKERS
    assert len(choose_seeding(takers, 4, 0.0)) == 4  # an idle seed helps no one


def test_a_seed_prefers_beginners_and_finishers():
    peers = [peer(1, progress=0.5), peer(2, progress=0.02), peer(3, progress=0.97)]
    assert set(choose_seeding(peers, 2, 0.0)) == {2, 3}


def test_an_idle_place_is_filled():
    choker = Choker(random.Random(1), slots=4)
    assert sorted(choker.decide([peer(1), peer(2)], seeding=False, now=0.0)) == [1, 2]
    assert choker.decide([peer(1, interested=False)], seeding=False, now=20.0) == []
    assert choker.deadline == 20.0 + INTERVAL
