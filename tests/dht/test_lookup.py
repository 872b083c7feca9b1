"""A lookup finds the closest peers of a network that it cannot see as a whole."""

import random

import pytest
from hypothesis import given, settings, strategies as st

from shoal.dht.lookup import ALPHA_MAX, ASKED_MAX, Lookup
from shoal.dht.table import Contact

BITS = 32
K = 20
Network = dict[int, list[int]]  # peer -> the peers that it knows


def contact(peer: int, group: object = None) -> Contact:
    return Contact(peer, b"%d" % peer, peer, group)


def make_network(size: int, seed: int) -> Network:
    """Each peer knows three peers in every distance band, as k-buckets would."""
    peers = random.Random(seed).sample(range(2**BITS), size)
    network = {}
    for peer in peers:
        bands: dict[int, list[int]] = {}
        for other in peers:
            if other != peer:
                bands.setdefault((peer ^ other).bit_length(), []).append(other)
        network[peer] = [known for band in bands.values() for known in band[:3]]
    return network


def walk(lookup: Lookup, network: Network, dead: frozenset[int] = frozenset()) -> int:
    """Drive a lookup to its end and count the questions."""
    questions = 0
    while not lookup.done:
        for peer in lookup.next():
            questions += 1
            if peer.position in dead:
                lookup.failed(peer)
            else:
                known = network[peer.position]
                closer = sorted(known, key=lambda other: other ^ lookup.target)[:K]
                lookup.answered(peer, map(contact, closer))
    return questions


@settings(max_examples=25)
@given(seed=st.integers(0, 2**16), target=st.integers(0, 2**BITS - 1))
def test_finds_the_closest_peer(seed: int, target: int) -> None:
    network = make_network(300, seed)
    lookup = Lookup(target, [contact(next(iter(network)))])
    questions = walk(lookup, network)
    assert lookup.closest[0].position == min(network, key=lambda peer: peer ^ target)
    assert questions <= 60


@pytest.mark.parametrize("paths", [1, 2, 4, 8])
def test_disjoint_paths_share_no_peer_and_find_it_too(paths: int) -> None:
    network = make_network(300, seed=2)
    seeds = list(map(contact, list(network)[:16]))
    lookup = Lookup(99, seeds, paths=paths, k=16)
    walk(lookup, network)
    assert lookup.closest[0].position == min(network, key=lambda peer: peer ^ 99)
    owners = [place[2].contact.address for path in lookup._paths for place in path.candidates]
    assert len(owners) == len(set(owners))


def test_goes_round_dead_peers() -> None:
    network = make_network(300, seed=1)
    first, *rest = network
    dead = frozenset(rest[::4])
    lookup = Lookup(7, [contact(first)])
    walk(lookup, network, dead)
    assert not dead & {peer.position for peer in lookup.closest}


def test_a_slow_peer_is_asked_around_and_its_answer_still_counts() -> None:
    lookup = Lookup(0, map(contact, range(1, 9)), k=4, alpha=2)
    one, two = lookup.next()
    assert lookup.next() == []
    lookup.slow(one)
    assert [peer.position for peer in lookup.next()] == [3, 4]  # its place, and one more
    for peer in [two, contact(3), contact(4)]:
        lookup.answered(peer, [])
    assert not lookup.done
    five, six = lookup.next()  # one beyond what is needed, for the next may be dead too
    lookup.answered(five, [])
    assert lookup.done  # four have answered, nobody waits for the slow one
    assert [peer.position for peer in lookup.closest] == [2, 3, 4, 5]
    lookup.answered(one, [])
    assert [peer.position for peer in lookup.closest] == [1, 2, 3, 4]
    lookup.failed(six)


def test_a_late_peer_is_asked_around_and_waited_for_only_among_the_closest() -> None:
    lookup = Lookup(0, map(contact, range(1, 9)), k=3, alpha=1)
    (one,) = lookup.next()
    lookup.late(one)
    (two,) = lookup.next()
    lookup.answered(two, [])
    (three,) = lookup.next()
    lookup.late(three)
    (four,) = lookup.next()
    lookup.answered(four, [])
    assert not lookup.done
    lookup.answered(one, [])
    assert not lookup.done  # one, two and three are the closest
    lookup.slow(three)
    assert lookup.done
    assert [peer.position for peer in lookup.closest] == [1, 2, 4]


