"""Pieces that have arrived are proven and kept; chunks that peers ask for are read.

A few workers take whole batches, hash them in threads and write them in as few
calls as their files allow.  While the disk is full or fails, what was proven
waits in memory and is tried again; nothing is announced that is not kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from shoal.errors import StorageError
from shoal.swarm.exchange import Exchange, Finished
from shoal.swarm.hashing import blame_hashes, make_task, verify
from shoal.swarm.pieces import Bitfield
from shoal.swarm.serving import Serving
from shoal.swarm.storage import Storage

if TYPE_CHECKING:
    from shoal.disk import Disk

READERS = 2  # chunks read for peers at the same time
BATCH = 8 << 20  # bytes of pieces proven in one go: fewer hops between threads
SAVE_INTERVAL = 30.0  # seconds between notes for resuming
STORAGE_RETRY = 2.0  # seconds until a full or failing disk is tried again


class Keeper:
    """Between an exchange and the files of its content."""

    def __init__(
        self, disk: "Disk", storage: Storage, exchange: Exchange, serving: Serving
    ) -> None:
        self.disk = disk
        self.storage = storage
        self.exchange = exchange
        self.serving = serving
        self.problem = ""  # with the disk; cleared when it is over
        self.complete = asyncio.Event()  # everything wanted is kept and synced
        self._finished = asyncio.Event()
        self._backlog = asyncio.Event()
        self._spilled = asyncio.Event()
        self._load = asyncio.Event()
        self._finishing = False
        self._noting = asyncio.Lock()  # a late note would lie beside a finished content
        exchange.on_finished = self._something_finished
        serving.on_load = self._load.set

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What has to run all the time."""
        hashers = [self._hash_loop(self._finished, 0), self._hash_loop(self._backlog, BATCH // 2)]
        readers = [self._read_loop() for _ in range(READERS)]
        return [*hashers, *readers, self._spill_loop(), self._save_loop()]

    async def reserve(self, *, full: bool) -> None:
        """Wait until there is room on the disk for what is wanted."""
        await self.persist(lambda: self.storage.reserve(self.exchange.have, full=full))

    async def check_complete(self) -> None:
        if self.exchange.complete and not self._finishing:
            self._finishing = True
            await self.persist(self._finish)
            self.serving.seeding = True
            self.complete.set()

    async def _finish(self) -> None:
        async with self._noting:
            await self.storage.finish(self.exchange.have)

    async def persist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, again and again while the disk is full or fails."""
        while True:
            try:
                await work()
            except StorageError as error:
                self.problem = str(error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self.problem = ""
                return

    # Proving

    def _something_finished(self) -> None:
        exchange = self.exchange
        if exchange.spilled or any(each.data is None for each in exchange.finished):
            self._spilled.set()
        self._finished.set()
        if self._waiting_bytes() >= BATCH // 2:
            self._backlog.set()

    def _waiting_bytes(self) -> int:
        return sum(len(each.data) for each in self.exchange.finished if each.data is not None)

    async def _hash_loop(self, something: asyncio.Event, least: int) -> None:
        """Batches grow while a worker is busy; the second one helps when they grow long."""
        while True:
            batch = self._take_batch() if self._waiting_bytes() >= least else []
            if batch:
                await self._prove(batch)
            else:
                something.clear()
                await something.wait()

    def _take_batch(self) -> list[tuple[int, memoryview]]:
        batch: list[tuple[int, memoryview]] = []
        left: list[Finished] = []
        size = 0
        for each in self.exchange.finished:
            if each.data is None or size >= BATCH:
                left.append(each)
            else:
                batch.append((each.piece, each.data))
                size += len(each.data)
        self.exchange.finished[:] = left
        return batch

    async def _prove(self, batch: list[tuple[int, memoryview]]) -> None:
        torrent = self.storage.torrent
        tasks = [
            make_task(torrent.layout, piece, data, v2=torrent.checks_v2) for piece, data in batch
        ]
        right = await self.disk.run(verify, torrent, tasks)
        good = [each for each, fine in zip(batch, right, strict=True) if fine]

        async def write() -> None:
            await self.storage.write(good)

        if good:
            await self.persist(write)
        for (piece, data), fine in zip(batch, right, strict=True):
            if fine:
                await self._keep(piece, data)
            else:
                hashes = await self.disk.run(blame_hashes, data)
                self.exchange.failed(piece, hashes, asyncio.get_running_loop().time())
        await self.check_complete()

    async def _keep(self, piece: int, data: memoryview | None) -> None:
        good = None
        if data is not None and self.exchange.blamed(piece):
            good = await self.disk.run(blame_hashes, data)
        self.serving.changed(piece)
        self.exchange.proven(piece, asyncio.get_running_loop().time(), good)

    async def _spill_loop(self) -> None:
        """Pieces too large for memory go to the part file block by block."""
        exchange = self.exchange
        while True:
            await self._spilled.wait()
            self._spilled.clear()
            while exchange.spilled:
                await self._spill(*exchange.spilled.pop(0))
            large = [each.piece for each in exchange.finished if each.data is None]
            exchange.finished[:] = [each for each in exchange.finished if each.data is not None]
            for piece in large:
                await self._settle(piece)

    async def _spill(self, piece: int, begin: int, data: bytes) -> None:
        async def spill() -> None:
            await self.storage.spill(piece, begin, data)

        await self.persist(spill)

    async def _settle(self, piece: int) -> None:
        right = False

        async def settle() -> None:
            nonlocal right
            right = await self.storage.settle(piece)

        await self.persist(settle)
        if right:
            await self._keep(piece, None)
            await self.check_complete()
        else:
            self.exchange.failed(piece, [], asyncio.get_running_loop().time())

    # Reading

    async def _read_loop(self) -> None:
        while True:
            await self._load.wait()
            if not self.serving.to_load:
                self._load.clear()
                continue
            await self._read(self.serving.to_load.pop(0))

    async def _read(self, chunk: int) -> None:
        size = self.serving.chunk
        try:
            data = await self.storage.read(chunk * size, size, self.exchange.have)
        except StorageError as error:
            self.problem = str(error)
            for piece in self._pieces_of(chunk):
                self.exchange.lost_piece(piece)
            self.serving.loaded(chunk, None)
        else:
            self.serving.loaded(chunk, data)

    def _pieces_of(self, chunk: int) -> range:
        layout, size = self.storage.layout, self.serving.chunk
        last = min((chunk + 1) * size, layout.end) - 1
        return range(chunk * size // layout.piece_length, last // layout.piece_length + 1)

    # Notes

    async def _save_loop(self) -> None:
        while True:
            await asyncio.sleep(SAVE_INTERVAL)
            if not self._finishing:
                await self.persist(lambda: self.save(last=False))

    async def save(self, *, last: bool = True) -> None:
        have: Bitfield = self.exchange.have
        async with self._noting:
            if not self.complete.is_set():
                await self.storage.save(have, last=last)
