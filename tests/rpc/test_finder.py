"""A service is found through a DHT that knows hosts and ports only."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from shoal.errors import NotFoundError
from shoal.node import Node
from shoal.peer.key import PrivateKey
from shoal.rpc.finder import MainlineFinder, key_of


class Board:
    """A DHT without a network."""

    def __init__(self) -> None:
        self.peers: dict[bytes, list[tuple[str, int]]] = {}

    async def provide(self, key: bytes, what: Any) -> int:
        self.peers.setdefault(key, []).append(("127.0.0.1", what.port))
        return 1

    async def providers(self, key: bytes) -> AsyncIterator[tuple[str, int]]:
        for peer in self.peers.get(key, []):
            yield peer


def make(seed: int) -> Node:
    rng = Random(seed)
    key = PrivateKey.generate(rng)
    return Node(key=key, rng=rng, listen=["/ip4/127.0.0.1/tcp/0"], security=["noise"])


def test_a_service_is_found_dialled_and_called() -> None:
    async def main() -> None:
        board = Board()
        async with asyncio.timeout(15), make(1) as caller, make(2) as server:
            server.service("double")(lambda number: 2 * number)
            for node in (caller, server):
                port = node.addresses[0].port
                assert port is not None
                node.services.finders.append(MainlineFinder(board, lambda port=port: port))
            await server.services.publish()
            board.peers[key_of("double")] += [("127.0.0.1", 1), ("no host/", 1)]
            assert await caller.call("double", 21) == 42
            with pytest.raises(NotFoundError):
                await caller.call("nobody", 1)

    asyncio.run(main())
