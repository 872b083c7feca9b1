"""The DHT service on a simulated network: what was published is found, whatever happens."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from shoal.dht.mainline.items import make_immutable
from shoal.dht.mainline.service import open_mainline, resolve
from shoal.dht.mainline.words import Announced, Mutation
from shoal.dht.service import Dht
from shoal.dht.settings import MainlineSettings
from shoal.errors import NotFoundError, UnreachableError
from shoal.net.transport.udp import UdpSocket
from shoal.sim.host import Host
from shoal.sim.link import Uniform
from shoal.sim.world import World

KEY = b"mnopqrstuvwxyz123456"
PORT = 6881


class Net:
    """Hosts that each run a DHT, somewhere on the Internet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dhts: list[Dht] = []
        self.hosts: list[Host] = []
        self.sockets: list[UdpSocket] = []
        world.links.delay = Uniform(0.010, 0.100)

    async def add(self, **options: Any) -> Dht:
        number = len(self.hosts)
        rng = self.world.rng
        ip = f"{rng.randrange(20, 99)}.{number % 250}.{rng.randrange(250)}.{rng.randrange(250)}"
        host = self.world.host(f"dht{number}", ip=ip)
        first = [f"{self.hosts[0].ip}:{PORT}"] if self.hosts else []

        async def start() -> Dht:
            socket = await UdpSocket.open("0.0.0.0", PORT)
            self.sockets.append(socket)
            return await open_mainline([socket], host.rng, bootstrap=first, **options)

        dht: Dht = await host.run(start())
        await host.run(dht.__aenter__())
        self.hosts.append(host)
        self.dhts.append(dht)
        return dht

    async def grow(self, size: int) -> None:
        for number in range(size):
            dht = await self.add()
            if number:
                await self.hosts[-1].run(dht.closest(dht.carriers[0].engine.id))

    async def on(self, number: int, work: Coroutine[Any, Any, Any]) -> Any:
        return await self.hosts[number].run(work)

    async def close(self) -> None:
        for number, dht in enumerate(self.dhts):
            if self.hosts[number].alive:
                await self.on(number, dht.aclose())
                await self.on(number, self.sockets[number].aclose())


def simulate(
    scenario: Callable[[Net], Coroutine[Any, Any, None]], seed: int = 1, size: int = 25
) -> None:
    async def whole(net: Net) -> None:
        await net.grow(size)
        await scenario(net)
        await net.close()

    with World(seed) as world:
        world.run(whole(Net(world)))


async def found(dht: Dht, key: bytes) -> list[Any]:
    return [peer async for peer in dht.providers(key)]


def test_an_announcement_is_found_by_all() -> None:
    async def scenario(net: Net) -> None:
        assert await net.on(3, net.dhts[3].provide(KEY, Announced())) == 8
        for number in (0, 9, 24):
            assert await net.on(number, found(net.dhts[number], KEY)) == [(net.hosts[3].ip, PORT)]
        with pytest.raises(NotFoundError):
            await net.on(5, net.dhts[5].get(KEY))

    simulate(scenario)


def test_whoever_has_heard_enough_stops_the_walk() -> None:
    async def scenario(net: Net) -> None:
        await net.on(3, net.dhts[3].provide(KEY, Announced(7)))

        async def first() -> Any:
            peers = net.dhts[9].providers(KEY)
            async for peer in peers:
                await peers.aclose()  # type: ignore[attr-defined]
                return peer
            return None

        assert await net.on(9, first()) == (net.hosts[3].ip, 7)
        assert not net.dhts[9].carriers[0].engine.questions._walks

    simulate(scenario)


def test_a_node_is_found_by_its_id() -> None:
    async def scenario(net: Net) -> None:
        wanted = net.dhts[20].carriers[0].engine.id
        contact = await net.on(2, net.dhts[2].find_peer(wanted))
        assert contact.address == (net.hosts[20].ip, PORT)
        with pytest.raises(NotFoundError):
            await net.on(2, net.dhts[2].find_peer(KEY))

    simulate(scenario)


@pytest.mark.slow
def test_values_outlive_those_who_keep_them_because_they_are_put_anew() -> None:
    async def scenario(net: Net) -> None:
        item = make_immutable(b"lasting")
        assert await net.on(1, net.dhts[1].put(Mutation(item))) == 8
        for number in range(4, 20):
            net.hosts[number].crash()
        await asyncio.sleep(3.2 * 3600)
        assert await net.on(2, net.dhts[2].get(item.key)) == item
        await net.on(1, _withdraw(net.dhts[1], item.key))
        await asyncio.sleep(3 * 3600)
        with pytest.raises(NotFoundError):
            await net.on(2, net.dhts[2].get(item.key))

    simulate(scenario)


async def _withdraw(dht: Dht, key: bytes) -> None:
    dht.withdraw(key)


