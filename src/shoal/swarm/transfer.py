"""One content at work: what its exchange decides is done here.

A transfer owns the tasks of one content: it finds the metadata, checks what is
on the disk, dials peers, hashes and keeps finished pieces, reads chunks for
peers that ask, and saves its notes.  What goes wrong with the disk is told in
`problem` and tried again; nothing that was proven is dropped meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shoal.errors import ShoalError, StorageError, UsageError
from shoal.swarm.candidates import Address, Candidates, least_useful
from shoal.swarm.exchange import Exchange
from shoal.swarm.keeper import Keeper
from shoal.swarm.picker import PRIORITY_NONE, PRIORITY_NORMAL, Order, file_priorities
from shoal.swarm.pieces import Bitfield
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.rate import Bucket, Budget
from shoal.swarm.serving import Serving
from shoal.swarm.session import Session
from shoal.swarm.storage import Storage
from shoal.swarm.torrent import Torrent

if TYPE_CHECKING:
    from random import Random

    from shoal.disk import Disk

TICK = 1.0  # seconds between looks at peers and rates
TICK_LIMITED = 0.1  # the same while a rate limit meters out requests
WATCH = 0.5  # seconds between two reports of progress


class Dialler(Protocol):
    """Opens connections for a transfer; the service does."""

    def dial(self, transfer: "Transfer", address: Address) -> None: ...

    def room(self) -> int: ...  # connections that may still be opened


class Source(Protocol):
    """Where addresses come from: it calls `found` as long as it runs."""

    async def run(self) -> None: ...

    def completed(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass
class Budgets:
    """The node's own budgets, above those of each content."""

    down: Bucket = field(default_factory=lambda: Bucket(None, 0.0))
    up: Bucket = field(default_factory=lambda: Bucket(None, 0.0))

    def limit(self, down: float | None, up: float | None, now: float) -> None:
        self.down.limit(down, now)
        self.up.limit(up, now)


