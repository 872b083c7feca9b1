"""Guesses are counted, slowed down and ended."""

import itertools
from ipaddress import ip_address

from shoal.apps.guard import ADDRESSES_MAX, Guard, SendSettings, household


def guess(guard: Guard, address: str, now: float, *, guessed: bool = True) -> float:
    """Fail as soon as it is allowed; when that was."""
    while wait := guard.begin(address, now):
        now += wait
    guard.end(address, now, right=False, guessed=guessed)
    return now


def test_the_code_is_dead_after_ten_wrong_guesses():
    guard = Guard()
    for number in range(10):
        assert not guard.dead
        assert guard.left == 10 - number
        guess(guard, f"10.0.0.{number}", 0.0)
    assert guard.dead
    assert guard.begin("10.0.1.1", 0.0) > 0


def test_a_crowd_that_guesses_at_once_has_no_more_guesses_than_one():
    guard = Guard()
    begun = [guard.begin(f"10.0.0.{number}", 0.0) == 0 for number in range(100)]
    assert sum(begun) == 10


def test_one_address_waits_longer_after_each_failure_and_tries_one_at_a_time():
    guard = Guard(SendSettings(delay=1.0, delay_max=8.0))
    times = [0.0]
    for _ in range(6):
        times.append(guess(guard, "10.0.0.1", times[-1]))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps == [0, 1, 2, 4, 8, 8]
    assert guard.begin("10.0.0.2", 0.0) == 0
    assert guard.begin("10.0.0.2", 0.0) > 0


def test_who_breaks_off_has_not_guessed_but_has_to_wait():
    guard = Guard()
    now = 0.0
    for _ in range(20):
        now = guess(guard, "10.0.0.1", now, guessed=False)
    assert guard.left == 10
    assert guard.begin("10.0.0.1", now) > 1


def test_who_knew_the_words_does_not_wait():
    guard = Guard()
    now = guess(guard, "10.0.0.1", 0.0)
    assert guard.begin("10.0.0.1", now + 10) == 0
    guard.end("10.0.0.1", now + 10, right=True, guessed=False)
    assert guard.begin("10.0.0.1", now + 10) == 0
    assert guard.left == 9


def test_addresses_are_forgotten_when_there_are_too_many():
    guard = Guard()
    for number in range(3 * ADDRESSES_MAX):
        guess(guard, str(number), 0.0, guessed=False)
    assert len(guard._visitors) <= ADDRESSES_MAX


def test_a_household_is_one_ipv4_address_or_64_bits_of_ipv6():
    assert household(ip_address("2001:db8::1")) == household(ip_address("2001:db8::ffff:2"))
    assert household(ip_address("2001:db8::1")) != household(ip_address("2001:db8:0:1::1"))
    assert household(ip_address("10.0.0.1")) != household(ip_address("10.0.0.2"))
    assert household(None) == household(None)