@pytest.mark.slow
def test_after_a_change_of_address_everything_is_published_anew() -> None:
    async def scenario(net: Net) -> None:
        dht = net.dhts[1]
        await net.on(1, dht.provide(KEY, Announced(7)))
        for other in net.dhts:
            other.carriers[0].core.replies.peers.expire(1e9)  # type: ignore[attr-defined]
        assert await net.on(8, found(net.dhts[8], KEY)) == []

        async def move() -> None:
            dht.moved("1.2.3.4")

        await net.on(1, move())
        await asyncio.sleep(10.0)
        assert await net.on(8, found(net.dhts[8], KEY)) == [(net.hosts[1].ip, 7)]

    simulate(scenario)


def test_who_knows_nobody_is_told_so() -> None:
    async def scenario(net: Net) -> None:
        with pytest.raises(UnreachableError, match="no node is known"):
            await net.on(0, net.dhts[0].provide(KEY, Announced(7)))
        with pytest.raises(UnreachableError):
            await net.on(0, found(net.dhts[0], KEY))

    simulate(scenario, size=1)


def test_when_nobody_answers_it_says_how_many_were_asked() -> None:
    async def scenario(net: Net) -> None:
        for host in net.hosts[1:]:
            host.crash()
        with pytest.raises(UnreachableError, match="none answered"):
            await net.on(0, net.dhts[0].closest(KEY))

    simulate(scenario, size=6)


def test_a_table_is_saved_and_restored() -> None:
    class Shelf:
        def __init__(self) -> None:
            self.files: dict[str, bytes] = {}

        async def load(self, name: str, version: int) -> Any:
            return Kept(self.files[name]) if name in self.files else None

        async def save(self, name: str, data: bytes, version: int) -> None:
            self.files[name] = data

    class Kept:
        def __init__(self, data: bytes) -> None:
            self.data = data

    async def scenario(net: Net) -> None:
        shelf = Shelf()
        dht = await net.add(saved=shelf)
        number = len(net.dhts) - 1
        await net.on(number, dht.closest(KEY))
        former = dht.carriers[0].engine.id
        await net.on(number, dht.aclose())
        await net.on(number, dht.aclose())
        again = await net.add(saved=shelf)
        assert again.carriers[0].engine.id == former
        assert again.size >= 4
        shelf.files["mainline-n4"] = b"rubbish"
        assert (await net.add(saved=shelf)).size == 0

    simulate(scenario, size=12)


def test_a_crawl_meets_everybody() -> None:
    async def scenario(net: Net) -> None:
        async def crawl() -> list[Any]:
            return [answer.contact.address async for answer in net.dhts[0].crawl(1000)]

        met = await net.on(0, crawl())
        assert len(met) == len(set(met)) >= 20

    simulate(scenario)


def test_clients_ask_and_are_not_asked() -> None:
    async def scenario(net: Net) -> None:
        await net.on(3, net.dhts[3].provide(KEY, Announced()))
        client = await net.add(settings=MainlineSettings(server=False))
        number = len(net.dhts) - 1
        assert await net.on(number, found(client, KEY)) == [(net.hosts[3].ip, PORT)]
        await asyncio.sleep(60.0)
        address = (net.hosts[number].ip, PORT)
        assert all(dht.carriers[0].engine.table.find(address) is None for dht in net.dhts)

    simulate(scenario)


def test_names_that_do_not_exist_are_left_out() -> None:
    async def scenario(net: Net) -> None:
        names = ["nowhere.invalid:1", "127.0.0.1:5", "[::1]:6"]
        assert ("127.0.0.1", 5) in await net.on(0, resolve(names))

    simulate(scenario, size=1)


def test_loss_and_silence_are_survived() -> None:
    async def scenario(net: Net) -> None:
        net.world.links.loss = 0.1
        for number in range(5, 12):
            net.hosts[number].crash()
        taken = await net.on(1, net.dhts[1].provide(KEY, Announced(7)))
        assert taken >= 4
        for number in (2, 13, 20):
            assert (net.hosts[1].ip, 7) in await net.on(number, found(net.dhts[number], KEY))

    simulate(scenario)


def test_random_datagrams_do_not_stop_a_service() -> None:
    async def scenario(net: Net) -> None:
        rng = random.Random(1)
        target = (net.hosts[0].ip, PORT)
        for _ in range(300):
            net.sockets[1].send(b"d" + rng.randbytes(rng.randrange(200)), target)
            net.sockets[1].send(rng.randbytes(rng.randrange(200)), target)
        await asyncio.sleep(1.0)
        assert await net.on(1, net.dhts[1].provide(KEY, Announced(7))) > 0

    simulate(scenario, size=4)


def test_what_a_node_keeps_itself_it_finds_even_alone() -> None:
    with World(3) as world:
        net = Net(world)

        async def main() -> None:
            await net.grow(2)
            item = make_immutable(b"kept by the other one")
            assert await net.on(1, net.dhts[1].put(Mutation(item))) == 1
            assert (await net.on(0, net.dhts[0].get(item.key))).value == item.value
            assert await net.on(1, net.dhts[1].provide(KEY, Announced(4000))) == 1
            net.hosts[1].crash()
            await asyncio.sleep(3600)  # the other one is forgotten
            assert (await net.on(0, net.dhts[0].get(item.key))).value == item.value
            with pytest.raises((NotFoundError, UnreachableError)):
                await net.on(0, net.dhts[0].get(bytes(20)))

        world.run(main())
