"""The receiving side: what somebody sends under a code, into a folder.

    receiver = Receiver(node, "out/", code)
    result = await receiver.get(partial(seek, places, code.number))

meet.py finds the sender, arrive.py keeps what comes.  A connection that breaks is
made anew, and what is here already is compared, not sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shoal.apps.arrive import Arrivals
from shoal.apps.code import Code
from shoal.apps.meet import Meeting, Met, Seek
from shoal.apps.parcel import (
    MESSAGE_MAX,
    Accept,
    Item,
    Offer,
    Plan,
    Received,
    check_plan,
)
from shoal.apps.send import Event
from shoal.apps.talk import expect, refuse, say
from shoal.errors import ClosedError, RefusedError, StorageError
from shoal.net.stream import Stream
from shoal.node import Node

PAUSE = 1.0  # seconds before a broken transfer is taken up again
PATIENCE = 60.0  # seconds for each search


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    paths: list[str]  # the files, where they are now
    size: int  # bytes of the whole parcel
    kept: int  # of them that were here before
    address: str  # of the sender: nobody stands between
    changed: list[str]  # files that the sender could not give, and why


class Receiver:
    """One fetch by a code."""

    def __init__(
        self,
        node: Node,
        folder: str,
        code: Code,
        *,
        accept: Callable[[list[Item]], Awaitable[bool]] | None = None,
        tell: Callable[[Event], None] = lambda event: None,
        patience: float = PATIENCE,
    ) -> None:
        self._node = node
        self._folder = folder
        self._code = code
        self._accept = accept
        self._tell = tell
        self._patience = patience
        self._accepted: list[Item] | None = None
        self._done: dict[Item, str] = {}
        self._here = 0  # bytes

    async def get(self, seek: Seek) -> Result:
        """Find the sender and fetch all of it."""
        while True:
            met = await Meeting(self._node, self._code).find(seek, self._patience)
            self._tell(Event("connected", str(met.address)))
            try:
                async with met.stream:
                    return await self._fetch(met)
            except ClosedError as error:
                if self._accepted is None:
                    raise
                self._tell(Event("lost", str(met.address), reason=str(error)))
                await asyncio.sleep(PAUSE)

    async def _fetch(self, met: Met) -> Result:
        offer: Offer = await expect(met.stream, Offer, MESSAGE_MAX)
        await self._ask(met.stream, offer.items)
        arrivals = Arrivals(
            self._node.disk, self._folder, offer.items, self._done, self._progress(met, offer)
        )
        try:
            return await self._take(met, arrivals)
        except StorageError as error:
            await refuse(met.stream, f"{type(error).__name__} at the receiver")
            raise
        finally:
            await arrivals.aclose()

    async def _ask(self, stream: Stream, items: list[Item]) -> None:
        """Whether it is wanted; once, unless the offer changes."""
        if self._accepted == items:
            return
        if self._accept is not None and not await self._accept(items):
            await refuse(stream, "the receiver does not want it")
            raise RefusedError("you did not want it")
        self._accepted = items

    async def _take(self, met: Met, arrivals: Arrivals) -> Result:
        stream = met.stream
        claims = await arrivals.claims()
        for claim in claims.values():
            await say(stream, claim)
        await say(stream, Accept())
        plan: Plan = await expect(stream, Plan, MESSAGE_MAX)
        check_plan(plan, claims)
        await arrivals.plan(plan.starts)
        kept = self._here = sum(plan.starts.values())
        await arrivals.take(stream)
        await say(stream, Received())
        here = [file.path for file in arrivals.files if file.here]
        return Result(here, arrivals.total, kept, str(met.address), arrivals.changed)

    def _progress(self, met: Met, offer: Offer) -> Callable[[int], None]:
        total = sum(item.size for item in offer.items)

        def moved(count: int) -> None:
            self._here += count
            self._tell(Event("progress", str(met.address), self._here, total))

        return moved
