"""The transfers of a node, running or not, and what it remembers of them.

A job is an entry and, while it runs, its transfer.  When jobs are kept in a
home, each change of an entry is saved at once; a node that starts there again
goes on with what ran when it ended, however it ended.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from shoal.errors import NotFoundError, ProtocolError, ShoalError, StorageError, UsageError
from shoal.net.tasks import Tasks
from shoal.swarm.entry import FOLDER, PEERS_MAX, VERSION, Entry
from shoal.swarm.progress import Progress
from shoal.swarm.resume import Seen
from shoal.swarm.storage import look
from shoal.swarm.transfer import Transfer

if TYPE_CHECKING:
    from shoal.disk import Disk

FINISHED_MAX = 100  # complete and not served: the oldest are forgotten
log = logging.getLogger(__name__)


class Saved(Protocol):
    """Where entries are kept; a Home is one."""

    async def load(self, name: str, version: int) -> Any: ...

    async def save(self, name: str, data: bytes, version: int) -> None: ...

    async def forget(self, name: str) -> None: ...


@dataclass(eq=False)
class Job:
    """A transfer as its owner sees it."""

    entry: Entry
    transfer: Transfer | None = None  # while it runs
    problem: str = ""  # why it does not
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)

    def progress(self) -> Progress:
        if self.transfer is not None:
            return self.transfer.progress()
        return self.entry.report(self.problem)


class Jobs:
    """All jobs by their id; `run` puts an entry to work."""

    def __init__(self, disk: "Disk", run: Callable[[Entry, bool], Awaitable[Transfer]]) -> None:
        self.all: dict[str, Job] = {}
        self._disk = disk
        self._run = run
        self._saved: Saved | None = None
        self._tasks = Tasks()

    def find(self, text: str) -> Job:
        """By its id, the beginning of that, or its name."""
        named = [job for job in self.all.values() if job.progress().name == text]
        begun = [job for key, job in self.all.items() if key.startswith(text.lower())]
        found = named or begun
        if not found or not text:
            error = NotFoundError(f"there is no transfer {text[:80]!r}")
            error.advice = "`shoal transfers` lists them"
            raise error
        if len(found) > 1:
            raise UsageError(f"{len(found)} transfers begin with {text}: write more of the id")
        return found[0]

    async def keep_in(self, saved: Saved, names: Iterable[str]) -> None:
        """Go on with what is kept there, and keep what comes."""
        self._saved = saved
        for name in names:
            try:
                kept = await saved.load(name, VERSION)
                entry = Entry.decode(kept.data)
                _ = entry.torrent  # it has to be one
            except (StorageError, ProtocolError, UsageError) as error:  # also a stranger's file
                log.warning("a transfer is left out: %s", error)
                continue
            self.all[entry.id] = job = Job(entry)
            if not (entry.paused or entry.finished):
                await self.start(job)

    async def begin(self, entry: Entry, start: Awaitable[Transfer]) -> Transfer:
        """A new job whose transfer starts now."""
        transfer = await start
        self.all[entry.id] = job = Job(entry)
        self._attend(job, transfer)
        await self._save(job)
        return transfer

    async def start(self, job: Job) -> None:
        """Put it to work; what prevents that is its problem."""
        entry = job.entry
        proven = bool(entry.seen) and entry.seen == await self.look(entry)
        if entry.paths and not proven:
            job.problem = "its files changed since they were shared: share them again"
            return
        try:
            self._attend(job, await self._run(entry, proven))
        except ShoalError as error:
            job.problem = str(error)
            log.warning("%s does not go on: %s", entry.name or entry.id, error)

    async def pause(self, job: Job, stop: Callable[[Transfer], Awaitable[None]]) -> None:
        job.entry.paused = True
        if job.transfer is not None:
            transfer, job.transfer = job.transfer, None
            job.entry.note(transfer.progress())
            await stop(transfer)
        await self._save(job)

    async def resume(self, job: Job) -> None:
        """Start what is paused, stopped or complete; nothing if it runs."""
        if job.transfer is None:
            job.entry.paused = job.entry.finished = False
            job.problem = ""
            await self.start(job)
            await self._save(job)

    async def limit(self, job: Job, down: float | None, up: float | None) -> None:
        job.entry.down, job.entry.up = down, up
        if job.transfer is not None:
            job.transfer.limit(down, up)
        await self._save(job)

    async def remove(self, job: Job, stop: Callable[[Transfer], Awaitable[None]]) -> None:
        """Forget it; its files stay."""
        self.all.pop(job.entry.id, None)
        if job.transfer is not None:
            await stop(job.transfer)
        async with job.saving:
            if self._saved is not None:
                await self._saved.forget(f"{FOLDER}/{job.entry.id}")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    # What is remembered

    def _attend(self, job: Job, transfer: Transfer) -> None:
        job.transfer, job.problem = transfer, ""
        _ = self._tasks.start(self._follow(job, transfer), f"job {job.entry.id}")

    async def _follow(self, job: Job, transfer: Transfer) -> None:
        """Note what is learned, until it ends."""
        noting = self._tasks.start(self._note(job, transfer), "notes")
        try:
            await transfer.ended.wait()
        finally:
            noting.cancel()
            with suppress(asyncio.CancelledError, ShoalError):
                await noting
        if job.transfer is transfer:
            job.transfer = None
        entry = job.entry
        entry.note(transfer.progress())
        entry.metainfo = entry.metainfo or metainfo_of(transfer)
        entry.finished = transfer.done.is_set() and not (entry.seed or entry.paths)
        if transfer.failure is not None:
            job.problem = str(transfer.failure)
        await self._save(job)
        await self._forget_oldest()

    async def _note(self, job: Job, transfer: Transfer) -> None:
        await transfer.known.wait()
        job.entry.metainfo = job.entry.metainfo or metainfo_of(transfer)
        known = dict.fromkeys([*job.entry.peers, *transfer.candidates.good])
        job.entry.peers = list(known)[:PEERS_MAX]
        await self._save(job)
        await transfer.done.wait()
        job.entry.metainfo = metainfo_of(transfer)  # with the piece layers that came since
        exchange, storage = transfer.exchange, transfer.storage
        if exchange is not None and storage is not None and exchange.have.complete:
            job.entry.seen = await storage.look()
        job.entry.note(transfer.progress())
        await self._save(job)

    async def _forget_oldest(self) -> None:
        finished = [job for job in self.all.values() if job.entry.finished and not job.transfer]
        for job in finished[:-FINISHED_MAX]:
            await self.remove(job, lambda transfer: asyncio.sleep(0))

    async def _save(self, job: Job) -> None:
        async with job.saving:
            if self._saved is None or self.all.get(job.entry.id) is not job:
                return
            try:
                await self._saved.save(f"{FOLDER}/{job.entry.id}", job.entry.encode(), VERSION)
            except StorageError as error:  # it runs on, and is saved at its next change
                log.warning("a transfer cannot be remembered: %s", error)

    async def look(self, entry: Entry) -> list[Seen]:
        """How the files of a content look now."""
        torrent = entry.torrent
        files = torrent.layout.files if torrent is not None else []
        paths = entry.paths or [os.path.join(entry.folder, *file.path) for file in files]
        if len(paths) != len(files):  # a damaged entry: as if nothing were there
            return []
        return await look(self._disk, files, paths)


def metainfo_of(transfer: Transfer) -> bytes:
    return transfer.metainfo if transfer.torrent is not None else b""
