"""Neighbours find each other by multicast, on a simulated network and on this loopback."""

import asyncio
from random import Random

import pytest
from tests.discovery.neighbours import Street, address_of, collect, live

from shoal.discovery.presence import Presence, reachable
from shoal.errors import ClosedError, UsageError
from shoal.sim.host import Host

NEAR, FAR = "/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/1"


def test_two_hosts_find_each_other() -> None:
    street = Street(seed=1, count=2)
    known: dict[str, list[str]] = {host.name: [] for host in street.hosts}

    async def main() -> None:
        lives = [host.spawn(live(host, known[host.name], 1, 10)) for host in street.hosts]
        await asyncio.gather(*lives)

    street.run(main())
    one, other = street.hosts
    assert known == {one.name: [address_of(other)], other.name: [address_of(one)]}


def test_what_is_offered_under_a_number_is_found_under_that_number_alone() -> None:
    street = Street(seed=2, count=4)
    found: dict[int, list[str]] = {7042: [], 7043: []}

    async def offer(number: int, addresses: list[str]) -> None:
        async with Presence(street.hosts[number % 2].rng) as presence:
            presence.offer(number, addresses)
            await asyncio.sleep(60)

    async def seek(number: int) -> None:
        async with Presence(street.hosts[3].rng) as presence:
            await collect(presence.seek(number), found[number], 3, 30)

    async def main() -> None:
        one, other, third, _ = street.hosts
        one.spawn(offer(7042, ["here", "there"]))
        other.spawn(offer(7042, ["elsewhere"]))
        third.spawn(offer(7044, ["nowhere"]))
        await asyncio.gather(*(street.hosts[3].spawn(seek(number)) for number in found))

    street.run(main())
    assert sorted(found[7042]) == ["elsewhere", "here", "there"]
    assert found[7043] == []


def test_who_seeks_before_it_is_offered_hears_of_it_at_once() -> None:
    street = Street(seed=3, count=2)
    found: list[str] = []

    async def seek() -> None:
        async with Presence(street.hosts[0].rng) as presence:
            await collect(presence.seek(7042), found, 1, 25)
            assert street.world.time == pytest.approx(20, abs=0.2)

    async def main() -> None:
        seeking = street.hosts[0].spawn(seek())
        await asyncio.sleep(20)

        async def offer() -> None:
            async with Presence(street.hosts[1].rng) as presence:
                presence.offer(7042, ["here"])
                await asyncio.sleep(1)

        await asyncio.gather(seeking, street.hosts[1].spawn(offer()))

    street.run(main())
    assert found == ["here"]


def test_on_loopback_alone_neighbours_hear_nothing() -> None:
    street = Street(seed=4, count=2)
    known: dict[bool, list[str]] = {True: [], False: []}

    async def seek(host: int, loopback_only: bool) -> None:
        async with Presence(street.hosts[host].rng, loopback_only=loopback_only) as presence:
            await collect(presence.seek(7042), known[loopback_only], 1, 20)

    async def offer() -> None:
        async with Presence(street.hosts[0].rng, loopback_only=True) as presence:
            presence.offer(7042, ["here"])
            await asyncio.sleep(30)

    async def main() -> None:
        street.hosts[0].spawn(offer())
        await asyncio.gather(
            street.hosts[0].spawn(seek(0, True)), street.hosts[1].spawn(seek(1, False))
        )

    street.run(main())
    assert known == {True: ["here"], False: []}


def test_on_the_loopback_of_this_machine() -> None:
    async def main() -> list[str]:
        found: list[str] = []
        async with (
            Presence(Random(5), loopback_only=True) as one,
            Presence(Random(6), loopback_only=True) as other,
        ):
            if one.problems:
                pytest.skip(f"no multicast on loopback here: {one.problems}")
            number = Random().randrange(10**8)  # other runs of this test use the same groups
            one.offer(number, [NEAR])
            await collect(other.seek(number), found, 1, 10)
        await one.aclose()
        with pytest.raises(ClosedError):
            one.offer(1, [])
        return found

    assert asyncio.run(main()) == [NEAR]


def test_only_what_a_neighbour_can_reach_is_announced() -> None:
    assert reachable([NEAR, FAR, "nonsense"], loopback_only=False) == [FAR]
    assert reachable([NEAR, FAR], loopback_only=True) == [NEAR]
    assert reachable([NEAR], loopback_only=False) == [NEAR]


def test_a_number_has_its_range() -> None:
    street = Street(seed=7, count=1)

    async def main() -> None:
        async with Presence(street.hosts[0].rng) as presence:
            with pytest.raises(UsageError):
                presence.offer(-1, [])

    street.run(street.hosts[0].run(main()))


def crowd(seed: int, loss: float) -> tuple[Street, dict[str, list[str]], list[float]]:
    """Fifty come within a second; after a minute ten leave without a word, and one comes back.

    Whom each knows, and datagrams that arrived at each after 10, 65 and 265 seconds.
    """
    street = Street(seed, 50, loss=loss)
    known: dict[str, list[str]] = {}
    arrived: list[float] = []

    async def stay(host: Host, seconds: float) -> None:
        await asyncio.sleep(host.rng.random())
        async with Presence(host.rng) as presence:
            presence.announce([address_of(host)])
            seeking = asyncio.create_task(collect(presence.peers(), [], 100, seconds + 1))
            await asyncio.sleep(seconds)
            known[host.name] = presence.neighbours
            await seeking

    async def main() -> None:
        staying = [host.spawn(stay(host, 263)) for host in street.hosts[:40]]
        leaving = [host.spawn(stay(host, 62)) for host in street.hosts[40:]]
        for until in (10, 65, 265):
            await asyncio.sleep(until - street.world.time)
            arrived.append(street.arrived / len(street.hosts))
            if until == 65:
                await asyncio.wait(leaving)
        await asyncio.wait(staying)

    street.run(main())
    return street, known, arrived


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_fifty_hosts_find_each_other_without_a_storm(loss: float) -> None:
    street, known, arrived = crowd(21, loss)
    everybody = {address_of(host) for host in street.hosts}
    for host in street.hosts[40:]:
        assert set(known[host.name]) == everybody - {address_of(host)}
    stayed = {address_of(host) for host in street.hosts[:40]}
    for host in street.hosts[:40]:
        assert set(known[host.name]) == stayed - {address_of(host)}
    assert arrived[0] <= 8 * 50  # two announcements of each, and few questions and answers
    assert arrived[1] - arrived[0] <= 4 * 50  # in 55 seconds
    assert arrived[2] - arrived[1] <= 12 * 50  # in 200 seconds


def test_who_vanishes_without_a_word_is_forgotten() -> None:
    street = Street(seed=8, count=2)
    staying, leaving = street.hosts
    known: list[list[str]] = []

    async def stay() -> None:
        async with Presence(staying.rng) as presence:
            seeking = asyncio.create_task(collect(presence.peers(), [], 100, 200))
            for _ in range(2):
                await asyncio.sleep(99)
                known.append(presence.neighbours)
                leaving.crash()
            await asyncio.sleep(30)
            known.append(presence.neighbours)
            await seeking

    async def main() -> None:
        leaving.spawn(live(leaving, [], 100, 300))
        await staying.run(stay())

    street.run(main())
    assert known == [[address_of(leaving)], [address_of(leaving)], []]
