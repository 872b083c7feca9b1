"""A node's DHTs: one for each network that it was given, opened when first used.

Every method is that of `Dht`, with the network as a further choice; without one
the node's first network answers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

from shoal.dht.service import Dht
from shoal.dht.table import Contact
from shoal.errors import ClosedError, UsageError


@dataclass(frozen=True, slots=True)
class Network:
    """How one network's DHT is opened, and how it stores a plain value.

    `put(dht, value, salt, signed)` gives the key, `get(dht, key, salt)` the value.
    """

    open: Callable[[], AbstractAsyncContextManager[Dht]]
    put: Callable[[Dht, bytes, bytes, bool], Awaitable[bytes]]
    get: Callable[[Dht, bytes, bytes], Awaitable[bytes]]


class Networks:
    """`node.dht`."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self.networks = networks  # the first one is asked by default
        self._opening: dict[str, asyncio.Task[Dht]] = {}
        self._opened = AsyncExitStack()
        self._closed = False

    async def open(self, network: str | None = None) -> Dht:
        """The DHT of a network; it joins those of its bootstrap nodes that answer."""
        name = self._name(network)
        opening = self._opening.get(name)
        if opening is None or (opening.done() and opening.exception()):
            context = self.networks[name].open()
            entering = self._opened.enter_async_context(context)
            opening = self._opening[name] = asyncio.ensure_future(entering)
        return await asyncio.shield(opening)

    @property
    def opened(self) -> dict[str, Dht]:
        """Those that are open."""
        done = {name: task for name, task in self._opening.items() if task.done()}
        fine = {k: task for k, task in done.items() if not (task.cancelled() or task.exception())}
        return {name: task.result() for name, task in fine.items()}

    async def aclose(self) -> None:
        """Leave; safe twice."""
        self._closed = True
        for opening in self._opening.values():
            if not opening.done():
                opening.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        await self._opened.aclose()

    async def find_peer(self, peer_id: bytes, *, network: str | None = None) -> Contact:
        return await (await self.open(network)).find_peer(peer_id)

    async def closest(self, key: bytes, *, network: str | None = None) -> list[Contact]:
        return await (await self.open(network)).closest(key)

    async def providers(self, key: bytes, *, network: str | None = None) -> AsyncIterator[Any]:
        async for provider in (await self.open(network)).providers(key):
            yield provider

    async def provide(
        self, key: bytes, what: Any, *, keep: bool = True, network: str | None = None
    ) -> int:
        return await (await self.open(network)).provide(key, what, keep=keep)

    async def get(self, key: bytes, argument: Any = None, *, network: str | None = None) -> Any:
        return await (await self.open(network)).get(key, argument)

    async def put(self, record: Any, *, keep: bool = True, network: str | None = None) -> int:
        return await (await self.open(network)).put(record, keep=keep)

    async def put_value(
        self, value: bytes, *, salt: bytes = b"", signed: bool = False, network: str | None = None
    ) -> bytes:
        """Store plain bytes, under their hash or signed by our key; the key."""
        how = self.networks[self._name(network)]
        return await how.put(await self.open(network), value, salt, signed)

    async def get_value(
        self, key: bytes, *, salt: bytes = b"", network: str | None = None
    ) -> bytes:
        how = self.networks[self._name(network)]
        return await how.get(await self.open(network), key, salt)

    def _name(self, network: str | None) -> str:
        if self._closed:
            raise ClosedError("the node has ended")
        name = network or next(iter(self.networks), "")
        if name not in self.networks:
            known = ", ".join(self.networks) or "none"
            raise UsageError(f"{name or 'no DHT'} is not among this node's DHTs: {known}")
        return name
