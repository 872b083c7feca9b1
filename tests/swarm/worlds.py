"""Swarms in a simulated world: real services on simulated hosts, and what must be true of them.

A `Town` has one content and players of four kinds: seeds, peers, riders who
serve nobody, poisoners whose files are wrong.  While it runs, every block that
leaves an honest player is compared with the content, uploads are held against
their limits, and what a note promised is looked for after each crash.
"""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

from shoal.codec import bencode
from shoal.errors import StorageError
from shoal.lab.swarms import Stingy
from shoal.sim.faults import Plan
from shoal.sim.host import Host
from shoal.sim.world import World
from shoal.swarm.bittorrent import PeerWire
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.messages import BLOCK_HEADER, PIECE as PIECE_MESSAGE
from shoal.swarm.pieces import BLOCK, Bitfield
from shoal.swarm.progress import Wish
from shoal.swarm.rate import BURST, BURST_MIN
from shoal.swarm.service import PeerSocket, Swarm, SwarmSettings
from shoal.swarm.serving import QUEUE_MAX
from shoal.swarm.torrent import Torrent
from shoal.swarm.transfer import Transfer

PORT = 6881
PIECE = 32768
STORM = 60.0  # seconds of trouble
STORMY = ["loss", "delay", "partition", "one-way", "crash", "slow disk", "full disk", "bad disk"]
NEIGHBOURS = 20  # addresses that a player is told


