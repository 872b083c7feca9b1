"""A node's contents: shared and fetched by one swarm, which opens when first used.

    transfer = await contents.share("dataset/")     its magnet is transfer.magnet
    transfer = await contents.get(link, "out/")     complete, every piece checked
    async for progress in contents.fetch(link, "out/"): ...

A link is a magnet, an info-hash, a Torrent or a .torrent file.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any

from shoal.errors import ClosedError, NotFoundError, UsageError
from shoal.swarm.candidates import Address
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.service import Swarm
from shoal.swarm.torrent import METAINFO_MAX, Torrent
from shoal.swarm.transfer import Transfer

if TYPE_CHECKING:
    from shoal.disk import Disk

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
        return await (await self.open()).share(path, recipe, progress, up=up)

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
        return await (await self.open()).download(what, into, wish, peers=peers)

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

    async def recognise(self, text: str) -> Magnet | Torrent | None:
        """What this text names, if it is one of ours."""
        if text.lower().startswith("magnet:") or is_hash(text):
            return Magnet.parse(text)
        if text.endswith(".torrent"):
            if await self._disk.stat(text) is None:
                raise NotFoundError(f"there is no file {text}")
            return Torrent.decode(await self._disk.read(text, 0, METAINFO_MAX + 1))
        return None


def is_hash(text: str) -> bool:
    """40 hex digits or 32 of base32: an info-hash alone."""
    hexadecimal = len(text) == 40 and all(each in "0123456789abcdef" for each in text.lower())
    return hexadecimal or (len(text) == 32 and text.isalnum())
