"""The only way to files.

Every call runs in a small pool of threads, so that the event loop never waits
for a disk.  `sim/disk.py` has the same methods for simulated hosts.

What a power cut leaves is what POSIX promises and no more: the content of a
file once `sync(file)` returned, its name (created, renamed or removed) once
`sync(folder)` did.  `replace` and `make_folder` do all of it themselves.

Calls which are under way at the same time happen in any order: await the first
where order matters.  A cancelled call happens whole or not at all, and perhaps
later: buffers handed to it must be left alone until `close` returned.  Failures
are `StorageError` and its kinds.
"""

import asyncio
import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, islice
from stat import S_ISDIR
from typing import NamedTuple, TypeAlias, TypeVar

from shoal.errors import (
    DiskFullError,
    LockedError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UsageError,
)

Buffer: TypeAlias = bytes | bytearray | memoryview
Result = TypeVar("Result")

THREADS = max(4, os.cpu_count() or 1)  # hashing wants every core, a disk wants a short queue
CHUNKS_MAX = 1024  # buffers in one writev: IOV_MAX of Linux and macOS
FILE_MODE = 0o666  # before the umask, as open() has it

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})


class Stat(NamedTuple):
    """What is known of a file or folder."""

    size: int
    mtime_ns: int
    is_folder: bool


