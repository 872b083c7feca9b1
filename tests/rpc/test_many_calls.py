"""Calls leave nothing behind: 20,000 of them, or as many as SHOAL_TEST_CALLS says."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
import uvloop
from tests.rpc.names import Names

from shoal.node import Node
from shoal.peer.key import PrivateKey
from shoal.rpc.client import RpcClient
from shoal.rpc.server import RpcServer

CALLS = int(os.environ.get("SHOAL_TEST_CALLS", "20000"))  # 1000000 for a long run
AT_ONCE = 100
OBJECTS = 500  # more that may be there after the second half: caches, a timer's heap

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20 + CALLS / 1000)]


async def call_many(call: Callable[[int], Awaitable[Any]], calls: int = CALLS) -> None:
    """Half of the calls, then the other half, which must leave no more objects and tasks."""

    async def some() -> None:
        for _ in range(calls // 2 // AT_ONCE):
            assert await asyncio.gather(*map(call, range(AT_ONCE))) == list(range(AT_ONCE))

    await some()
    before = count()
    await some()
    after = count()
    assert after - before < OBJECTS
    assert len(asyncio.all_tasks()) < AT_ONCE + 30  # HTTP has a connection for each at once


def count() -> int:
    gc.collect()
    return len(gc.get_objects())


def make(seed: int) -> Node:
    rng = Random(seed)
    key = PrivateKey.generate(rng)
    return Node(key=key, rng=rng, listen=["/ip4/127.0.0.1/tcp/0"], security=["noise"])


def test_between_nodes() -> None:
    async def main() -> None:
        async with make(1) as caller, make(2) as server:
            server.service("plain")(lambda value: value)
            await caller.dial(server.addresses[0])
            await call_many(lambda value: caller.call("plain", value))
            line = next(iter(caller.services._lines.values()))
            assert len(line._pending) == 0
            assert len(line._pending._heap) < 400

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("over", ["ws", "http"])
def test_of_grenache(over: str) -> None:
    async def main() -> None:
        names: Any = Names()
        server = RpcServer(names, host="127.0.0.1")
        server.service("plain")(lambda value: value)
        async with server, RpcClient(names, over=over) as client:
            calls = CALLS // 10 if over == "http" else CALLS  # ten times as slow
            await call_many(lambda value: client.request("plain", value), calls)
            assert len(client._pending) == 0
            assert len(client._pending._heap) < 400

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
