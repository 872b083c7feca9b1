"""A crowd of peers in the simulator: who they are, what they fetch, what must hold of them."""

import asyncio
from dataclasses import dataclass, field
from random import Random

from tests.swarm.contents import counting
from tests.swarm.pairs import torrent_of

from shoal.lab.swarms import Stingy
from shoal.sim.host import Host
from shoal.sim.world import World
from shoal.swarm.progress import Wish
from shoal.swarm.service import Swarm
from shoal.swarm.serving import QUEUE_MAX
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.torrent import Torrent
from shoal.swarm.transfer import Transfer

PORT = 6881
CONNECTIONS = 30
MEMORY = 1 << 20
NEIGHBOURS = 15  # addresses that a peer is told


@dataclass
class Crowd:
    """Peers that fetch the same content; keys are host numbers."""

    world: World
    size: int = 2_000_000
    transfers: dict[int, Transfer] = field(default_factory=dict)
    finished: dict[int, float] = field(default_factory=dict)
    riders: set[int] = field(default_factory=set)
    liars: set[int] = field(default_factory=set)
    hosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.torrent: Torrent = torrent_of(self.size, "hybrid", 65536)
        self.settings = SwarmSettings(connections=CONNECTIONS, piece_memory=MEMORY)

    def add(self, kind: str, count: int, *, up: float = 500_000, down: float = 2_000_000) -> None:
        """Seeds, leeches, riders (who never serve) or liars (who serve rubbish)."""
        boots = {"seed": self.seed, "leech": self.leech, "rider": self.ride, "liar": self.lie}
        for _ in range(count):
            host = self.world.host(f"{kind}{len(self.hosts)}", up=up, down=down)
            self.hosts.append(host)
            self.world.boot(host, boots[kind])

    async def seed(self, host: Host) -> None:
        await self._offer(host, counting(self.size))

    async def lie(self, host: Host) -> None:
        self.liars.add(host.number)
        await self._offer(host, bytes(255 - byte for byte in counting(self.size)))

    async def _offer(self, host: Host, data: bytes) -> None:
        await host.disk.write("content", 0, [data])
        async with Swarm(host.disk, host.rng, settings=self.settings) as swarm:
            await swarm.listen(host.ip, PORT)
            swarm.seed(self.torrent, "", ["content"])
            await forever()

    async def leech(self, host: Host) -> None:
        await self._fetch(host, rides=False)

    async def ride(self, host: Host) -> None:
        self.riders.add(host.number)
        await self._fetch(host, rides=True)

    async def _fetch(self, host: Host, *, rides: bool) -> None:
        async with Swarm(host.disk, host.rng, settings=self.settings) as swarm:
            await swarm.listen(host.ip, PORT)
            transfer = await swarm.download(self.torrent, "out", Wish(seed=True, memory=MEMORY))
            self.transfers[host.number] = transfer
            while not transfer.done.is_set():
                transfer.found(self.neighbours(host))
                if rides and transfer.session.serving is not None:
                    transfer.session.serving.choker = Stingy(host.rng)
                try:
                    async with asyncio.timeout(20):
                        await transfer.done.wait()
                except TimeoutError:
                    continue
            self.finished.setdefault(host.number, self.world.time)
            await forever()

    def neighbours(self, host: Host) -> list[tuple[str, int]]:
        others = [each for each in self.hosts if each is not host]
        chosen = Random(host.rng.random()).sample(others, min(NEIGHBOURS, len(others)))
        return [(each.ip, PORT) for each in chosen]

    # What must hold

    def check_limits(self) -> None:
        for transfer in self.transfers.values():
            exchange = transfer.session.exchange
            if exchange is None:
                continue
            assert exchange.partials.used <= MEMORY
            assert len(exchange.remotes) <= CONNECTIONS + 1
            for remote in exchange.remotes.values():
                assert len(remote.uploads) <= QUEUE_MAX
                assert len(remote.asked) <= QUEUE_MAX

    def complete(self, numbers: set[int]) -> bool:
        return numbers <= set(self.finished)

    @property
    def honest(self) -> set[int]:
        return set(self.transfers) - self.riders

    async def check_files(self) -> None:
        """What everybody says to have is what is on its disk."""
        for number, transfer in self.transfers.items():
            host, exchange = self.world.network.hosts[number], transfer.session.exchange
            if exchange is None or not host.alive:
                continue
            data = await host.disk.read("out/x") if len(exchange.have) else b""
            good = counting(self.size)
            for piece in exchange.have:
                start = piece * 65536
                assert data[start : start + 65536] == good[start : start + 65536]


async def forever() -> None:
    await asyncio.get_running_loop().create_future()
