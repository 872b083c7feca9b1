"""The imaginary network does what textbooks say of the real one."""

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from shoal.sim.host import Host
from shoal.sim.link import Constant, Exponential, LogNormal, Path, Pipe, Uniform
from shoal.sim.loop import START, SimLoop
from shoal.sim.network import HEADER

PORT = 4000


class Inbox(asyncio.DatagramProtocol):
    """Notes when what came from whom."""

    def __init__(self) -> None:
        self.got: list[tuple[float, bytes, Any]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.got.append((asyncio.get_running_loop().time(), data, address))


def world(seed: int = 1, path: Path | None = None) -> SimLoop:
    loop = SimLoop(seed)
    loop.network.path = path or Path(Constant(0.05))
    return loop


def finish(loop: SimLoop, coro: Any) -> Any:
    """Run to the end of a coroutine, and end the world."""
    try:
        return loop.run_until_complete(coro)
    finally:
        loop.close()


async def inbox(host: Host, port: int = PORT) -> Inbox:
    async def open_it() -> Inbox:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_datagram_endpoint(Inbox, local_addr=("0.0.0.0", port))
        return made

    return await host.run(open_it())


def exchange(loop: SimLoop, send: Callable[[Inbox, Host], None], seconds: float = 60) -> Inbox:
    """Let host a send to host b, and return what b got."""
    a, b = loop.network.hosts[:2]

    async def main() -> Inbox:
        there = await inbox(b)
        a.enter(send, await inbox(a), b)
        await asyncio.sleep(seconds)
        return there

    return finish(loop, main())


def send_numbers(count: int) -> Callable[[Inbox, Host], None]:
    def send(here: Inbox, there: Host) -> None:
        loop = asyncio.get_running_loop()
        for number in range(count):
            loop.call_later(number * 0.001, here.transport.sendto, b"%d" % number, (there.ip, PORT))

    return send


def test_a_datagram_takes_the_delay_of_its_path() -> None:
    loop = world()
    loop.network.host("a"), loop.network.host("b")
    got = exchange(loop, send_numbers(1)).got
    assert [(when - START, data) for when, data, _ in got] == [(pytest.approx(0.05), b"0")]


def test_every_pair_has_a_delay_of_its_own_from_the_distribution() -> None:
    loop = world(path=Path(Uniform(0.010, 0.100)))
    network = loop.network
    hosts = [network.host() for _ in range(100)]
    delays = [network.delay(a, b) for a in hosts for b in hosts if a is not b]
    assert all(network.delay(a, b) == network.delay(b, a) for a, b in pairwise(hosts))
    assert sum(delays) / len(delays) == pytest.approx(0.055, rel=0.02)
    assert min(delays) < 0.011
    assert max(delays) > 0.099


@pytest.mark.parametrize(
    ("delay", "median"),
    [(Constant(2), 2), (Uniform(0, 4), 2), (Exponential(1), 0.6931), (LogNormal(3), 3)],
)
def test_distributions_have_their_medians(delay: Any, median: float) -> None:
    assert delay.quantile(0.5) == pytest.approx(median, rel=1e-3)
    assert delay.quantile(0.0) <= delay.quantile(0.3) <= delay.quantile(1.0)


@pytest.mark.parametrize("loss", [0.1, 0.5])
def test_loss_takes_its_share(loss: float) -> None:
    loop = world(path=Path(Constant(0.05), loss=loss))
    loop.network.host("a"), loop.network.host("b")
    got = exchange(loop, send_numbers(10_000)).got
    assert len(got) / 10_000 == pytest.approx(1 - loss, abs=0.02)


def test_duplicates_come_twice_and_jitter_reorders() -> None:
    path = Path(Constant(0.05), jitter=Uniform(0, 0.02), duplicate=0.25)
    loop = world(path=path)
    loop.network.host("a"), loop.network.host("b")
    numbers = [int(data) for _, data, _ in exchange(loop, send_numbers(4000)).got]
    assert len(numbers) / 4000 == pytest.approx(1.25, abs=0.03)
    assert set(numbers) == set(range(4000))
    assert numbers != sorted(numbers)


def test_a_constant_path_keeps_the_order_and_reordering_does_not() -> None:
    for reorder, kept in ((0.0, True), (0.1, False)):
        loop = world(path=Path(Constant(0.05), reorder=reorder))
        loop.network.host("a"), loop.network.host("b")
        numbers = [int(data) for _, data, _ in exchange(loop, send_numbers(1000)).got]
        assert len(numbers) == 1000
        assert (numbers == sorted(numbers)) is kept


def test_a_partition_swallows_what_arrives_while_it_lasts() -> None:
    loop = world()
    a, b = loop.network.host("a"), loop.network.host("b")
    loop.call_later(1.0005, loop.network.partition, [a], [b])
    loop.call_later(2.0005, loop.network.heal)
    numbers = [int(data) for _, data, _ in exchange(loop, send_numbers(3000)).got]
    assert numbers == [*range(951), *range(1951, 3000)]


def test_a_partition_can_be_one_way() -> None:
    loop = world()
    a, b = loop.network.host("a"), loop.network.host("b")
    loop.network.partition([b], [a], one_way=True)
    assert loop.network.reaches(a, b)
    assert not loop.network.reaches(b, a)


def test_the_wait_in_a_bottleneck_is_that_of_the_m_d_1_queue() -> None:
    """Pollaczek and Khinchine: mean wait = rho / (2 mu (1 - rho))."""
    rng = Random(7)
    for load in (0.3, 0.5, 0.8):
        pipe = Pipe(rate=1000.0, queue=float("inf"))
        now, waited, count = 0.0, 0.0, 200_000
        for _ in range(count):
            now += rng.expovariate(load)  # one packet of 1000 bytes takes a second
            waited += pipe.wait(now)
            pipe.enter(1000, now)
        assert waited / count == pytest.approx(load / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("side", ["up", "down"])
def test_a_slow_link_delays_and_drops(side: str) -> None:
    loop = world()
    loop.network.host("a", up=1000 if side == "up" else None)
    loop.network.host("b", down=1000 if side == "down" else None)

    def send(here: Inbox, there: Host) -> None:
        for _ in range(20):
            here.transport.sendto(bytes(100 - HEADER), (there.ip, PORT))

    times = [when - START for when, _, _ in exchange(loop, send).got]
    # 0.1 s each; who finds a quarter of a second of queue is dropped
    assert times == pytest.approx([0.15, 0.25, 0.35])


def test_neighbours_on_a_lan_do_not_use_their_slow_links() -> None:
    loop = world()
    lan = loop.network.lan()
    for name in "ab":
        loop.network.host(name, lan=lan, up=1000, down=1000)

    def send(here: Inbox, there: Host) -> None:
        for _ in range(20):
            here.transport.sendto(bytes(1000), (there.ip, PORT))

    times = [when - START for when, _, _ in exchange(loop, send).got]
    assert times == pytest.approx([0.0005] * 20)


def test_multicast_stays_in_its_lan_and_needs_members() -> None:
    loop = world()
    network = loop.network
    lans = [network.lan(), network.lan()]
    hosts = [network.host(lan=lans[0]) for _ in range(3)] + [network.host(lan=lans[1])]

    async def main() -> list[int]:
        boxes = [await inbox(host) for host in hosts]
        for box in (boxes[0], boxes[1], boxes[3]):
            request = socket.inet_aton("239.1.2.3") + socket.inet_aton("0.0.0.0")
            sock = box.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        boxes[0].transport.sendto(b"hello", ("239.1.2.3", PORT))
        await asyncio.sleep(1)
        return [len(box.got) for box in boxes]

    assert finish(loop, main()) == [1, 1, 0, 0]


def test_no_group_of_ipv6_can_be_joined() -> None:
    loop = world()
    host = loop.network.host(lan=loop.network.lan())

    async def main() -> None:
        box = await inbox(host)
        sock = box.transport.get_extra_info("socket")
        request = socket.inet_pton(socket.AF_INET6, "ff02::fb") + bytes(4)
        with pytest.raises(OSError, match="no IPv6"):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)

    finish(loop, main())


def test_a_crashed_host_hears_nothing_and_its_port_is_free_again() -> None:
    loop = world()
    a, b = loop.network.host("a"), loop.network.host("b")

    async def main() -> list[int]:
        here, there = await inbox(a), await inbox(b)
        b.crash()
        here.transport.sendto(b"lost", (b.ip, PORT))
        await asyncio.sleep(1)
        b.restart()
        again = await inbox(b)
        here.transport.sendto(b"heard", (b.ip, PORT))
        await asyncio.sleep(1)
        return [len(there.got), len(again.got)]

    assert finish(loop, main()) == [0, 1]


def test_a_skewed_clock_shows_other_times_and_other_waits() -> None:
    loop = world()
    a = loop.network.host("a")
    a.skew(offset=100.0, rate=2.0)

    async def nap() -> float:
        before = loop.time()
        await asyncio.sleep(10)
        return loop.time() - before

    async def main() -> tuple[float, float]:
        assert a.enter(loop.time) == loop.time() + 100
        before = loop.time()
        return await a.run(nap()), loop.time() - before

    assert finish(loop, main()) == (pytest.approx(10), pytest.approx(5))


def test_a_host_has_chance_of_its_own() -> None:
    one, other = world(1).network, world(1).network
    assert one.host("a").rng.random() == other.host("a").rng.random()
    assert one.host("b").rng.random() != one.host("c").rng.random()
    assert world(2).network.host("a").rng.random() != world(1).network.host("a").rng.random()
