"""Addresses are ranked, and those that failed are left alone for a while."""

from shoal.net.dial import ATTEMPTS_MAX, BACKOFF, BACKOFF_MAX, FAILURES_MAX, Backoff, rank
from shoal.peer.multiaddr import Multiaddr

NEAR = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")
HOME = Multiaddr.parse("/ip4/192.168.1.1/tcp/1")
FAR = Multiaddr.parse("/ip4/8.8.8.8/tcp/1")
FAR6 = Multiaddr.parse("/ip6/2600::1/tcp/1")
NAME = Multiaddr.parse("/dns/example.com/tcp/1")
PEER = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
RELAYED = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}/p2p-circuit")


def test_near_before_far_direct_before_relayed_and_the_families_in_turn() -> None:
    assert rank([RELAYED, NAME, FAR, FAR6, HOME, NEAR, NEAR]) == [
        NEAR,
        FAR6,
        HOME,
        FAR,
        NAME,
        RELAYED,
    ]


def test_a_peer_with_many_addresses_gets_few_attempts() -> None:
    many = [Multiaddr.of("10.0.0.1", port) for port in range(1, 100)]
    assert len(rank(many)) == ATTEMPTS_MAX


def test_a_failed_address_rests_longer_each_time() -> None:
    backoff = Backoff()
    backoff.failed(NEAR, 0.0)
    assert backoff.ready([NEAR, FAR], 1.0) == [FAR]
    assert backoff.ready([NEAR], 1.0) == [NEAR]  # nothing else is left
    assert backoff.ready([NEAR, FAR], BACKOFF) == [NEAR, FAR]
    backoff.failed(NEAR, 10.0)
    assert backoff.ready([NEAR, FAR], 10.0 + BACKOFF) == [FAR]
    for _ in range(20):
        backoff.failed(NEAR, 0.0)
    assert backoff.ready([NEAR, FAR], BACKOFF_MAX) == [NEAR, FAR]
    backoff.failed(NEAR, 0.0)
    backoff.succeeded(NEAR)
    assert backoff.ready([NEAR, FAR], 0.0) == [NEAR, FAR]


def test_few_failures_are_remembered() -> None:
    backoff = Backoff()
    for port in range(1, FAILURES_MAX + 10):
        backoff.failed(Multiaddr.of("10.0.0.1", port), 0.0)
    assert len(backoff._failures) == FAILURES_MAX
