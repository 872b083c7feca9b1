"""What it takes to simulate a network in which each node looks something up every minute.

    service   the DHT service with its mainline dialect on a UDP endpoint: datagrams,
              tokens, rate limits, tasks, as on the Internet
    engine    Kademlia alone: no bytes, sockets or tasks

All tables are filled from the true ids before the clock starts, and nobody
leaves.  `times_real` is virtual time over processor time, of this machine and
moment; everything else in a row is a function of the seed.

OverSim simulates 10,000 nodes in real time.
"""

import asyncio
import gc
from time import process_time
from typing import Any

from shoal.dht.kademlia import Parameters
from shoal.dht.mainline.core import Mainline
from shoal.dht.mainline.node_id import bound_id
from shoal.dht.mainline.service import make_core, plug
from shoal.dht.mainline.words import MainlineWords
from shoal.dht.questions import Verb
from shoal.dht.service import Dht
from shoal.dht.settings import MainlineSettings
from shoal.dht.table import BITS
from shoal.errors import UnreachableError
from shoal.lab.lookups import LOOKUP_LIMIT, Ids, Row, Tally, filled_world
from shoal.lab.overlays import DELAY_MAX, DELAY_MIN, key_at
from shoal.net.transport.udp import UdpSocket
from shoal.sim.host import Host
from shoal.sim.link import Uniform
from shoal.sim.world import World

MINUTE = 60.0  # seconds
PORT = 6881


class Town:
    """Hosts on which the service runs, and what their lookups found."""

    def __init__(self, world: World, size: int) -> None:
        self.world = world
        self.size = size
        self.cores: list[Mainline] = []
        self.dhts: list[Dht] = []
        self.hosts: list[Host] = []
        self.seconds: list[float] = []
        self.found = 0
        world.links.delay = Uniform(DELAY_MIN, DELAY_MAX)

    async def build(self) -> Ids:
        rng = self.world.rng
        for ip in rng.sample(range(20 << 24, 99 << 24), self.size):
            packed = ip.to_bytes(4)
            host = self.world.host(f"node{len(self.hosts)}", ip=".".join(map(str, packed)))
            self.hosts.append(host)
            await host.run(self._open(host, bound_id(packed, rng)))
        contacts = [
            core.contact(core.id, (host.ip, PORT))
            for core, host in zip(self.cores, self.hosts, strict=True)
        ]
        ids = Ids(contacts)
        for core in self.cores:
            ids.fill(core.engine.table, rng, self.world.loop.now)
        return ids

    async def _open(self, host: Host, node_id: bytes) -> None:
        socket = await UdpSocket.open("0.0.0.0", PORT)
        now = asyncio.get_running_loop().time()
        core = make_core(host.rng, now, b"n4", MainlineSettings(), node_id=node_id)
        dht = Dht([plug(core, socket, lambda host: True)], MainlineWords())
        await dht.__aenter__()
        self.cores.append(core)
        self.dhts.append(dht)

    def plan(self, minutes: int, ids: Ids) -> None:
        """One lookup of each node in each minute."""
        loop, rng = self.world.loop, self.world.rng
        for minute in range(minutes):
            for number in range(self.size):
                when = loop.now + (minute + rng.random()) * MINUTE
                target = rng.getrandbits(BITS)
                loop.post(when, self._begin, (number, target, ids))

    def _begin(self, number: int, target: int, ids: Ids) -> None:
        _ = self.hosts[number].spawn(self._look(number, target, ids))

    async def _look(self, number: int, target: int, ids: Ids) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self.dhts[number].closest(key_at(target))
        except UnreachableError:
            return
        self.seconds.append(loop.time() - began)
        best = next(c for c in ids.closest(target, 2) if c.id != self.cores[number].id)
        self.found += best.id in [contact.id for contact in found]


def service(seed: int, *, size: int = 10_000, minutes: int = 1) -> Row:
    """The real thing, on imaginary wires."""

    async def play() -> Row:
        town = Town(world, size)
        ids = await town.build()
        town.plan(minutes, ids)
        gc.collect()
        gc.freeze()
        began = process_time()
        await asyncio.sleep(minutes * MINUTE)
        took = process_time() - began
        await asyncio.sleep(LOOKUP_LIMIT)
        return row("service", size, minutes, town.seconds, town.found, took)

    with World(seed, shuffle=False) as world:
        try:
            return world.run(play())
        finally:
            gc.unfreeze()


def engine(seed: int, *, size: int = 100_000, minutes: int = 1) -> Row:
    """The engine alone."""
    world = filled_world(seed, size, Parameters(k=8))
    tally = Tally(world)
    for minute in range(minutes):
        for _ in range(size):
            key = key_at(world.rng.getrandbits(BITS))
            tally.plan((minute + world.rng.random()) * MINUTE, Verb.FIND_NODE, key)
    began = process_time()
    world.run(world.now + minutes * MINUTE)
    took = process_time() - began
    world.run(world.now + LOOKUP_LIMIT)
    return row("engine", size, minutes, tally.seconds, tally.succeeded, took)


def row(
    tier: str, size: int, minutes: int, seconds: list[float], found: int, took: float
) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "tier": tier,
        "nodes": size,
        "lookups": size * minutes,
        "found": round(found / (size * minutes), 4),
        "p50_s": round(ordered[len(ordered) // 2], 3),
        "p95_s": round(ordered[int(len(ordered) * 0.95)], 3),
        "processor_s": round(took, 1),
        "times_real": round(minutes * MINUTE / took, 2),
    }
