"""Limits are charged to all scopes or to none, and eviction spares who is hard to fake."""

from dataclasses import replace

import pytest

from shoal.errors import LimitError
from shoal.net.limits import (
    PREFIXES_MAX,
    PROTECTED,
    Candidate,
    Limits,
    LimitSettings,
    Scope,
    choose_victim,
    prefix_of,
)

SETTINGS = LimitSettings(
    connections=6, inbound=4, per_peer=2, per_prefix=2, handshakes=3, prefix_rate=1, prefix_burst=3
)


def test_a_full_scope_says_no_and_charges_nobody() -> None:
    node, peer = Scope("node", streams=10), Scope("peer", streams=1)
    one = Scope("connection", [peer, node], streams=5)
    one.take("streams")
    with pytest.raises(LimitError, match="peer"):
        one.take("streams")
    assert [scope.used["streams"] for scope in (one, peer, node)] == [1, 1, 1]
    one.give("streams")
    one.take("streams")


def test_one_network_cannot_take_all_places() -> None:
    limits = Limits(SETTINGS)
    scopes = [limits.pipe("198.51.100.1", 0.0), limits.pipe("198.51.100.2", 0.0)]
    with pytest.raises(LimitError, match="network"):
        limits.pipe("198.51.100.3", 0.0)
    limits.pipe("203.0.113.1", 0.0)
    scopes[0].give("handshakes")
    limits.release_pipe(scopes[0])
    limits.pipe("198.51.100.3", 5.0)


def test_a_network_that_connects_too_often_has_to_wait() -> None:
    limits = Limits(SETTINGS)
    for _ in range(3):
        scope = limits.pipe("198.51.100.1", 0.0)
        scope.give("handshakes")
        limits.release_pipe(scope)
    with pytest.raises(LimitError, match="too often"):
        limits.pipe("198.51.100.1", 0.0)
    limits.pipe("198.51.100.1", 1.5)


def test_rates_of_few_networks_are_remembered() -> None:
    limits = Limits(replace(SETTINGS, inbound=10**6, handshakes=10**6))
    for number in range(PREFIXES_MAX + 10):
        scope = limits.pipe(f"10.{number >> 8}.{number & 255}.1", 0.0)
        limits.release_pipe(scope)
    assert len(limits._rates) == PREFIXES_MAX
    assert not limits._prefixes


def test_handshakes_and_inbound_connections_have_their_own_bounds() -> None:
    limits = Limits(SETTINGS)
    scopes = [limits.pipe("127.0.0.1", 0.0) for _ in range(3)]
    with pytest.raises(LimitError, match="handshakes"):
        limits.pipe("127.0.0.1", 0.0)
    for scope in scopes:
        scope.give("handshakes")
    limits.pipe("127.0.0.1", 0.0)
    assert limits.full
    with pytest.raises(LimitError, match="inbound"):
        limits.pipe("127.0.0.1", 0.0)


def test_a_peer_has_few_connections_and_is_forgotten_with_the_last() -> None:
    limits = Limits(SETTINGS)
    scopes = [limits.connection(b"peer") for _ in range(2)]
    with pytest.raises(LimitError, match="peer"):
        limits.connection(b"peer")
    for scope in scopes:
        limits.release_connection(scope, b"peer")
    assert not limits._peers
    assert limits.node.used["connections"] == 0


def test_prefixes() -> None:
    assert prefix_of("198.51.100.1") == prefix_of("198.51.100.200") != prefix_of("198.51.101.1")
    assert prefix_of("2001:db8:0:1::1") == prefix_of("2001:db8:0:ff::1")
    assert prefix_of("127.0.0.1") is None
    assert prefix_of("example.com") is None


def candidate(key: int, **changes: object) -> Candidate:
    plain = Candidate(
        key=key, prefix=f"p{key}", opened=float(key), useful=0.0, round_trip=1.0, streams=0
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_youngest_of_the_largest_network_has_to_go() -> None:
    crowd = [candidate(key) for key in range(40)]
    crowd[35] = candidate(35, prefix="p30")
    victim = choose_victim(crowd)
    assert victim is not None
    assert victim.key == 35


def test_quick_busy_useful_and_old_connections_stay() -> None:
    crowd = [candidate(key, prefix="one") for key in range(100, 100 + 4 * PROTECTED)]
    special = [
        candidate(200, prefix="one", round_trip=0.001),
        candidate(201, prefix="one", streams=9),
        candidate(202, prefix="one", useful=50.0),
        candidate(1, prefix="one"),
    ]
    spared = {one.key for one in special}
    everybody = [*crowd, *special]
    while (victim := choose_victim(everybody)) is not None:
        assert victim.key not in spared
        everybody.remove(victim)
    assert len(everybody) == 4 * PROTECTED


def test_nobody_goes_while_all_are_among_the_best() -> None:
    assert choose_victim([candidate(key) for key in range(4)]) is None
