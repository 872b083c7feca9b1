"""A rumour among hosts: who hears when, through loss, a partition and crashes.

Whoever has heard tells a few others, again and again for a while (push), and
everybody asks somebody now and then (pull): the first is fast, the second
reaches those whom all pushes missed.  Demers et al., "Epidemic Algorithms for
Replicated Database Maintenance" (1987), section 1.4.

What a host has heard it writes to its disk before it tells, so that a crash
does not make it forget.
"""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from shoal.sim.faults import Fault, Plan
from shoal.sim.host import Host
from shoal.sim.picture import Picture
from shoal.sim.run import run_one
from shoal.sim.tiers import Hosts
from shoal.sim.world import World

HOSTS = 100
PORT = 4100
FANOUT = 3  # whom one tells at a time
ROUNDS = 4  # times that one tells
ROUND = 0.5  # seconds between them: a few round trips
ASK = 2.0  # seconds between questions
STORM = 10.0  # seconds of trouble
PATIENCE = 120.0  # seconds after it in which all must have heard
KNOWN = "/rumour"
QUESTION = b"?"


@dataclass(frozen=True, slots=True)
class Heard:
    """How one host came to know."""

    host: str
    at: float  # seconds into the run
    teller: str
    hops: int
    crashes: int = 0  # how often it lost its power


@dataclass(slots=True)
class Story:
    """What one run showed."""

    heard: list[Heard]
    trace_hash: int
    seconds: float
    events: int
    plan: Plan
    picture: Picture


@dataclass(slots=True)
class Rumour:
    """The rumour of one world."""

    world: World
    nodes: Hosts = field(init=False)
    first: dict[str, Heard] = field(default_factory=dict)  # host -> how it first heard

    async def scenario(self, count: int) -> Plan:
        """Start the hosts and the rumour, let the storm pass, wait until all know."""
        world = self.world
        plan = trouble(world, count)
        self.nodes = world.hosts(count)
        origin = self.nodes[0]
        await origin.run(self.hear(origin, 0, origin.name))
        for host in self.nodes:
            world.boot(host, self.live)
        world.always(self.tellers_knew)
        await world.storm(self.nodes, STORM, plan)
        await world.until(self.all_know, within=PATIENCE)
        return plan

    async def live(self, host: Host) -> None:
        """What a host does from power on to crash."""
        loop = asyncio.get_running_loop()
        known = await self.recall(host)
        assert known is not None or host.name not in self.first, "a crash made it forget"
        listener = Listener(self, host, known)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: listener, local_addr=("0.0.0.0", PORT)
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ask(host, listener, transport))
            await listener.knows.wait()
            for _ in range(ROUNDS):
                for other in host.rng.sample(list(self.nodes), FANOUT):
                    transport.sendto(b"%d" % listener.hops, (other.ip, PORT))
                await asyncio.sleep(ROUND)

    async def ask(self, host: Host, listener: "Listener", transport: Any) -> None:
        while not listener.knows.is_set():
            await asyncio.sleep(ASK * (0.5 + host.rng.random()))
            transport.sendto(QUESTION, (host.rng.choice(list(self.nodes)).ip, PORT))

    async def hear(self, host: Host, hops: int, teller: str) -> None:
        """Write it down; only then it counts."""
        await host.disk.replace(KNOWN, f"{hops} {teller}".encode())
        self.note(host, hops, teller)

    async def recall(self, host: Host) -> int | None:
        """What the disk says: perhaps more than we told, if the power went as it was written."""
        if await host.disk.stat(KNOWN) is None:
            return None
        hops, teller = (await host.disk.read(KNOWN)).decode().split()
        self.note(host, int(hops), teller)
        return int(hops)

    def note(self, host: Host, hops: int, teller: str) -> None:
        self.first.setdefault(host.name, Heard(host.name, self.world.time, teller, hops))

    def tellers_knew(self) -> bool:
        """An invariant: whoever told had heard before."""
        return all(one.teller in self.first for one in self.first.values())

    def all_know(self) -> bool:
        return len(self.first) == len(self.nodes)


class Listener(asyncio.DatagramProtocol):
    """A host's ear: the number of hops is the rumour, a question mark asks for it."""

    def __init__(self, rumour: Rumour, host: Host, known: int | None) -> None:
        self.knows = asyncio.Event()
        self.hops = known or 0
        self._rumour = rumour
        self._host = host
        self._transport: Any = None
        self._hearing: asyncio.Task[None] | None = None
        if known is not None:
            self.knows.set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if data == QUESTION:
            if self.knows.is_set():
                self._transport.sendto(b"%d" % self.hops, address)
        elif self._hearing is None and not self.knows.is_set():
            self._hearing = asyncio.ensure_future(self._hear(int(data) + 1, address[0]))

    async def _hear(self, hops: int, ip: str) -> None:
        teller = next(host.name for host in self._rumour.nodes if host.ip == ip)
        await self._rumour.hear(self._host, hops, teller)
        self.hops = hops
        self.knows.set()


def trouble(world: World, count: int) -> Plan:
    """A fifth of all packets lost, two fifths of the hosts cut off, a tenth crash."""
    rng = world.rng
    cut = tuple(sorted(rng.sample(range(1, count), count * 2 // 5)))
    crashes = [
        Fault(rng.uniform(0, STORM / 5), rng.uniform(1, STORM / 2), "crash", 0.5, (number,))
        for number in rng.sample(range(count), count // 10)
    ]
    faults = [
        Fault(0.0, STORM, "loss", 0.2, (0,)),
        Fault(0.0, 0.6 * STORM, "partition", len(cut) / count, cut),
        *crashes,
    ]
    return Plan(STORM, tuple(sorted(faults, key=lambda fault: fault.at)))


def tell(seed: int, count: int = HOSTS) -> Story:
    """One run."""
    world = World(seed)
    picture = world.draw()
    rumour = Rumour(world)

    async def scenario(_: World) -> tuple[list[Heard], Plan]:
        plan = await rumour.scenario(count)
        told = [(rumour.first[host.name], host.epoch) for host in rumour.nodes]
        return [replace(heard, crashes=crashes) for heard, crashes in told], plan

    outcome = run_one(scenario, seed, world=world)
    heard, plan = outcome.value
    return Story(heard, outcome.trace_hash, outcome.seconds, outcome.events, plan, picture)


async def scenario(world: World) -> int:
    """The rumour of the demo, for `shoal lab replay shoal.lab.rumour:scenario`."""
    rumour = Rumour(world)
    await rumour.scenario(HOSTS)
    return len(rumour.first)
