"""Trackers are asked tier by tier, the one that answers first next time, never too often."""

import random

from shoal.discovery.tiers import RETRY, RETRY_MAX, TRACKERS_MAX, Tiers


def drive(tiers: Tiers, now: float, alive: tuple[str, ...] = ()) -> list[str]:
    """Ask until somebody answers or the round ends."""
    asked = []
    while (url := tiers.next(now)) is not None:
        asked.append(url)
        if url in alive:
            tiers.answered(url, 100, now)
        else:
            tiers.failed(url, now)
    return asked


def test_a_whole_tier_is_tried_before_the_next() -> None:
    tiers = Tiers([["a", "b"], ["c"]], random.Random(1))
    asked = drive(tiers, 0.0, alive=("c",))
    assert sorted(asked[:2]) == ["a", "b"]
    assert asked[2:] == ["c"]
    assert tiers.deadline == 100


def test_who_answered_is_asked_first_after_its_interval() -> None:
    tiers = Tiers([["a", "b", "c", "d"]], random.Random(3))
    last = tiers.tiers[0][-1]
    drive(tiers, 0.0, alive=(last,))
    assert tiers.next(99.0) is None
    assert tiers.next(100.0) == last


def test_silent_trackers_are_asked_ever_less_often() -> None:
    tiers = Tiers([["a"], ["b"]], random.Random(1))
    waits = []
    now = 0.0
    for _ in range(10):
        assert drive(tiers, now) == ["a", "b"]
        waits.append(tiers.deadline - now)
        now = tiers.deadline
    assert waits[:3] == [RETRY, 2 * RETRY, 4 * RETRY]
    assert waits[-1] == RETRY_MAX


def test_news_are_told_at_once() -> None:
    tiers = Tiers([["a"]], random.Random(1))
    drive(tiers, 0.0, alive=("a",))
    tiers.hurry(5.0)
    assert tiers.next(5.0) == "a"


def test_a_torrent_cannot_make_us_ask_thousands() -> None:
    tiers = Tiers([[f"{tier}/{each}" for each in range(9)] for tier in range(99)], random.Random(1))
    assert sum(map(len, tiers.tiers)) == TRACKERS_MAX
    assert Tiers([["a", "a"], ["a"]], random.Random(1)).tiers == [["a"]]
    assert Tiers([], random.Random(1)).next(0.0) is None
