"""Presence by multicast says little, remembers a bounded number, and forgets the silent."""

from itertools import pairwise
from math import inf
from random import Random

import pytest

from shoal.discovery.lan import (
    BURST,
    LIFETIME_MAX,
    OF_SOURCE_MAX,
    OFFERS_MAX,
    PRESENT_MAX,
    RATE,
    SEEKS_MAX,
    SOURCES_MAX,
    Found,
    Gone,
    Lan,
    Manners,
)
from shoal.errors import LimitError

ANSWERING = Manners(first=(0.02, 0.12), again=1.0, every=inf, spacing=1.0)
TELLING = Manners(first=(0.0, 0.5), again=60.0, every=300.0, spacing=60.0, enough=3)
US, THEM = "1.1.1.1", "2.2.2.2"


def lan_of(manners: Manners = ANSWERING, seed: int = 1) -> Lan:
    return Lan(manners, Random(seed))


def said(lan: Lan, until: float) -> list[float]:
    """When topics are announced, driven by deadlines alone."""
    times = []
    while (now := lan.deadline) <= until:
        times += [now] * len(lan.tick(now)[0])
    return times


def asked(lan: Lan, until: float) -> list[float]:
    times = []
    while (now := lan.deadline) <= until:
        times += [now] * len(lan.tick(now)[1])
    return times


def test_an_announcement_waits_a_moment_and_is_repeated() -> None:
    lan = lan_of()
    lan.offer("a", 10.0)
    first, second = said(lan, 1000)
    assert 10.02 <= first <= 10.12
    assert 1.0 <= second - first <= 1.1


def test_moments_differ_from_host_to_host() -> None:
    moments = set()
    for seed in range(10):
        lan = lan_of(seed=seed)
        lan.offer("a", 0.0)
        moments.add(lan.deadline)
    assert len(moments) == 10


def test_who_tells_without_being_asked_goes_on_and_keeps_its_spacing() -> None:
    lan = lan_of(TELLING)
    lan.offer("a", 0.0)
    times = said(lan, 3600)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert 60 <= pauses[0] <= 66
    assert all(300 <= pause <= 330 for pause in pauses[1:])
    assert len(times) == 13


def test_an_answer_is_given_once_to_many_who_ask() -> None:
    lan = lan_of()
    lan.offer("a", 0.0)
    said(lan, 10)
    for number in range(50):
        lan.asked("a", 10 + number / 1000)
    assert len(said(lan, 20)) == 1


def test_who_asks_all_the_time_is_answered_once_a_second() -> None:
    lan = lan_of()
    lan.offer("a", 0.0)
    count = 0
    for number in range(1000):
        lan.asked("a", number / 100)
        count += len(said(lan, number / 100))
    assert 8 <= count <= 11


def test_what_is_not_offered_is_not_answered() -> None:
    lan = lan_of()
    lan.asked("a", 0.0)
    assert lan.deadline == inf
    lan.offer("a", 0.0, aloud=False)
    assert lan.deadline == inf
    lan.asked("a", 0.0)
    assert len(said(lan, 10)) == 1


def test_enough_answers_of_others_make_ours_needless() -> None:
    lan = lan_of(TELLING)
    lan.offer("a", 0.0)
    said(lan, 200)
    lan.asked("a", 200)
    for _ in range(2):
        lan.answered("a")
    assert 200 <= lan.deadline <= 200.5
    lan.answered("a")
    assert lan.deadline > 360  # as it was planned before


def test_answers_of_others_do_not_count_where_each_speaks_for_itself() -> None:
    lan = lan_of()
    lan.offer("a", 0.0)
    said(lan, 10)
    lan.asked("a", 10)
    for _ in range(100):
        lan.answered("a")
    assert len(said(lan, 20)) == 1


def test_questions_become_rarer_and_do_not_end() -> None:
    lan = lan_of()
    lan.seek("a", 0.0)
    times = asked(lan, 300)
    assert len(times) == 14  # after 0, 1, 3, 7, 15, 31 seconds, then every 30 to 33
    assert times[0] <= 0.12


def test_a_question_that_another_puts_counts_as_ours() -> None:
    lan = lan_of()
    lan.seek("a", 0.0)
    lan.overheard("a", 0.01)
    assert lan.deadline >= 1.01
    lan.tick(lan.deadline)
    due = lan.deadline
    lan.overheard("a", due - 1.9)  # our own question comes back to us: nothing is gained
    assert lan.deadline == due