class Transfer:
    """One content, its peers and its files."""

    def __init__(
        self,
        session: Session,
        disk: "Disk",
        folder: str,
        rng: "Random",
        dialler: Dialler,
        *,
        wish: Wish | None = None,
        budgets: Budgets | None = None,
        paths: Sequence[str] | None = None,
        name: str = "",
        trackers: Sequence[Sequence[str]] = (),
        proven: bool = False,
        allocates: bool = False,
    ) -> None:
        self.trackers = tuple(tuple(tier) for tier in trackers)
        self.session = session
        self.disk = disk
        self.folder = folder
        self.wish = wish or Wish()
        self.candidates = Candidates()
        self.storage: Storage | None = None
        self.sources: list[Source] = []
        self.state = "metadata"
        self.keeper: Keeper | None = None
        self.known = asyncio.Event()  # enough of the metadata to begin
        self.done = asyncio.Event()  # everything wanted is here
        self.ended = asyncio.Event()  # its goodbyes are said and its notes saved
        self.failure: ShoalError | None = None  # what ended it before it was complete
        self._name = name
        self._rng = rng
        self._dialler = dialler
        self._budgets = budgets or Budgets()
        self._paths = paths
        self._known_good = proven  # all pieces, a moment ago: nothing to check
        self._allocates = allocates  # takes all the room on the disk before it begins
        self._checked = (0, 0)
        self._priorities: list[int] | None = None
        self._total = 0
        self._own = Budgets()
        self._nudge = asyncio.Event()
        session.on_metadata = self._learned
        session.on_layers = self._learned
        session.on_peers = self._nudge.set

    @property
    def torrent(self) -> Torrent | None:
        return self.session.torrent

    @property
    def exchange(self) -> Exchange | None:
        return self.session.exchange

    @property
    def id(self) -> str:
        """The hash by which peers know it, in hex."""
        return self.session.hashes[0].hex()

    @property
    def name(self) -> str:
        return self.torrent.name if self.torrent else self._name

    @property
    def magnet(self) -> str:
        """The link by which others find it."""
        if self.torrent is None:
            raise UsageError("the metadata has not come yet")
        return str(self.torrent.magnet())

    @property
    def metainfo(self) -> bytes:
        """What a .torrent file holds."""
        if self.torrent is None:
            raise UsageError("the metadata has not come yet")
        return self.torrent.encode()

    async def read(self, index: int = 0) -> bytes:
        """All bytes of one file of a complete content; pads do not count."""
        if self.storage is None or self.torrent is None or not self.done.is_set():
            raise UsageError("the content is not complete yet")
        files = [number for number, file in enumerate(self.torrent.layout.files) if not file.pad]
        if not 0 <= index < len(files):
            raise UsageError(f"the content has {len(files)} files")
        return await self.disk.read(self.storage.path(files[index]))

    def found(self, addresses: Iterable[Address]) -> None:
        """Addresses of peers, from whatever source."""
        self.candidates.add(addresses, asyncio.get_running_loop().time())
        self._nudge.set()

    def _learned(self) -> None:
        if self.session.ready:
            self.known.set()

    # The run

    async def run(self) -> None:
        """Until cancelled, or until complete when we do not seed."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._run_source(source)) for source in self.sources]
            running.append(tasks.create_task(self._tick_loop()))
            try:
                self._learned()
                await self.known.wait()
                await self._begin()
                assert self.keeper is not None
                running += [tasks.create_task(work) for work in self.keeper.work()]
                await self.keeper.complete.wait()
                self._completed()
                if not self.wish.seed:
                    return
                await asyncio.get_running_loop().create_future()  # until cancelled
            finally:
                for task in running:
                    task.cancel()
                await self._stop()

    def _completed(self) -> None:
        self.state = "seeding"
        for source in self.sources:
            source.completed()
        self.done.set()

    async def _run_source(self, source: Source) -> None:
        with suppress(ShoalError):
            await source.run()

    async def _begin(self) -> None:
        torrent = self.session.torrent
        assert torrent is not None
        self.state = "checking"
        self.storage = Storage(self.disk, torrent, self.folder, paths=self._paths)
        self._choose(torrent)
        have = await self._what_is_here(self.storage, torrent)
        now = asyncio.get_running_loop().time()
        wish = self.wish
        order = Order.SEQUENTIAL if wish.sequential else Order.RAREST
        self._own = Budgets(Bucket(wish.down, now), Bucket(wish.up, now))
        down = Budget([self._own.down, self._budgets.down])
        exchange = Exchange(
            torrent.layout, self._rng, now, have=have, order=order, memory=wish.memory, budget=down
        )
        up = Budget([self._own.up, self._budgets.up])
        serving = Serving(
            torrent.layout,
            have,
            exchange.remotes,
            self._rng,
            now,
            credit=exchange.credit,
            budget=up,
        )
        self.keeper = Keeper(self.disk, self.storage, exchange, serving)
        await self.keeper.reserve(full=self._allocates)
        if self._priorities is not None:
            exchange.prioritize(self._priorities)
        serving.seeding = exchange.complete
        self.state = "downloading"
        self.session.begin(exchange, serving, now)
        await self.keeper.check_complete()

    async def _what_is_here(self, storage: Storage, torrent: Torrent) -> Bitfield:
        if self._known_good:
            return Bitfield.full(torrent.layout.count)
        await storage.make_empty_files()
        if self.wish.recheck:
            return await storage.survey(range(torrent.layout.count), self._show_check)
        return await storage.load(self._show_check)

    def _show_check(self, done: int, total: int) -> None:
        self._checked = (done, total)

    def _choose(self, torrent: Torrent) -> None:
        """Which files are wanted."""
        layout = torrent.layout
        wanted = self.wish.wanted(layout)
        self._total = sum(f.length for f, each in zip(layout.files, wanted, strict=True) if each)
        if self.storage is not None:
            self.storage.select(wanted)
        ranges = [layout.pieces_of(index) for index in range(len(layout.files))]
        levels = [PRIORITY_NORMAL if each else PRIORITY_NONE for each in wanted]
        self._priorities = file_priorities(ranges, levels, layout.count)

    def limit(self, down: float | None, up: float | None) -> None:
        """What it may take from now on, in bytes a second; None: all that the node may."""
        self.wish.down, self.wish.up = down, up
        self._own.limit(down, up, asyncio.get_running_loop().time())
        self._nudge.set()

    # Time

    async def _tick_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            exchange, serving = self.session.exchange, self.session.serving
            pause = TICK
            self.session.tick(now)
            if exchange is not None and serving is not None:
                exchange.tick(now)
                serving.seeding = exchange.complete
                serving.tick(now)
                self._drop_useless(exchange, now)
                pause = TICK if exchange.budget.unlimited else TICK_LIMITED
            if not self.done.is_set() or self.wish.seed:
                self._dial_more(now)
            self._nudge.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._nudge.wait()

    def _drop_useless(self, exchange: Exchange, now: float) -> None:
        """Banned hosts are not dialled again; a seed has nothing to say to a seed."""
        for host in exchange.banned:
            self.candidates.forget(host)
        if exchange.seeding:
            for remote in list(exchange.remotes.values()):
                if remote.has.complete:
                    remote.link.close("both have everything")

    def _dial_more(self, now: float) -> None:
        exchange = self.session.exchange
        if exchange is not None and exchange.seeding:
            return  # who wants something dials us
        for address in self.candidates.next(self._dialler.room(), now):
            if exchange is not None and address[0] in exchange.banned:
                self.candidates.forget(address[0])
            else:
                self._dialler.dial(self, address)

    def make_room(self, now: float) -> bool:
        """Close the least useful peer; False if all are worth keeping."""
        exchange = self.session.exchange
        if exchange is None:
            return False
        remote = least_useful(list(exchange.remotes.values()), exchange.seeding, now)
        if remote is None:
            return False
        remote.link.close("others need the place more")
        return True

    async def _stop(self) -> None:
        self.state = "stopped"
        for peer in list(self.session.peers.values()):
            peer.close("we stop")
        if self.keeper is not None and not self.keeper.complete.is_set():
            with suppress(StorageError):
                await self.keeper.save()
        for source in self.sources:
            with suppress(ShoalError):
                await source.stop()

    # What people see

    def progress(self) -> Progress:
        exchange, serving, torrent = self.session.exchange, self.session.serving, self.torrent
        report = Progress(self.state, self.name, peers=len(self.session.peers), total=self._total)
        report.problem = self.keeper.problem if self.keeper else ""
        if self.failure is not None:
            report.problem = str(self.failure)
        if torrent is not None:
            report.pieces_total = torrent.layout.count
        if exchange is None or serving is None or torrent is None:
            report.waiting = report.problem or self._waiting_for_metadata()
            return report
        now = asyncio.get_running_loop().time()
        report.pieces = len(exchange.have)
        report.done = self._total if exchange.complete else self._bytes_here(exchange, torrent)
        report.down, report.up = exchange.down.rate(now), serving.up.rate(now)
        report.received, report.sent = exchange.down.total, serving.up.total
        report.wasted = exchange.wasted
        report.seeds = sum(remote.has.complete for remote in exchange.remotes.values())
        report.waiting = self._waiting(exchange)
        return report

    def _bytes_here(self, exchange: Exchange, torrent: Torrent) -> int:
        done = len(exchange.have) * torrent.layout.piece_length
        return min(done, self._total)

    def _waiting_for_metadata(self) -> str:
        if self.state == "checking":
            done, total = self._checked
            return f"{done} of {total} pieces checked"
        if not self.session.peers:
            return self._lonely()
        return f"metadata from {len(self.session.peers)} peers"

    def _waiting(self, exchange: Exchange) -> str:
        if self.keeper is not None and self.keeper.problem:
            return self.keeper.problem
        if exchange.complete:
            return ""
        remotes = exchange.remotes.values()
        if not remotes:
            return self._lonely()
        if not any(remote.interesting for remote in remotes):
            return f"none of {len(remotes)} peers has what we lack"
        if all(remote.chokes for remote in remotes):
            return f"all of {len(remotes)} peers choke us"
        return ""

    def _lonely(self) -> str:
        told = [text for s in self.sources if (text := getattr(s, "waiting", ""))]
        known = f"{len(self.candidates)} addresses tried" if len(self.candidates) else "no address"
        return f"0 peers: {'; '.join([known, *told])}"

    async def watch(self, interval: float = WATCH) -> AsyncIterator[Progress]:
        """Progress again and again, the last time when it is complete or stopped."""
        while True:
            report = self.progress()
            yield report
            if report.state in ("seeding", "stopped"):
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await self.done.wait()
