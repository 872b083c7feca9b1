"""A node's contents: shared and fetched by one swarm, which opens when first used.

    transfer = await contents.share("dataset/")     its magnet is transfer.magnet
    transfer = await contents.get(link, "out/")     complete, every piece checked
    async for progress in contents.fetch(link, "out/"): ...

A link is a magnet, an info-hash, a Torrent or a .torrent file.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from shoal.errors import ClosedError, NotFoundError, UsageError
from shoal.swarm.candidates import Address
from shoal.swarm.entry import FOLDER, PEERS_MAX, Entry
from shoal.swarm.jobs import Job, Jobs
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.service import Swarm
from shoal.swarm.torrent import METAINFO_MAX, Torrent, wire_hashes
from shoal.swarm.transfer import Transfer

if TYPE_CHECKING:
    from shoal.disk import Disk
    from shoal.home import Home

LINKS = "a magnet link, an info-hash, a .torrent file"


class Contents:
    """What a node shares and fetches."""

    def __init__(self, make: Callable[[], Swarm], disk: "Disk", host: str) -> None:
        self._make = make
        self._disk = disk
        self._host = host  # the address to accept peers at
        self._opened: asyncio.Future[Swarm] | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.jobs = Jobs(disk, self._run_entry)

    @property
    def opened(self) -> Swarm | None:
        """The swarm, if it listens already."""
        opened = self._opened
        if opened is None or not opened.done() or opened.cancelled() or opened.exception():
            return None
        return opened.result()

    async def open(self) -> Swarm:
        """The swarm, listening."""
        if self._closing.is_set():
            raise ClosedError("the node has ended")
        if self._running is None or (self._running.done() and not self._closing.is_set()):
            self._opened = asyncio.get_running_loop().create_future()
            self._running = asyncio.create_task(self._run(self._opened))
        assert self._opened is not None
        return await asyncio.shield(self._opened)

    async def _run(self, opened: "asyncio.Future[Swarm]") -> None:
        """One task owns the swarm, whoever uses it."""
        try:
            async with self._make() as swarm:
                await swarm.listen(self._host)
                opened.set_result(swarm)
                await self._closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
            opened.exception()  # whoever opens hears of it; if nobody waits any more, so be it

    async def aclose(self) -> None:
        """Stop all transfers; what they have is kept.  Safe twice."""
        self._closing.set()
        await self.jobs.aclose()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)

    async def share(
        self,
        path: str,
        recipe: Recipe | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        up: float | None = None,
    ) -> Transfer:
        """Make a torrent of a file or folder and serve it for as long as the node lives.

        `up` bounds what it may take of the upload, in bytes a second.
        """
        swarm = await self.open()
        torrent, paths = await swarm.make(path, recipe or Recipe(), progress)
        entry = entry_of(torrent, os.path.dirname(path), Wish(up=up))
        entry.paths = paths
        entry.seen = await self.jobs.look(entry)
        known = self.jobs.all.get(entry.id)
        if known is not None and known.transfer is not None:
            if known.transfer.done.is_set():
                return known.transfer  # it is served already
            raise UsageError("this content is being transferred already")
        return await self.jobs.begin(entry, self._run_entry(entry, True))

    async def begin(
        self,
        link: str | Magnet | Torrent,
        into: str = ".",
        wish: Wish | None = None,
        *,
        peers: Iterable[Address] = (),
    ) -> Transfer:
        """Begin to fetch, or go on where it stopped."""
        what = link if isinstance(link, Magnet | Torrent) else await self.recognise(link)
        if what is None:
            raise UsageError(f"{str(link)[:80]} is not understood: a link is {LINKS}")
        swarm, peers = await self.open(), list(peers)
        entry = entry_of(what, into, wish or Wish())
        entry.peers = peers[:PEERS_MAX]
        known = self.jobs.all.get(entry.id)
        if known is not None and known.transfer is not None:
            refuse_other(known.entry, entry)
            known.transfer.found(peers)
            return known.transfer
        return await self.jobs.begin(entry, swarm.download(what, into, wish, peers=peers))

    async def get(
        self, link: str | Magnet | Torrent, into: str = ".", wish: Wish | None = None, **more: Any
    ) -> Transfer:
        """Fetch all of it; returns when it is complete (and goes on serving if `wish.seed`)."""
        transfer = await self.begin(link, into, wish, **more)
        async for report in transfer.watch():
            if report.state == "stopped" and not transfer.done.is_set():
                raise NotFoundError(f"stopped: {report.waiting or report.problem}")
        await self._settle(transfer)
        return transfer

    async def fetch(
        self, link: str | Magnet | Torrent, into: str = ".", wish: Wish | None = None, **more: Any
    ) -> AsyncIterator[Progress]:
        """Fetch it and tell how far it is, again and again."""
        transfer = await self.begin(link, into, wish, **more)
        async for report in transfer.watch():
            yield report
        await self._settle(transfer)

    async def _settle(self, transfer: Transfer) -> None:
        if not transfer.wish.seed:
            await (await self.open()).wait(transfer)

    # Jobs

    async def keep_in(self, home: "Home") -> None:
        """Go on with the transfers that this home keeps, and keep those that come."""
        await self.jobs.keep_in(home, await home.names(FOLDER))

    async def stop(self, transfer: Transfer) -> None:
        await (await self.open()).stop(transfer)

    async def pause(self, job: Job) -> None:
        """Stop it until it is resumed."""
        await self.jobs.pause(job, self.stop)

    async def remove(self, job: Job) -> None:
        """Stop it for good; its files stay."""
        await self.jobs.remove(job, self.stop)

    async def _run_entry(self, entry: Entry, proven: bool) -> Transfer:
        swarm = await self.open()
        torrent = entry.torrent
        if entry.paths and torrent is not None:
            return swarm.seed(torrent, "", entry.paths, up=entry.up)
        link = Magnet.parse(entry.link) if entry.link else torrent
        if link is None:
            raise UsageError("nothing is known of this transfer")
        return await swarm.download(
            link, entry.folder, entry.wish, peers=entry.peers, torrent=torrent, proven=proven
        )

    async def recognise(self, text: str) -> Magnet | Torrent | None:
        """What this text names, if it is one of ours."""
        if text.lower().startswith("magnet:") or is_hash(text):
            return Magnet.parse(text)
        if text.endswith(".torrent"):
            if await self._disk.stat(text) is None:
                raise NotFoundError(f"there is no file {text}")
            return Torrent.decode(await self._disk.read(text, 0, METAINFO_MAX + 1))
        return None


def entry_of(what: Magnet | Torrent, into: str, wish: Wish) -> Entry:
    known = what if isinstance(what, Torrent) else None
    return Entry(
        id=wire_hashes(what.hash_v1, what.hash_v2)[0].hex(), name=what.name,
        link="" if known else str(what), metainfo=known.encode() if known else b"",
        folder=os.path.abspath(into), select=list(wish.select), sequential=wish.sequential,
        numbers=None if wish.numbers is None else list(wish.numbers), seed=wish.seed,
        down=wish.down, up=wish.up,
    )  # fmt: skip


def refuse_other(known: Entry, asked: Entry) -> None:
    """Who asks again for what is being fetched follows it, if it is the same."""
    if (known.folder, known.select, known.numbers) != (asked.folder, asked.select, asked.numbers):
        where = f", into {known.folder}" if known.folder else ""
        raise UsageError(f"this content is being transferred already{where}")


def is_hash(text: str) -> bool:
    """40 hex digits or 32 of base32: an info-hash alone."""
    hexadecimal = len(text) == 40 and all(each in "0123456789abcdef" for each in text.lower())
    return hexadecimal or (len(text) == 32 and text.isalnum())