class Meter:
    """Holds what flows against a limit: in any window, the rate times it and one burst."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.level = 0.0
        self.last = 0.0

    def count(self, size: int, now: float) -> None:
        self.level = max(0.0, self.level - (now - self.last) * self.rate) + size
        self.last = now
        assert self.level <= max(self.rate * BURST, BURST_MIN) + 2, "more than the limit allows"


@dataclass(eq=False)
class Player:
    """One host's part; it outlives the host's crashes."""

    kind: str  # seed, peer, rider, poisoner
    up: float | None = None  # the limits that the swarm is told
    down: float | None = None
    leaves: bool = False  # when it is complete
    memory: int = 1 << 20
    host: Any = None
    transfer: Transfer | None = None
    finished: float | None = None  # when, in seconds since the start
    boots: int = 0
    fetched: int = 0  # bytes, over all boots but this one
    promised: list[int] = field(default_factory=list)  # pieces in the last note
    problems: dict[str, None] = field(default_factory=dict)

    @property
    def honest(self) -> bool:
        return self.kind != "poisoner"


class Notary:
    """A disk that remembers what was promised: the pieces of the last note that was written."""

    def __init__(self, disk: Any, player: Player) -> None:
        self._disk = disk
        self._player = player

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    async def replace(self, path: str, data: bytes) -> None:
        await self._disk.replace(path, data)
        if path.endswith("/resume"):
            bits = bencode.decode(data)[b"pieces"]
            self._player.promised = list(Bitfield(len(bits) * 8, bytearray(bits)))


class Watched(Swarm):
    """A swarm whose blocks are looked at when they leave."""

    def __init__(self, town: "Town", player: Player, disk: Any, rng: Random) -> None:
        settings = SwarmSettings(up=player.up or 0.0, down=player.down or 0.0)
        super().__init__(disk, rng, settings=settings)
        self.town = town
        self.player = player
        self.sent = Meter(player.up) if player.up else None
        self.asked = Meter(player.down) if player.down else None

    def _start(self, transfer: Transfer) -> None:
        begin = transfer.session.begin

        def began(exchange: Any, serving: Any, now: float) -> None:
            if self.player.kind == "rider":
                serving.choker = Stingy(self.rng)
            lost = [piece for piece in self.player.promised if piece not in exchange.have]
            assert not lost, f"{self.player.host.name} lost what its note promised: {lost}"
            begin(exchange, serving, now)

        transfer.session.begin = began  # type: ignore[method-assign]
        super()._start(transfer)

    def _wire(self, core: PeerWire) -> PeerSocket:
        if self.player.honest:
            serve, ask = core._serve, core.ask

            def served(remote: Any, now: float) -> None:
                before = len(core.out)
                serve(remote, now)
                self._look(core.out[before:], now)

            def asked(partial: Any, blocks: list[int]) -> None:
                if self.asked is not None:
                    now = asyncio.get_running_loop().time()
                    self.asked.count(sum(map(partial.length, blocks)), now)
                ask(partial, blocks)

            core._serve, core.ask = served, asked  # type: ignore[method-assign]
        return super()._wire(core)

    def _look(self, parts: list[Any], now: float) -> None:
        each = iter(parts)
        for part in each:
            if len(part) == BLOCK_HEADER.size and part[4] == PIECE_MESSAGE:
                _, _, piece, begin = BLOCK_HEADER.unpack(part)
                data = bytes(next(each))
                at = piece * self.town.torrent.layout.piece_length + begin
                assert data == self.town.line[at : at + len(data)], "an unverified byte was served"
                self.town.blocks += 1
                if self.sent is not None:
                    self.sent.count(len(data), now)


class Town:
    """One content and its players."""

    def __init__(self, world: World, files: dict[str, int], version: str = "v1") -> None:
        self.world = world
        self.rng = world.rng
        self.files = {f"content/{name}": self.rng.randbytes(size) for name, size in files.items()}
        self.version = version
        self.players: list[Player] = []
        self.hosts: Any = ()
        self.by_host: dict[str, Player] = {}
        self.blocks = 0  # that honest players sent and that were compared
        self.torrent: Torrent
        self.line = b""
        self.start = 0.0

    async def prepare(self) -> None:
        """Make the torrent, on a host of its own."""
        maker = self.world.host("maker")
        await maker.run(self._write(maker.disk, self.files))
        recipe = Recipe(self.version, PIECE)
        self.torrent = await maker.run(make_torrent(maker.disk, "/content", recipe))
        line = bytearray(self.torrent.layout.end)
        for file in self.torrent.layout.files:
            if not file.pad:
                line[file.offset : file.end] = self.files[file.name]
        self.line = bytes(line)

    async def _write(self, disk: Any, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = f"/{name}"
            await disk.make_folder(path.rpartition("/")[0])
            await disk.write(path, 0, [data])

    def settle(self, players: list[Player], **links: Any) -> None:
        """Give each player a host and switch all on."""
        self.start = self.world.time
        self.players = players
        self.hosts = self.world.hosts(len(players), **links)
        for player, host in zip(players, self.hosts, strict=True):
            player.host = host
            self.by_host[host.name] = player
        for host in self.hosts:
            self.world.boot(host, self.boot)

    async def boot(self, host: Host) -> None:
        player = self.by_host[host.name]
        player.boots += 1
        if player.transfer is not None:
            exchange = player.transfer.exchange
            player.fetched += exchange.down.total if exchange is not None else 0
            player.transfer = None  # of the life before
        async with Watched(self, player, Notary(host.disk, player), host.rng) as swarm:
            await swarm.listen(host.ip, PORT)
            if player.kind in ("seed", "poisoner"):
                await self._offer(player, swarm)
            else:
                wish = Wish(seed=not player.leaves, memory=player.memory)
                player.transfer = await swarm.download(
                    self.torrent, "/out", wish, peers=self._neighbours(player)
                )
                await player.transfer.done.wait()
                if player.finished is None:
                    player.finished = self.world.time - self.start
            await asyncio.get_running_loop().create_future()

    async def _offer(self, player: Player, swarm: Swarm) -> None:
        if player.boots == 1:
            await self._write(player.host.disk, self._spoilt() if not player.honest else self.files)
            for name in self.files:
                await player.host.disk.sync(f"/{name}")
            for folder in {f"/{name}".rpartition("/")[0]: 0 for name in self.files}:
                await player.host.disk.sync(folder)
            await player.host.disk.sync("/")
        paths = [f"/{file.name}" if not file.pad else "" for file in self.torrent.layout.files]
        player.transfer = swarm.seed(self.torrent, "", paths)
        player.transfer.found(self._neighbours(player))

    def _spoilt(self) -> dict[str, bytes]:
        """The files with one bad block in each three."""
        spoilt = {}
        for name, data in self.files.items():
            copy = bytearray(data)
            for at in range(0, len(data), BLOCK):
                if self.rng.random() < 1 / 3:
                    copy[at] ^= 0xFF
            spoilt[name] = bytes(copy)
        return spoilt

    def _neighbours(self, player: Player) -> list[tuple[str, int]]:
        others = [other for other in self.players if other is not player]
        known = player.host.rng.sample(others, min(NEIGHBOURS, len(others)))
        seeds = [other for other in others if other.kind == "seed" and other not in known]
        return [(other.host.ip, PORT) for other in known + seeds]

    # What must be true

    def bounded(self) -> None:
        """Memory of every transfer stays within what it was given."""
        for player in self.players:
            transfer = player.transfer
            if transfer is None or transfer.exchange is None or not player.host.alive:
                continue
            exchange, serving = transfer.exchange, transfer.session.serving
            assert exchange.partials.used <= player.memory
            assert sum(len(b) for _, _, b in exchange.spilled) <= player.memory
            assert serving is not None
            assert len(serving._cache) <= serving._cache_max
            for remote in exchange.remotes.values():
                assert len(remote.uploads) <= QUEUE_MAX
                assert len(remote.asked) <= remote.queue
            if transfer.keeper is not None and transfer.keeper.problem:
                player.problems[transfer.keeper.problem] = None

    def no_innocent_is_banned(self) -> None:
        innocent = {player.host.ip: player.host.name for player in self.players if player.honest}
        for player in self.players:
            if player.transfer is not None and player.transfer.exchange is not None:
                for address, why in player.transfer.exchange.banned.items():
                    name = player.host.name
                    assert address not in innocent, f"{name} bans {innocent[address]}: {why}"

    def all_finished(self) -> bool:
        wanting = [player for player in self.players if player.kind in ("peer", "rider")]
        return all(self._is_complete(player) for player in wanting)

    def _is_complete(self, player: Player) -> bool:
        return player.host.alive and player.transfer is not None and player.transfer.done.is_set()

    async def check_files(self) -> None:
        """Everybody who fetched has the same bytes as the content."""
        for player in self.players:
            if player.kind in ("peer", "rider"):
                await player.host.run(self._compare(player))

    async def _compare(self, player: Player) -> None:
        top = await player.host.disk.list("/out")
        assert top == ["content"], top
        for name, data in self.files.items():
            try:
                there = await player.host.disk.read(f"/out/{name}")
            except StorageError as error:
                raise AssertionError(f"{player.host.name}: {error}") from error
            assert there == data, f"{player.host.name} has other bytes in {name}"

    def limited(self, kind: str) -> Player:
        """Somebody who may have set limits."""
        up, down = self.rng.choice([None, 60_000.0]), self.rng.choice([None, 100_000.0])
        return Player(kind, up, down)

    def wasted(self) -> int:
        """Bytes that came twice or were wrong."""
        exchanges = [each.transfer.exchange for each in self.players if each.transfer]
        return sum(exchange.wasted for exchange in exchanges if exchange is not None)

    def watch(self) -> None:
        self.world.always(self.bounded)
        self.world.always(self.no_innocent_is_banned)


FILES = {"a": 1_500_000, "b/empty": 0, "b/d": 100_000, "tiny": 5}
ASYMMETRIC = {"up": 200_000, "down": 1_000_000}  # bytes/s


async def poisoned(world: World, version: str = "v1", peers: int = 12) -> tuple[Town, float]:
    """Three of sixteen send wrong blocks; all honest finish; how much was wasted."""
    town = Town(world, FILES, version)
    await town.prepare()
    kinds = ["seed"] + ["peer"] * peers + ["poisoner"] * 3
    town.settle([Player(kind) for kind in kinds], **ASYMMETRIC)
    town.watch()
    await world.until(town.all_finished, within=300)
    await town.check_files()
    return town, town.wasted() / (peers * town.torrent.layout.size)


async def crowd(world: World, count: int) -> tuple[Town, float]:
    """One seed, many peers, each knowing some: all finish."""
    town = Town(world, {"a": 1 << 20})
    await town.prepare()
    town.settle([Player("seed"), *(Player("peer") for _ in range(count - 1))], **ASYMMETRIC)
    town.watch()
    await world.until(town.all_finished, within=600)
    await town.check_files()
    return town, town.wasted() / (count * town.torrent.layout.size)


async def storm(world: World) -> Town:
    """Crashes, partitions, bad disks, riders and a poisoner; afterwards all finish."""
    town = Town(world, FILES, world.rng.choice(["v1", "v2", "hybrid"]))
    await town.prepare()
    town.settle([Player("seed"), *map(town.limited, ["peer"] * 8), Player("poisoner"),
                 Player("rider")], **ASYMMETRIC)  # fmt: skip
    town.watch()
    kinds = world.rng.sample(STORMY, world.rng.randint(1, len(STORMY)))
    plan = Plan.draw(world.rng, len(town.hosts), STORM, kinds)
    await world.storm(town.hosts, STORM, plan)
    await asyncio.sleep(0.1)  # who was down begins a new life
    await world.until(town.all_finished, within=900)
    await town.check_files()
    return town
