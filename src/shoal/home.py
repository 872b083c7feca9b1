"""What a node keeps from one run to the next: its identity, tables and sessions.

A home is a folder of small files, each replaced as a whole: a crash leaves the
old content or the new.  A file begins with one line that names the format of
homes, what the file holds, the version of that and a checksum:

    shoal-home 1 peers 3 89ab4567

A line with a newer version is not ours to read, let alone to write over.  One
process at a time has a home; the lock ends with the process, however it ends.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Self
from zlib import crc32

from shoal.disk import Disk, Lock
from shoal.errors import LockedError, MissingError, StorageError, UsageError

FORMAT = 1  # of homes: the first line and the names of files
IDENTITY_VERSION = 1
SECRET = 0o600  # only the owner reads an identity
LINE_MAX = 128  # bytes; the longest name leaves room to spare
SIZE_MAX = 256 * 2**20  # bytes of one file: what is larger is content and has its own store
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}(/[a-z0-9][a-z0-9_.-]{0,63})?")
LINE = re.compile(
    rb"shoal-home ([0-9]{1,9})\b(?: (\S+) ([0-9]{1,9}) ([0-9a-f]{8})$)?", re.MULTILINE
)
TEMPORARY = ".new"  # how Disk.replace ends the names that it has not renamed yet
LOCK = "lock"


class Kept(NamedTuple):
    """What a file holds, and in which version it was written."""

    version: int
    data: bytes


class Home:
    """One folder, for one process; `async with` opens and leaves it."""

    def __init__(self, disk: Disk, path: str) -> None:
        self.path = path
        self._disk = disk
        self._lock: Lock | None = None
        self._ours: set[str] = set()  # names whose version on the disk we know to be no newer

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Make the folder, take the lock, clear what a crash left half done."""
        if self._lock is not None:
            return
        found = await self._disk.stat(self.path)
        if found is not None and not found.is_folder:
            raise StorageError(f"{self.path} is a file, and a home is a folder")
        if found is None:
            await self._disk.make_folder(self.path)
        await self._refuse_newer()
        self._lock = await self._take_lock()
        try:
            await self._clear()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def identity(self, make: Callable[[], bytes]) -> bytes:
        """The node's secret key; `make` gives it at the first call ever.

        A damaged one is an error: a new key would be another peer.
        """
        kept = await self.load("identity", IDENTITY_VERSION)
        if kept is not None:
            return kept.data
        secret = make()
        await self._save("identity", secret, IDENTITY_VERSION, SECRET)
        return secret

    async def load(self, name: str, version: int) -> Kept | None:
        """What is kept under a name, in `version` or an older one; None before the first save."""
        path = self._file(name)
        found = await self._disk.stat(path)
        if found is None or found.is_folder:
            return None
        if found.size > SIZE_MAX:
            raise StorageError(f"{path} is too large: {found.size:,} bytes")
        line, _, data = (await self._disk.read(path)).partition(b"\n")
        kept = _parse(path, name, version, line, data)
        self._ours.add(name)
        return kept

    async def save(self, name: str, data: bytes, version: int) -> None:
        """Keep data under a name like `peers` or `sessions/1f2e`, instead of what was there."""
        await self._save(name, data, version, 0o644)

    async def forget(self, name: str) -> None:
        """Remove what is kept under a name, if anything is."""
        path = self._file(name)
        with suppress(MissingError):
            await self._disk.remove(path)
            await self._disk.sync(os.path.dirname(path))

    async def names(self, folder: str = "") -> list[str]:
        """What is kept: the names at the top, or those in one folder such as `sessions`."""
        path = self._file(folder) if folder else self.path
        kept = []
        with suppress(MissingError):
            for name in await self._disk.list(path):
                found = await self._disk.stat(f"{path}/{name}")
                if found is None or found.is_folder or name.endswith(TEMPORARY):
                    continue
                if folder or name != LOCK:
                    kept.append(f"{folder}/{name}" if folder else name)
        return kept

    async def _save(self, name: str, data: bytes, version: int, mode: int) -> None:
        if self._lock is None:
            raise UsageError("this home is not open")
        path = self._file(name)
        if name not in self._ours:
            await self._refuse_newer_file(path, name, version)
            await self._disk.make_folder(os.path.dirname(path))
            self._ours.add(name)
        line = f"shoal-home {FORMAT} {name} {version} {crc32(data):08x}\n".encode()
        await self._disk.replace(path, line + data, mode)

    def _file(self, name: str) -> str:
        if not NAME.fullmatch(name) or name == LOCK or name.endswith(TEMPORARY):
            raise UsageError(f"{name!r} cannot be the name of a table")
        return f"{self.path}/{name}"

    async def _refuse_newer(self) -> None:
        """Look at every file before anything is touched."""
        for name in await self.names():
            line = await self._disk.read(f"{self.path}/{name}", 0, LINE_MAX)
            found = LINE.match(line)
            if found and int(found[1]) > FORMAT:
                raise _newer(f"{self.path}/{name}", int(found[1]), FORMAT)

    async def _refuse_newer_file(self, path: str, name: str, version: int) -> None:
        with suppress(MissingError):
            line, _, _ = (await self._disk.read(path, 0, LINE_MAX)).partition(b"\n")
            found = LINE.match(line)
            if found and found[3] and int(found[3]) > version:
                raise _newer(path, int(found[3]), version)

    async def _take_lock(self) -> Lock:
        path = f"{self.path}/{LOCK}"
        try:
            lock = await self._disk.lock(path)
        except LockedError as error:
            holder = (await self._disk.read(path, 0, LINE_MAX)).decode("ascii", "replace").strip()
            raise LockedError(
                f"{self.path} is used by another process" + (f" ({holder})" if holder else "")
            ) from error
        try:
            with suppress(
                StorageError
            ):  # a courtesy to the next one; a full disk has no room for it
                await self._disk.truncate(path, 0)
                await self._disk.write(path, 0, [f"process {os.getpid()}\n".encode()])
        except BaseException:
            lock.release()
            raise
        return lock

    async def _clear(self) -> None:
        """Remove the temporaries of replaces that a crash cut off."""
        for name in await self._disk.list(self.path):
            path = f"{self.path}/{name}"
            found = await self._disk.stat(path)
            if found is not None and found.is_folder:
                files = [f"{path}/{below}" for below in await self._disk.list(path)]
            else:
                files = [path]
            for file in files:
                if file.endswith(TEMPORARY):
                    await self._disk.remove(file)


def _parse(path: str, name: str, version: int, line: bytes, data: bytes) -> Kept:
    found = LINE.match(line)
    if found and int(found[1]) > FORMAT:
        raise _newer(path, int(found[1]), FORMAT)
    if not found or not found[2]:
        raise StorageError(f"{path} is damaged: it does not begin as a file of Shoal does")
    if found[2] != name.encode():
        raise StorageError(f"{path} is damaged: it does not hold {name}")
    if int(found[3]) > version:
        raise _newer(path, int(found[3]), version)
    if int(found[4], 16) != crc32(data):
        raise StorageError(f"{path} is damaged: its checksum does not fit")
    return Kept(int(found[3]), data)


def _newer(path: str, found: int, known: int) -> StorageError:
    return StorageError(
        f"{path} was written by a newer Shoal (version {found}, this one knows {known}): "
        "update Shoal or choose another SHOAL_HOME"
    )
