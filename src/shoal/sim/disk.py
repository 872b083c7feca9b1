"""A host's disk: the only thing that it keeps over a crash.

It has the methods of `shoal.disk.Disk` and POSIX's promises: content stays once
`sync(file)` returned, names once `sync(folder)` did, and a power cut may lose
or tear the rest (platter.py).  It can be slow, full, read-only or failing.

Every operation is made of steps, each at a moment of its own, so that a crash
can fall between any two; `cut_after` says between which.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any, NamedTuple, TypeAlias, TypeVar

from shoal.errors import DiskFullError, LockedError, ReadOnlyError, StorageError, UsageError
from shoal.sim.platter import File, Folder, Tree

Buffer: TypeAlias = bytes | bytearray | memoryview
Result = TypeVar("Result")
Step: TypeAlias = Callable[[], Any]

CAPACITY = 2**40  # bytes: more than any test writes
DELAY = 0.0001  # seconds a step takes, about what an SSD needs to write
FILE_MODE = 0o666  # as in shoal.disk; a simulated host has one user


class PowerCut(BaseException):
    """The host lost its power: no `except Exception` of the code under test goes on."""


class Stat(NamedTuple):
    """What is known of a file or folder."""

    size: int
    mtime_ns: int
    is_folder: bool


class Lock:
    """A held file, until released or the host crashes."""

    def __init__(self, locks: dict[str, "Lock"], path: str) -> None:
        self._locks = locks
        self._path = path
        locks[path] = self

    def release(self) -> None:
        if self._locks.get(self._path) is self:
            del self._locks[self._path]


class Operation:
    """A call under way: steps, each at a moment of its own.

    They are callbacks, not awaits, so that a cancelled caller does not stop it
    half way, as it would not stop a thread.
    """

    def __init__(self, disk: "SimDisk", steps: Sequence[Step], undo: Step | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()
        self._disk = disk
        self._steps = steps
        self._undo = undo
        self._life = disk.begun()

    def begin(self, size: int) -> None:
        self._loop.call_later(self._disk.pause(size), self._step, 0)

    def _step(self, number: int) -> None:
        if number == 0 and self.future.cancelled() and self._disk.rng.random() < 0.5:
            self._disk.ended(self._life)
            return  # no thread had taken it yet
        try:
            self._disk.take_step(self._life)
            result = self._steps[number]()
        except (Exception, PowerCut) as error:
            self._fail(error)
            return
        if number + 1 < len(self._steps):
            self._loop.call_later(self._disk.pause(0), self._step, number + 1)
            return
        self._disk.ended(self._life)
        if not self.future.done():
            self.future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        if self._undo is not None and isinstance(error, StorageError):
            self._undo()
        self._disk.ended(self._life)
        if isinstance(error, PowerCut) and self._disk.when_cut is not None:
            return  # whoever waits is as dead as the disk
        if not self.future.done():
            self.future.set_exception(error)


class SimDisk:
    """Files of a simulated host.  The attributes may be changed at any time."""

    def __init__(self, rng: Random, capacity: int = CAPACITY, delay: float = DELAY) -> None:
        self.rng = rng
        self.capacity = capacity  # bytes
        self.delay = delay  # seconds a step takes, half more or less
        self.rate = float("inf")  # bytes a second
        self.read_errors = 0.0  # the share of reads that fail
        self.write_errors = 0.0
        self.read_only = False
        self.steps = 0  # made so far
        self.cut_after: int | None = None  # the power goes after so many more steps
        self.when_cut: Callable[[], None] | None = None  # what else goes then: the host
        self.watch: Callable[[int], None] | None = None  # told the number of each step
        self._tree = Tree()
        self._room = 0
        self._locks: dict[str, Lock] = {}
        self._temporaries = count()
        self._closed = False
        self._under_way = 0
        self._idle: asyncio.Future[None] | None = None  # for whom closes meanwhile
        self._life = 0  # raised by a crash: steps of an earlier life do not happen
        self._dark = False

    def crash(self) -> None:
        """Lose what a power cut loses; the disk then works again."""
        self._life += 1
        self._dark = self._closed = False
        self._under_way = 0
        self._idle = None
        self.cut_after = None
        self._locks = {}
        self._tree.crash(self.rng)
        self._room = self._tree.room()

    async def run(self, function: Callable[..., Result], *args: object) -> Result:
        return await self._do("run", "", lambda: function(*args))

    async def read(self, path: str, offset: int = 0, length: int = -1) -> bytes:
        def step() -> bytes:
            file = self._readable(path)
            return file.read(offset, file.size if length < 0 else length)

        return await self._do("read", path, step, size=max(0, length))

    async def read_into(self, path: str, offset: int, buffer: bytearray | memoryview) -> int:
        return await self._do(
            "read", path, lambda: self.read_now(path, offset, buffer), size=len(buffer)
        )

    def read_now(self, path: str, offset: int, buffer: bytearray | memoryview) -> int:
        view = memoryview(buffer).cast("B")
        data = self._readable(path).read(offset, len(view))
        view[: len(data)] = data
        return len(data)

    async def write(self, path: str, offset: int, chunks: Sequence[Buffer]) -> None:
        await self._do(
            "write", path, lambda: self._write(path, offset, chunks), size=sum(map(len, chunks))
        )

    async def append(self, path: str, chunks: Sequence[Buffer]) -> None:
        await self._do(
            "write", path, lambda: self._write(path, None, chunks), size=sum(map(len, chunks))
        )

    async def truncate(self, path: str, size: int) -> None:
        def step() -> None:
            file = self._writable(path)
            self._room -= file.room
            file.truncate(size)
            self._room += file.room

        await self._do("write", path, step)

    async def allocate(self, path: str, size: int) -> None:
        def step() -> None:
            holes = self._writable(path).holes(size)
            if sum(length for _, length in holes) > self.capacity - self._room:
                raise DiskFullError("No space left on device")
            for offset, length in holes:
                self._write(path, offset, [bytes(length)])

        await self._do("write", path, step)

    async def sync(self, path: str) -> None:
        await self._do("sync", path, lambda: self._sync(path))

    async def replace(self, path: str, data: Buffer, mode: int = FILE_MODE) -> None:
        new = f"{path}.{next(self._temporaries)}.new"
        before = (
            lambda: self._empty(new),
            lambda: self._write(new, 0, [data]),
            lambda: self._sync(new),
            lambda: self._rename(new, path),
        )
        await self._do(
            "write",
            path,
            lambda: self._sync(path.rpartition("/")[0]),
            before=before,
            size=len(data),
            undo=lambda: self._discard(new),
        )

    async def rename(self, old: str, new: str) -> None:
        await self._do("rename", old, lambda: self._rename(old, new))

    async def list(self, path: str) -> list[str]:
        return await self._do("read", path, lambda: sorted(self._tree.folder(path).entries))

    async def remove(self, path: str) -> None:
        await self._do("remove", path, lambda: self._remove(path))

    async def make_folder(self, path: str) -> None:
        def step() -> None:
            if not isinstance(self._tree.find(path), Folder):
                self._writing()
                self._tree.make_folder(path)

        await self._do("make", path, step)

    async def stat(self, path: str) -> Stat | None:
        def step() -> Stat | None:
            node = self._tree.find(path)
            if node is None:
                return None
            size = node.size if isinstance(node, File) else 0
            return Stat(size, round(node.mtime * 1e9), isinstance(node, Folder))

        return await self._do("read", path, step)

    async def free(self, path: str) -> int:
        return await self._do("read", path, lambda: max(0, self.capacity - self._room))

    async def lock(self, path: str) -> Lock:
        def step() -> Lock:
            if path in self._locks:
                raise LockedError("Resource temporarily unavailable")
            self._writable(path)
            return Lock(self._locks, path)

        locking = asyncio.ensure_future(self._do("lock", path, step))
        try:
            return await asyncio.shield(locking)
        except asyncio.CancelledError:
            locking.add_done_callback(_let_go)  # for whoever does not wait any more
            raise

    async def close(self) -> None:
        self._closed = True
        if self._under_way:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)

    # How an operation runs.

    async def _do(
        self,
        verb: str,
        path: str,
        last: Callable[[], Result],
        *,
        before: Sequence[Step] = (),
        size: int = 0,
        undo: Step | None = None,
    ) -> Result:
        if self._closed:
            raise UsageError("this disk is closed")
        operation = Operation(self, (*before, last), undo)
        operation.begin(size)
        try:
            result: Result = await operation.future
        except StorageError as error:
            if not path:
                raise
            raise type(error)(f"cannot {verb} {path}: {error}") from error
        return result

    def begun(self) -> int:
        """An operation begins; in which life."""
        self._under_way += 1
        return self._life

    def ended(self, life: int) -> None:
        """An operation has ended; whoever closes may wait for the last."""
        if life == self._life:
            self._under_way -= 1
            if self._idle is not None and not self._under_way and not self._idle.done():
                self._idle.set_result(None)

    def pause(self, size: int) -> float:
        """Seconds until the next step."""
        return self.delay * self.rng.uniform(0.5, 1.5) + size / self.rate

    def take_step(self, life: int) -> None:
        """Count a step; PowerCut if it does not happen any more."""
        if self._dark or life != self._life:
            raise PowerCut
        if self.cut_after == 0:
            self._dark = True
            if self.when_cut is not None:
                self.when_cut()
            raise PowerCut
        if self.cut_after is not None:
            self.cut_after -= 1
        self.steps += 1
        if self.watch is not None:
            self.watch(self.steps)

    # The steps.

    def _readable(self, path: str) -> File:
        if self.rng.random() < self.read_errors:
            raise StorageError("Input/output error")
        return self._tree.file(path)

    def _writing(self) -> None:
        if self.read_only:
            raise ReadOnlyError("Read-only file system")
        if self.rng.random() < self.write_errors:
            raise StorageError("Input/output error")

    def _writable(self, path: str) -> File:
        self._writing()
        file = self._tree.make_file(path)
        file.mtime = asyncio.get_running_loop().time()
        return file

    def _empty(self, path: str) -> None:
        self._writable(path).truncate(0)

    def _write(self, path: str, offset: int | None, chunks: Sequence[Buffer]) -> None:
        """As much as there is room for is written, as a kernel does."""
        file = self._writable(path)
        data = b"".join(chunks)
        start = file.size if offset is None else offset
        room = max(0, self.capacity - self._room)
        fits = len(data) if room >= len(data) else max(0, min(len(data), file.size - start) + room)
        self._room -= file.room
        file.write(start, data[:fits])
        self._room += file.room
        if fits < len(data):
            raise DiskFullError("No space left on device")

    def _sync(self, path: str) -> None:
        if self.rng.random() < self.write_errors:
            raise StorageError("Input/output error")
        self._tree.sync(path)

    def _rename(self, old: str, new: str) -> None:
        self._writing()
        room = self._room_of(new) if self._tree.find(old) is not self._tree.find(new) else 0
        self._tree.rename(old, new)
        self._room -= room

    def _remove(self, path: str) -> None:
        self._writing()
        room = self._room_of(path)
        self._tree.remove(path)
        self._room -= room

    def _discard(self, path: str) -> None:
        with suppress(StorageError):
            self._remove(path)

    def _room_of(self, path: str) -> int:
        node = self._tree.find(path)
        return node.room if isinstance(node, File) else 0


def _let_go(locking: asyncio.Future[Lock]) -> None:
    if not locking.cancelled() and locking.exception() is None:
        locking.result().release()
