"""What arrives, on its way into a folder.

Every file is a part file first, `NAME.shoal-part`, and gets its name when all of
it is there and on the disk.  A name that is taken gets a number, unless the file
there is the very same.  Blocks are written in the disk's threads, one after the other;
a very long file is synced as it grows.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.apps.digests import make_claim
from shoal.apps.parcel import (
    BLOCK,
    CHANGED,
    ENDINGS,
    GOOD,
    Claim,
    Item,
    other_names,
    part_name,
)
from shoal.errors import ClosedError, DiskFullError, MissingError, ProtocolError
from shoal.net.stream import Stream
from shoal.net.tasks import Tasks
from shoal.swarm.storage import refuse_links

AT_ONCE = 8  # blocks that wait for the disk while the next arrives
FINISHING = 8  # small files that are synced and renamed at the same time
SYNC_EVERY = 1 << 30  # bytes of one file: what its end has to wait for


@dataclass(slots=True)
class Arrival:
    """One file: where it will be, and how much of it is here."""

    item: Item
    path: str
    start: int = 0  # bytes that need not be sent
    here: bool = False  # all of it, under its name


class Several:
    """Work that goes on beside us, so many at a time; a failure is raised at the next call."""

    def __init__(self, tasks: Tasks, most: int) -> None:
        self._tasks = tasks
        self._most = most
        self._running: deque[asyncio.Task[None]] = deque()

    async def add(
        self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any
    ) -> asyncio.Task[None]:
        while len(self._running) >= self._most:
            await self._running.popleft()
        task = self._tasks.start(work(*args))
        self._running.append(task)
        return task

    async def wait(self) -> None:
        while self._running:
            await self._running.popleft()


class Arrivals:
    """The files of one offer."""

    def __init__(
        self, disk: Any, folder: str, items: Sequence[Item], done: dict[Item, str],
        progress: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.files = [Arrival(item, "") for item in items]
        self.changed: list[str] = []
        self._disk = disk
        self._folder = folder
        self._done = done  # files that are here since an earlier connection
        self._progress = progress
        self._listings: dict[str, set[str]] = {}
        self._offered = {self._wanted(item) for item in items}  # no other file takes these
        self._claims: dict[int, Claim] = {}
        self._tasks = Tasks()
        self._stores = Several(self._tasks, AT_ONCE)
        self._writing = asyncio.Lock()
        self._endings = Several(self._tasks, FINISHING)

    @property
    def total(self) -> int:
        return sum(file.item.size for file in self.files)

    async def aclose(self) -> None:
        await self._tasks.aclose()

    # What is here

    async def claims(self) -> dict[int, Claim]:
        """Choose where each file goes, and say what is there of it."""
        for index, file in enumerate(self.files):
            claim = await self._claim(index, file)
            if claim is not None:
                self._claims[index] = claim
        return self._claims

    async def _claim(self, index: int, file: Arrival) -> Claim | None:
        size = file.item.size
        file.path = self._done.get(file.item, "") or self._wanted(file.item)
        names = await self._names(os.path.dirname(file.path))
        if os.path.basename(file.path) in names:
            if await self._size(file.path) == size:
                return await make_claim(self._disk, file.path, index, size, size, whole=True)
            await self._rename(file)
        part = part_path(file.path)
        if os.path.basename(part) in names and (there := min(size, await self._size(part) or 0)):
            return await make_claim(self._disk, part, index, there, size)
        return None

    def _wanted(self, item: Item) -> str:
        return os.path.join(self._folder, *map(os.fsdecode, item.parts))

    async def _names(self, folder: str) -> set[str]:
        if folder not in self._listings:
            await self._disk.run(refuse_links, self._folder, folder)
            try:
                self._listings[folder] = set(await self._disk.list(folder))
            except MissingError:
                self._listings[folder] = set()
        return self._listings[folder]

    async def _size(self, path: str) -> int | None:
        """Of a file; None for all else that may have this name."""
        stat = await self._disk.stat(path)
        link = await self._disk.run(os.path.islink, path)
        return None if stat is None or stat.is_folder or link else stat.size

    async def _rename(self, file: Arrival) -> None:
        """The first name that is free, for this file and in this offer."""
        folder, name = os.path.split(file.path)
        names = await self._names(folder)
        free = next(
            each
            for each in other_names(name)
            if each not in names and os.path.join(folder, each) not in self._offered
        )
        names.add(free)
        file.path = os.path.join(folder, free)

    async def plan(self, starts: dict[int, int]) -> None:
        """What the sender found equal."""
        for index, claim in self._claims.items():
            file = self.files[index]
            file.start = starts.get(index, 0)
            if claim.whole and file.start == file.item.size:
                file.here = True
            elif claim.whole:
                await self._rename(file)
        missing = sum(file.item.size - file.start for file in self.files)
        free = await self._disk.free(self._folder)
        if missing > free:
            raise DiskFullError(f"{missing} bytes are to come, {free} are free in {self._folder}")

    # What comes

    async def take(self, stream: Stream) -> None:
        """All files that are not here yet, in the sender's order."""
        for index, file in enumerate(self.files):
            if file.here:
                continue
            await self._disk.run(refuse_links, self._folder, part_path(file.path))
            await self._disk.make_folder(os.path.dirname(file.path) or ".")
            await self._disk.truncate(part_path(file.path), file.start)
            stores: list[asyncio.Task[None]] = []
            if not (index in self._claims and file.start == file.item.size):
                ending = await self._take_file(stream, file, stores)
                if ending != GOOD:
                    self._note_changed(file, ending)
                    continue
            _ = await self._endings.add(self._finish, file, stores)
        await self._stores.wait()
        await self._endings.wait()
        for folder in dict.fromkeys(os.path.dirname(file.path) for file in self.files):
            if folder and await self._disk.stat(folder):
                await self._disk.sync(folder)

    async def _take_file(
        self, stream: Stream, file: Arrival, stores: list[asyncio.Task[None]]
    ) -> int:
        """Its blocks until the end; how it ended."""
        at, synced = file.start, file.start
        part = part_path(file.path)
        while length := int.from_bytes(await stream.readexactly(4), "big"):
            if length > BLOCK or at + length > file.item.size:
                raise ProtocolError(f"a block of {length} bytes at {at}, beyond what was offered")
            chunks = await read_chunks(stream, length)
            stores.append(await self._stores.add(self._store, part, at, chunks))
            at += length
            if at - synced >= SYNC_EVERY:
                synced = at
                _ = await self._endings.add(self._disk.sync, part)
            stores[:] = [task for task in stores if not task.done()]
        ending = (await stream.readexactly(1))[0]
        if ending not in ENDINGS or (ending == GOOD and at != file.item.size):
            raise ProtocolError("a file that ends where it was not to end")
        return ending

    async def _store(self, part: str, at: int, chunks: list[bytes]) -> None:
        async with self._writing:  # two writers of one file would only wait for each other
            await self._disk.write(part, at, chunks)
        self._progress(sum(map(len, chunks)))

    async def _finish(self, file: Arrival, stores: list[asyncio.Task[None]]) -> None:
        """Give a file its name once it is on the disk."""
        await asyncio.gather(*stores)
        part = part_path(file.path)
        await self._disk.sync(part)
        if await self._disk.stat(file.path) is not None:  # somebody made one meanwhile
            self._listings.pop(os.path.dirname(file.path), None)
            await self._rename(file)
        await self._disk.rename(part, file.path)
        file.here = True
        self._done[file.item] = file.path

    def _note_changed(self, file: Arrival, ending: int) -> None:
        why = "changed while it was sent" if ending == CHANGED else "cannot be read there"
        self.changed.append(f"{os.fsdecode(b'/'.join(file.item.parts))}: {why}")


async def read_chunks(stream: Stream, count: int) -> list[bytes]:
    """So many bytes, as they come: joining them would copy them once more."""
    chunks = []
    while count:
        chunk = await stream.read(count)
        if not chunk:
            raise ClosedError("the stream ended within a block")
        chunks.append(chunk)
        count -= len(chunk)
    return chunks


def part_path(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, part_name(name))
