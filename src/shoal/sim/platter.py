"""What lies on a simulated disk, and what of it a power cut leaves.

A `File` keeps its bytes in sparse pages; a `Folder` keeps names.  Both remember
what changed since they were last synced.  A crash takes them back to the synced
state and then lets some of the changes happen after all: none, all, the first
few, or any.  Content is torn at sectors, names change one by one, and content
and names know nothing of each other, as POSIX allows: a rename may come through
while the bytes of the file do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TypeVar

from shoal.errors import MissingError, StorageError

SECTOR = 512  # bytes that a disk writes whole or not at all
PAGE = 16384  # bytes kept together; small enough for sparse files, large enough for speed
PENDING_MAX = 64 * 2**20  # unsynced bytes of a file, then the kernel writes them by itself
CHANGES_MAX = 10_000  # unsynced names, likewise

Item = TypeVar("Item")


def survivors(rng: Random, items: Sequence[Item]) -> list[Item]:
    """Of what was not synced: nothing, everything, the first few, or any."""
    fate = rng.randrange(4)
    if fate == 0:
        return []
    if fate == 1:
        return list(items)
    if fate == 2:
        return list(items[: rng.randrange(len(items) + 1)])
    return [item for item in items if rng.random() < 0.5]


class File:
    """Bytes, of which the unsynced may be lost."""

    def __init__(self) -> None:
        self.size = 0
        self.mtime = 0.0
        self.room = 0  # bytes taken on the disk; holes take none
        self._pages: dict[int, bytearray] = {}  # short or missing where nothing was written
        self._synced_size = 0
        self._before: dict[int, bytes] = {}  # pages touched since the sync, as they were
        self._pending: list[tuple[int, bytes | None]] = []  # (offset, data) or (size, None)
        self._pending_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        end = min(self.size, offset + length)
        parts = []
        while offset < end:
            number, start = divmod(offset, PAGE)
            stop = min(PAGE, start + end - offset)
            part = bytes(self._pages.get(number, b"")[start:stop])
            parts.append(part.ljust(stop - start, b"\0"))
            offset += stop - start
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        self._pending.append((offset, data))
        self._pending_bytes += len(data)
        self._put(offset, data)
        if self._pending_bytes > PENDING_MAX:
            self.sync()

    def truncate(self, size: int) -> None:
        self._pending.append((size, None))
        self._cut(size)

    def holes(self, size: int) -> list[tuple[int, int]]:
        """What takes no room below `size`: offsets and lengths, each within a page."""
        found = []
        for at in range(0, size, PAGE):
            there = len(self._pages.get(at // PAGE, b""))
            if there < min(PAGE, size - at):
                found.append((at + there, min(PAGE, size - at) - there))
        return found

    def sync(self) -> None:
        self._synced_size = self.size
        self._before.clear()
        self._pending.clear()
        self._pending_bytes = 0

    def crash(self, rng: Random) -> None:
        pending = self._pending
        self._go_back()
        for offset, data in survivors(rng, [piece for one in pending for piece in _torn(*one)]):
            if data is None:
                self._cut(offset)
            else:
                self._put(offset, data)
        self.sync()

    def _go_back(self) -> None:
        """Make it what it was when it was last synced."""
        for number, page in self._before.items():
            self._pages[number] = bytearray(page)
        self.size = self._synced_size
        self.room = sum(map(len, self._pages.values()))
        self._pending = []

    def _page(self, number: int) -> bytearray:
        page = self._pages.setdefault(number, bytearray())
        self._before.setdefault(number, bytes(page))
        return page

    def _put(self, offset: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            number, start = divmod(offset, PAGE)
            part = rest[: PAGE - start]
            page = self._page(number)
            self.room -= len(page)
            page.extend(bytes(max(0, start - len(page))))
            page[start : start + len(part)] = part
            self.room += len(page)
            rest = rest[len(part) :]
            offset += len(part)
        self.size = max(self.size, offset)

    def _cut(self, size: int) -> None:
        if size < self.size:
            last, keep = divmod(size, PAGE)
            for number in [number for number in self._pages if number >= last]:
                page = self._page(number)
                self.room -= len(page)
                del page[keep if number == last else 0 :]
                self.room += len(page)
        self.size = size


def _torn(offset: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    """A change as the sectors that reach the disk one by one."""
    if not data:
        return [(offset, data)]
    edges = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    return [(offset + start, data[start:end]) for start, end in pairwise(edges) if start < end]


class Folder:
    """Names, of which the unsynced may be lost."""

    def __init__(self) -> None:
        self.entries: dict[str, File | Folder] = {}
        self.synced: dict[str, File | Folder] = {}
        self.mtime = 0.0


@dataclass(slots=True)
class Change:
    """Names that change together: one made or removed, or both of a rename."""

    edits: list[tuple[Folder, str, File | Folder | None]]


@dataclass(slots=True)
class Tree:
    """All folders of one disk.  Paths are absolute, `/` between the names."""

    root: Folder = field(default_factory=Folder)
    _changes: list[Change] = field(default_factory=list)

    def find(self, path: str) -> File | Folder | None:
        node: File | Folder | None = self.root
        for name in _names(path):
            node = node.entries.get(name) if isinstance(node, Folder) else None
        return node

    def file(self, path: str) -> File:
        node = self.find(path)
        if isinstance(node, Folder):
            raise StorageError("Is a directory")
        if node is None:
            raise MissingError("No such file or directory")
        return node

    def folder(self, path: str) -> Folder:
        node = self.find(path)
        if isinstance(node, File):
            raise MissingError("Not a directory")
        if node is None:
            raise MissingError("No such file or directory")
        return node

    def make_file(self, path: str) -> File:
        """The file at `path`, made if there is none."""
        if self.find(path) is None:
            folder, name = self._place(path)
            self._change((folder, name, File()))
        return self.file(path)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it; they stay."""
        node = self.root
        for name in _names(path):
            below = node.entries.get(name)
            if isinstance(below, File):
                raise StorageError("a file has that name")
            if below is None:
                below = node.entries[name] = node.synced[name] = Folder()
            node = below

    def rename(self, old: str, new: str) -> None:
        node = self.find(old)
        if node is None:
            raise MissingError("No such file or directory")
        here, there = self._place(old), self._place(new)
        self._check_rename(node, old, new)
        self._change((*here, None), (*there, node))

    def _check_rename(self, node: File | Folder, old: str, new: str) -> None:
        there = self.find(new)
        if isinstance(node, Folder):
            if _names(new)[: len(_names(old))] == _names(old) and there is not node:
                raise StorageError("Invalid argument")  # into itself
            if isinstance(there, File):
                raise MissingError("Not a directory")
            if there is not None and there is not node and there.entries:
                raise StorageError("Directory not empty")
        elif isinstance(there, Folder):
            raise StorageError("Is a directory")

    def remove(self, path: str) -> None:
        node = self.find(path)
        if node is None:
            raise MissingError("No such file or directory")
        if isinstance(node, Folder) and node.entries:
            raise StorageError("Directory not empty")
        self._change((*self._place(path), None))

    def sync(self, path: str) -> None:
        node = self.find(path)
        if node is None:
            raise MissingError("No such file or directory")
        if isinstance(node, File):
            node.sync()
            return
        node.synced = dict(node.entries)
        for change in self._changes:
            change.edits = [edit for edit in change.edits if edit[0] is not node]
        self._changes = [change for change in self._changes if change.edits]

    def crash(self, rng: Random) -> None:
        for change in survivors(rng, self._changes):
            _settle(change)
        self._changes.clear()
        met: set[int] = set()  # a file half moved has two names
        waiting: list[File | Folder] = [self.root]
        for node in waiting:
            if id(node) in met:
                continue
            met.add(id(node))
            if isinstance(node, File):
                node.crash(rng)
            else:
                node.entries = dict(node.synced)
                waiting.extend(node.entries.values())

    def room(self) -> int:
        """Bytes taken by all files."""
        total = 0
        waiting: list[File | Folder] = [self.root]
        for node in waiting:
            if isinstance(node, File):
                total += node.room
            else:
                waiting.extend(node.entries.values())
        return total

    def _place(self, path: str) -> tuple[Folder, str]:
        *above, name = _names(path)
        return self.folder("/".join(above)), name

    def _change(self, *edits: tuple[Folder, str, File | Folder | None]) -> None:
        for folder, name, node in edits:
            _set(folder.entries, name, node)
        self._changes.append(Change(list(edits)))
        if len(self._changes) > CHANGES_MAX:
            _settle(self._changes.pop(0))


def _settle(change: Change) -> None:
    for folder, name, node in change.edits:
        _set(folder.synced, name, node)


def _set(entries: dict[str, File | Folder], name: str, node: File | Folder | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
