"""A node answers a prefix only so often, never sends much more than it got, checks its tokens."""

import random

from shoal.dht.guard import (
    AMPLIFICATION_MAX,
    PREFIXES_MAX,
    TOKEN_LIFE,
    WINDOW,
    Guard,
    Tokens,
    prefix_of,
)


def test_a_prefix_is_answered_so_often_and_others_go_on() -> None:
    guard = Guard(0.0, rate=10.0)
    allowed = sum(guard.admits(f"1.2.3.{n % 256}", 0.0) for n in range(1000))
    assert allowed == 10 * WINDOW
    assert guard.refused == 1000 - allowed
    assert guard.admits("1.2.4.1", 0.0)
    assert guard.admits("1.2.3.1", WINDOW)  # the next window


def test_the_prefixes_counted_are_limited() -> None:
    guard = Guard(0.0)
    for number in range(PREFIXES_MAX):
        guard.admits(f"{number >> 16}.{number >> 8 & 255}.{number & 255}.1", 0.0)
    assert not guard.admits("200.1.1.1", 0.0)
    assert guard.admits("0.0.0.2", 0.0)
    assert len(guard._queries) == PREFIXES_MAX


def test_ipv6_prefixes() -> None:
    assert prefix_of("2001:db8:7::1") == prefix_of("2001:db8:7:9::5") != prefix_of("2001:db8:8::1")


def test_long_replies_are_a_privilege_that_runs_out() -> None:
    guard = Guard(0.0, allowance=1000)
    assert guard.may_send("1.2.3.4", 100, 100 * AMPLIFICATION_MAX)
    sent = [guard.may_send("1.2.3.4", 100, 1000) for _ in range(3)]
    assert sent == [True, False, False]
    assert guard.may_send("1.2.3.4", 100, 400)
    assert guard.may_send("9.9.9.9", 100, 1000)
    guard.admits("1.2.3.4", WINDOW)
    assert guard.may_send("1.2.3.4", 100, 1000)


def test_a_token_is_good_for_its_host_and_key_and_not_for_ever() -> None:
    tokens = Tokens(random.Random(1), 0.0)
    token = tokens.give("1.2.3.4", b"key", 0.0)
    assert tokens.accepts(token, "1.2.3.4", b"key", 1.0)
    assert not tokens.accepts(token, "1.2.3.5", b"key", 1.0)
    assert not tokens.accepts(token, "1.2.3.4", b"another", 1.0)
    for forged in (b"", token[:-1], token + b"x", bytes(8)):
        assert not tokens.accepts(forged, "1.2.3.4", b"key", 1.0)
    assert tokens.accepts(token, "1.2.3.4", b"key", TOKEN_LIFE + 1.0)
    assert not tokens.accepts(token, "1.2.3.4", b"key", 2 * TOKEN_LIFE + 2.0)


def test_after_a_long_silence_old_tokens_are_worth_nothing() -> None:
    tokens = Tokens(random.Random(1), 0.0)
    token = tokens.give("1.2.3.4", b"key", 0.0)
    assert not tokens.accepts(token, "1.2.3.4", b"key", 10 * TOKEN_LIFE)
