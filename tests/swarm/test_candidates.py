"""Addresses are tried ever more rarely; the least useful peer makes room."""

from shoal.swarm.candidates import (
    KNOWN_MAX,
    RETRY_FACTOR,
    RETRY_FIRST,
    SETTLING,
    TRIES_MAX,
    Candidates,
    least_useful,
)
from shoal.swarm.remote import Remote


def test_each_address_is_dialled_once_at_a_time():
    candidates = Candidates()
    assert candidates.add([("a", 1), ("b", 2), ("a", 1), ("c", 0)], 0.0) == 2
    assert candidates.next(1, 0.0) == [("a", 1)]
    assert candidates.next(9, 0.0) == [("b", 2)]
    assert candidates.next(9, 0.0) == []


def test_failures_make_it_wait_longer_until_it_is_forgotten():
    candidates = Candidates()
    candidates.add([("a", 1)], 0.0)
    now = 0.0
    for failure in range(TRIES_MAX):
        assert candidates.next(9, now) == [("a", 1)]
        candidates.ended(("a", 1), now, useful=False)
        if failure < TRIES_MAX - 1:
            pause = RETRY_FIRST * RETRY_FACTOR**failure
            assert candidates.deadline == now + pause
            now += pause
    assert len(candidates) == 0


def test_a_good_connection_makes_up_for_failures():
    candidates = Candidates()
    candidates.add([("a", 1)], 0.0)
    for useful in (False, False, True):
        now = candidates.deadline
        candidates.next(1, now)
        candidates.ended(("a", 1), now, useful=useful)
    assert candidates.deadline == now + RETRY_FIRST


def test_the_list_is_bounded_and_banned_hosts_leave_it():
    candidates = Candidates()
    candidates.add((("x", port) for port in range(1, 3 * KNOWN_MAX)), 0.0)
    assert len(candidates) == KNOWN_MAX
    candidates.forget("x")
    assert len(candidates) == 0


def remote(key: int, *, since: float = 0.0, wants: bool = False, flows: float = 0.0) -> Remote:
    found = Remote(key, None, "", 8, since)
    found.wants = wants
    found.down.last = flows
    return found


def test_who_neither_gives_nor_wants_goes_first():
    useless, wanting, giving = remote(1, since=5.0), remote(2, wants=True), remote(3, flows=9.0)
    now = SETTLING + 10
    assert least_useful([giving, wanting, useless], False, now) is useless
    assert least_useful([giving, wanting], False, now) is wanting
    assert least_useful([giving], False, now) is None


def test_a_newcomer_is_left_alone():
    assert least_useful([remote(1, since=5.0)], False, SETTLING) is None