def test_somebody_is_news_once_and_again_when_it_says_something_else() -> None:
    lan = lan_of()
    assert lan.heard("a", "x", ("1",), THEM, 0.0, 120) == Found("a", "x", ("1",))
    assert lan.heard("a", "x", ("1",), THEM, 1.0, 120) is None
    assert lan.heard("a", "x", ("2",), THEM, 2.0, 120) == Found("a", "x", ("2",))
    assert lan.present("a") == {"x": ("2",)}
    assert lan.present("b") == {}


def test_who_is_silent_for_a_lifetime_is_gone() -> None:
    lan = lan_of()
    lan.heard("a", "x", (), THEM, 0.0, 120)
    lan.heard("a", "x", (), THEM, 100.0, 120)
    assert lan.deadline == 220
    assert lan.tick(219)[2] == []
    assert lan.tick(220)[2] == [Gone("a", "x")]
    assert lan.deadline == inf


def test_nobody_is_believed_for_longer_than_the_limit() -> None:
    lan = lan_of()
    lan.heard("a", "x", (), THEM, 0.0, 2**32 - 1)
    assert lan.deadline == LIFETIME_MAX


def test_who_was_heard_long_ago_is_not_told_to_be_known() -> None:
    lan = lan_of()
    lan.heard("a", "x", (), THEM, 0.0, 120)
    assert lan.fresh("a", 59) == ["x"]
    assert lan.fresh("a", 61) == []


def test_a_goodbye_is_believed_at_once() -> None:
    lan = lan_of()
    lan.heard("a", "x", (), THEM, 0.0, 120)
    assert lan.goodbye("a", "x") == Gone("a", "x")
    assert lan.goodbye("a", "x") is None
    assert lan.present("a") == {}


def test_only_what_was_announced_needs_a_goodbye() -> None:
    lan = lan_of()
    lan.offer("a", 0.0)
    assert not lan.withdraw("a")
    assert not lan.withdraw("a")
    lan.offer("a", 0.0)
    said(lan, 1)
    assert lan.withdraw("a")
    assert lan.deadline == inf


def test_who_leaves_and_comes_back_keeps_its_spacing() -> None:
    lan = lan_of(TELLING)
    for number in range(2 * OFFERS_MAX):
        lan.offer(str(number), 0.0)
        lan.tick(0.5)
        lan.withdraw(str(number))
    last = str(2 * OFFERS_MAX - 1)
    lan.offer(last, 1.0)
    assert said(lan, 61) == [60.5]
    assert len(lan._former) == OFFERS_MAX - 1


def test_one_address_cannot_fill_the_memory() -> None:
    lan = lan_of()
    for number in range(2 * OF_SOURCE_MAX):
        lan.heard("a", str(number), (), THEM, 0.0, 120)
    assert len(lan.present("a")) == OF_SOURCE_MAX
    assert lan.heard("a", "honest", ("1",), US, 0.0, 120)
    lan.goodbye("a", "0")
    assert lan.heard("a", "one more", ("1",), THEM, 0.0, 120)


def test_nor_can_many_addresses() -> None:
    lan = lan_of()
    for number in range(2 * PRESENT_MAX):
        lan.heard("a", str(number), (), f"s{number}", 0.0, 120)
    assert len(lan.present("a")) == PRESENT_MAX
    lan.leave("a")
    assert lan.present("a") == {}
    assert lan._told == {}


def test_one_address_is_read_at_its_rate_and_others_as_before() -> None:
    lan = lan_of()
    admitted = sum(lan.admits(THEM, number / 1000) for number in range(10_000))
    assert admitted == pytest.approx(BURST + 10 * RATE, abs=2)
    assert lan.refused == 10_000 - admitted
    assert lan.admits(US, 10.0)
    assert lan.admits(THEM, 11.0)


def test_addresses_that_are_watched_are_bounded() -> None:
    lan = lan_of()
    for number in range(2 * SOURCES_MAX):
        lan.admits(f"s{number}", 0.0)
    assert len(lan._rates) == SOURCES_MAX


def test_offers_and_seeks_have_limits() -> None:
    lan = lan_of()
    for number in range(OFFERS_MAX):
        lan.offer(str(number), 0.0)
    lan.offer("0", 0.0)
    with pytest.raises(LimitError):
        lan.offer("one more", 0.0)
    for number in range(SEEKS_MAX):
        lan.seek(str(number), 0.0)
    lan.seek("0", 0.0)
    with pytest.raises(LimitError):
        lan.seek("one more", 0.0)
