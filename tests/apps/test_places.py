"""Where two sides look for each other: hours in the DHT, several places at once."""

import asyncio
from collections.abc import AsyncIterator

from shoal.apps.code import HOUR, meeting_key
from shoal.apps.places import ByHand, InDht, seek_at
from shoal.errors import NotFoundError
from shoal.peer.multiaddr import Multiaddr
from shoal.sim.world import World

ONE, OTHER = Multiaddr.of("10.0.0.1", 1), Multiaddr.of("10.0.0.2", 2)


class Rumours:
    """A DHT that is a dictionary."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes, int]] = []
        self.known: dict[bytes, list[tuple[str, int]]] = {}

    async def provide(self, key: bytes, what: object, *, keep: bool, network: str) -> int:
        assert (keep, network) == (False, "mainline")
        self.told.append((key, what.port))
        return 8

    async def providers(self, key: bytes, *, network: str) -> AsyncIterator[tuple[str, int]]:
        for address in self.known.get(key, []):
            yield address
        if not self.known:
            raise NotFoundError("nobody answers")


class Broken(ByHand):
    """A place where nobody can look."""

    async def seek(self, number: int) -> AsyncIterator[Multiaddr]:
        raise NotFoundError("no network")
        yield


def clock() -> float:
    return asyncio.get_running_loop().time()


def test_a_sender_is_announced_again_under_each_new_hour():
    async def scenario():
        place = InDht(rumours, 4001, clock)
        offering = asyncio.ensure_future(place.offer(7042))
        first = int(clock() // HOUR)
        await asyncio.sleep(2.5 * HOUR)
        offering.cancel()
        keys = {key for key, _ in rumours.told}
        assert {meeting_key(7042, first + hours) for hours in range(3)} <= keys
        assert all(port == 4001 for _, port in rumours.told)

    rumours = Rumours()
    with World(1) as world:
        world.run(scenario())


def test_a_receiver_looks_under_this_hour_and_the_one_before():
    async def scenario():
        hour = int(clock() // HOUR)
        rumours.known = {
            meeting_key(7042, hour): [("10.0.0.1", 1)],
            meeting_key(7042, hour - 1): [("10.0.0.2", 2)],
            meeting_key(7042, hour - 2): [("10.0.0.3", 3)],
            meeting_key(7043, hour): [("10.0.0.4", 4)],
        }
        found = set()
        async for address in InDht(rumours, 0, clock).seek(7042):
            if address in found:
                break
            found.add(address)
        assert found == {ONE, OTHER}

    rumours = Rumours()
    with World(1) as world:
        world.run(scenario())


def test_places_are_asked_together_and_one_that_fails_is_as_good_as_empty():
    async def scenario():
        places = [Broken([]), ByHand([ONE]), ByHand([]), ByHand([OTHER])]
        assert {address async for address in seek_at(places, 7042)} == {ONE, OTHER}
        assert [address async for address in seek_at([Broken([])], 7042)] == []

    with World(1) as world:
        world.run(scenario())


def test_a_dht_that_nobody_has_joined_yet_is_asked_again():
    async def scenario():
        rumours = Rumours()
        seeking = InDht(rumours, 0, clock).seek(7042)
        first = asyncio.ensure_future(anext(seeking))
        await asyncio.sleep(20)
        assert not first.done()
        rumours.known = {meeting_key(7042, int(clock() // HOUR)): [("10.0.0.1", 1)]}
        assert await first == ONE
        await seeking.aclose()

    with World(1) as world:
        world.run(scenario())


def test_who_has_found_enough_need_not_hear_all_the_rest():
    """However many addresses wait: anybody may offer a number."""

    async def scenario():
        crowd = ByHand([Multiaddr.of("10.0.0.1", port) for port in range(1, 500)])
        seeking = seek_at([crowd, crowd], 7042)
        assert await anext(seeking) == ONE
        await asyncio.sleep(1)
        async with asyncio.timeout(5):
            await seeking.aclose()
        return len(asyncio.all_tasks())

    with World(1) as world:
        assert world.run(scenario()) == 1