class Lock:
    """A file that only one open `Lock` in the world can hold; ends with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Disk:
    """Files of this machine."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="shoal-disk")
        self._temporaries = count()  # two replaces of one file must not share theirs
        self._closed = False

    async def run(self, function: Callable[..., Result], *args: object) -> Result:
        """Do other blocking work, such as hashing, in the pool."""
        if self._closed:
            raise UsageError("this disk is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def read(self, path: str, offset: int = 0, length: int = -1) -> bytes:
        """The bytes from `offset` on, fewer than `length` only at the end of the file."""
        return await self._call("read", path, _read, path, offset, length)

    async def read_into(self, path: str, offset: int, buffer: bytearray | memoryview) -> int:
        """Fill the buffer; the count is smaller than it only at the end of the file."""
        return await self._call("read", path, _read_into, path, offset, buffer)

    def read_now(self, path: str, offset: int, buffer: bytearray | memoryview) -> int:
        """`read_into` for work that is in the pool already, by `run`: it blocks."""
        try:
            return _read_into(path, offset, buffer)
        except OSError as error:
            raise _storage_error("read", path, error) from error

    async def write(self, path: str, offset: int, chunks: Sequence[Buffer]) -> None:
        """Put the chunks one after another into a file, which is made if need be."""
        await self._call("write", path, _write, path, offset, chunks)

    async def append(self, path: str, chunks: Sequence[Buffer]) -> None:
        await self._call("write", path, _write, path, None, chunks)

    async def truncate(self, path: str, size: int) -> None:
        """Cut a file or grow it by a hole, which takes no room; it is made if need be."""
        await self._call("write", path, _truncate, path, size)

    async def allocate(self, path: str, size: int) -> None:
        """Take room for the first `size` bytes, keeping what is there; it is made if need be."""
        await self._call("write", path, _allocate, path, size)

    async def sync(self, path: str) -> None:
        """Wait until the content of a file, or the names in a folder, would survive a power cut."""
        await self._call("sync", path, _sync, path)

    async def replace(self, path: str, data: Buffer, mode: int = FILE_MODE) -> None:
        """Give a file new content at once: after a crash it has the old or the new, whole."""
        temporary = f"{path}.{next(self._temporaries)}.new"
        await self._call("write", path, _replace, path, temporary, data, mode)

    async def rename(self, old: str, new: str) -> None:
        """Move a file over what file has the new name, or a folder to a free name."""
        await self._call("rename", old, os.replace, old, new)

    async def list(self, path: str) -> list[str]:
        """The sorted names in a folder."""
        return await self._call("read", path, lambda: sorted(os.listdir(path)))

    async def remove(self, path: str) -> None:
        """Remove a file or an empty folder."""
        await self._call("remove", path, _remove, path)

    async def make_folder(self, path: str) -> None:
        """Make a folder and those above it, to stay; those that exist are left."""
        await self._call("make", path, _make_folder, path)

    async def stat(self, path: str) -> Stat | None:
        """What is there, or None."""
        return await self._call("read", path, _stat, path)

    async def free(self, path: str) -> int:
        """Bytes that we may still write where `path` is or will be."""
        return await self._call("read", path, _free, path)

    async def lock(self, path: str) -> Lock:
        """Hold a file until released or the process ends; LockedError if another does."""
        locking = asyncio.ensure_future(self._call("lock", path, _lock, path))
        try:
            return await asyncio.shield(locking)
        except asyncio.CancelledError:
            locking.add_done_callback(_let_go)
            raise

    async def close(self) -> None:
        """Wait for what is under way; nothing can be asked afterwards."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)

    async def _call(
        self, verb: str, path: str, function: Callable[..., Result], *args: object
    ) -> Result:
        try:
            return await self.run(function, *args)
        except OSError as error:
            raise _storage_error(verb, path, error) from error


def _let_go(locking: asyncio.Future[Lock]) -> None:
    """A lock was got for somebody who does not wait for it any more."""
    if not locking.cancelled() and locking.exception() is None:
        locking.result().release()


def _storage_error(verb: str, path: str, error: OSError) -> StorageError:
    kind = StorageError
    if error.errno in FULL:
        kind = DiskFullError
    elif error.errno in MISSING:
        kind = MissingError
    elif verb == "lock" and isinstance(error, BlockingIOError):
        kind = LockedError
    elif error.errno in FORBIDDEN and verb != "read":
        kind = ReadOnlyError
    return kind(f"cannot {verb} {path}: {error.strerror or error}")


# The blocking halves, each run whole in one thread.  A file is opened for each
# call: nothing to keep within the limit of open files, nothing stale after a rename.


def _open(path: str, flags: int, mode: int = FILE_MODE) -> int:
    return os.open(path, flags | os.O_CLOEXEC, mode)


def _read(path: str, offset: int, length: int) -> bytes:
    descriptor = _open(path, os.O_RDONLY)
    try:
        found = os.fstat(descriptor)
        if S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        rest = max(0, found.st_size - offset)
        return _take(descriptor, offset, rest if length < 0 else min(length, rest))
    finally:
        os.close(descriptor)


def _take(descriptor: int, offset: int, length: int) -> bytes:
    """Mostly one pread: a kernel hands out less only beyond 2 GiB or at the end."""
    parts = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_into(path: str, offset: int, buffer: bytearray | memoryview) -> int:
    descriptor = _open(path, os.O_RDONLY)
    try:
        return _fill(descriptor, offset, buffer)
    finally:
        os.close(descriptor)


def _fill(descriptor: int, offset: int, buffer: bytearray | memoryview) -> int:
    view = memoryview(buffer).cast("B")
    done = 0
    while done < len(view):
        got = os.preadv(descriptor, [view[done:]], offset + done)
        if not got:
            break
        done += got
    return done


def _write(path: str, offset: int | None, chunks: Sequence[Buffer]) -> None:
    """Write at an offset, or at the end when it is None."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if offset is None else 0)
    descriptor = _open(path, flags)
    try:
        _write_all(descriptor, offset, chunks)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, offset: int | None, chunks: Iterable[Buffer]) -> None:
    left = deque(memoryview(chunk).cast("B") for chunk in chunks if len(chunk))
    while left:
        batch = list(islice(left, CHUNKS_MAX))
        if offset is None:
            wrote = os.writev(descriptor, batch)
        else:
            wrote = os.pwritev(descriptor, batch, offset)
            offset += wrote
        while left and wrote >= len(left[0]):
            wrote -= len(left.popleft())
        if wrote:
            left[0] = left[0][wrote:]


def _truncate(path: str, size: int) -> None:
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _allocate(path: str, size: int) -> None:
    descriptor = _open(path, os.O_WRONLY | os.O_CREAT)
    try:
        if not size:
            return
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        elif os.fstat(descriptor).st_size < size:  # macOS: its length at least
            os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _sync(path: str) -> None:
    descriptor = _open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: str, temporary: str, data: Buffer, mode: int) -> None:
    try:
        descriptor = _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            _write_all(descriptor, 0, [data])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync(os.path.dirname(path) or ".")


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


def _make_folder(path: str) -> None:
    if os.path.isdir(path):
        return
    above = os.path.dirname(os.path.abspath(path))
    _make_folder(above)
    with suppress(FileExistsError):
        os.mkdir(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.EEXIST, "a file has that name", path)
    _sync(above)


def _stat(path: str) -> Stat | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    folder = S_ISDIR(found.st_mode)
    return Stat(0 if folder else found.st_size, found.st_mtime_ns, folder)


def _free(path: str) -> int:
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _lock(path: str) -> Lock:
    descriptor = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return Lock(descriptor)