def test_whoever_is_farther_than_the_closest_is_not_waited_for() -> None:
    lookup = Lookup(0, [contact(100)], k=2, alpha=3)
    lookup.answered(*lookup.next(), map(contact, [50, 60, 70]))
    asked = {peer.position: peer for peer in lookup.next()}
    lookup.answered(asked[50], map(contact, [1, 2]))
    for _ in range(2):
        for peer in lookup.next():
            lookup.answered(peer, [])
    assert lookup.done
    assert [peer.position for peer in lookup.closest] == [1, 2]


def test_once_nobody_closer_is_named_all_of_the_closest_are_asked_at_once() -> None:
    lookup = Lookup(0, map(contact, range(1, 20)), k=8, alpha=3)
    for peer in lookup.next():
        lookup.answered(peer, [])
    assert [peer.position for peer in lookup.next()] == [4, 5, 6, 7, 8]


def test_waits_for_slow_peers_when_there_is_nobody_else() -> None:
    lookup = Lookup(0, map(contact, [1, 2]))
    for peer in lookup.next():
        lookup.slow(peer)
    assert not lookup.done
    lookup.answered(contact(1), [contact(3)])
    assert [peer.position for peer in lookup.next()] == [3]
    lookup.failed(contact(3))
    assert lookup.done


def test_slow_peers_never_raise_the_questions_in_flight_beyond_the_limit() -> None:
    lookup = Lookup(0, map(contact, range(1, 150)))
    flying: list[Contact] = []
    while batch := lookup.next():
        flying = batch
        for peer in batch:
            lookup.slow(peer)
        assert len(flying) <= ALPHA_MAX


def test_a_liar_who_always_names_someone_closer_is_given_up() -> None:
    lookup = Lookup(0, [contact(2**160)])
    questions = 0
    while not lookup.done:
        for peer in lookup.next():
            questions += 1
            nearer = range(peer.position // 2, max(peer.position // 2 - 500, 0), -1)
            lookup.answered(peer, map(contact, nearer))
    assert questions <= ASKED_MAX
    assert len(lookup._seen) <= 1 + ASKED_MAX * 64


def test_one_address_group_gets_a_quarter_of_the_view() -> None:
    evil = [contact(position, "evil") for position in range(1, 100)]
    honest = [contact(position, position) for position in range(1000, 1020)]
    lookup = Lookup(0, [*evil, *honest], k=8)
    asked: list[Contact] = []
    while not lookup.done:
        for peer in lookup.next():
            asked.append(peer)
            lookup.answered(peer, [])
    assert sum(peer.group == "evil" for peer in asked) == 2
    assert len(asked) == 8


def test_an_address_without_an_id_is_introduced_by_its_answer() -> None:
    lookup = Lookup(0, [Contact(0, b"", "router")])
    (router,) = lookup.next()
    lookup.answered(Contact(9, b"nine", "router"), [contact(4)])
    (four,) = lookup.next()
    lookup.answered(four, [])
    assert [peer.position for peer in lookup.closest] == [4, 9]
    assert router.id == b""


def test_the_distance_belongs_to_the_overlay() -> None:
    def clockwise(position: int, target: int) -> int:
        return (target - position) % 256

    lookup = Lookup(10, map(contact, [9, 11, 200]), distance=clockwise, k=2)
    assert [peer.position for peer in lookup.next()] == [9, 200]


def test_reports_about_peers_that_were_never_asked_change_nothing() -> None:
    lookup = Lookup(0, map(contact, range(1, 9)), k=2, alpha=1)
    assert not lookup.answered(contact(2), [contact(100)])
    lookup.failed(contact(2))
    lookup.slow(contact(77))
    assert [peer.position for peer in lookup.next()] == [1]
    assert lookup.closest == []
