"""Trackers are asked, heard, gone round when dead, and told when we finish and leave."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from urllib.request import urlopen

import pytest

from shoal.discovery.compact import Address
from shoal.discovery.index import Index
from shoal.discovery.service import Trackers
from shoal.discovery.tracker import Announce
from shoal.discovery.tracker_server import Tracker, TrackerServer
from shoal.errors import UnreachableError

HASH = b"h" * 20


async def fetch(url: str) -> bytes:
    def get() -> bytes:
        with urlopen(url, timeout=10) as reply:
            body: bytes = reply.read()
            return body

    try:
        return await asyncio.to_thread(get)
    except OSError as error:
        raise UnreachableError(str(error)) from error


class Swarm:
    """One member: what it tells trackers, and whom they named."""

    def __init__(self, port: int, left: int) -> None:
        self.port = port
        self.left = left
        self.events: list[str] = []
        self.peers: asyncio.Queue[list[Address]] = asyncio.Queue()

    def describe(self, event: str) -> Announce:
        self.events.append(event)
        return Announce(HASH, b"-SH-%016d" % self.port, self.port, left=self.left, event=event)

    def trackers(self, *urls: str) -> Trackers:
        return Trackers(
            [[url] for url in urls],
            self.describe,
            self.peers.put_nowait,
            rng=random.Random(1),
            fetch=fetch,
            allows=lambda host: host == "127.0.0.1",
        )


async def member(swarm: Swarm, *urls: str) -> tuple[Trackers, "asyncio.Task[None]"]:
    trackers = swarm.trackers(*urls)
    return trackers, asyncio.create_task(trackers.run())


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def with_tracker(test: Callable[[Tracker, int], Awaitable[None]]) -> None:
    async def main() -> None:
        tracker = Tracker(Index(), random.Random(2))
        async with TrackerServer(tracker) as server, asyncio.timeout(15):
            await test(tracker, server.port)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_the_second_hears_of_the_first_and_leaving_is_told(kind: str) -> None:
    async def test(tracker: Tracker, port: int) -> None:
        url = f"{kind}://127.0.0.1:{port}/announce"
        first, second = Swarm(7001, left=9), Swarm(7002, left=0)
        one, running = await member(first, url)
        assert await first.peers.get() == []
        _, other = await member(second, url)
        assert await second.peers.get() == [("127.0.0.1", 7001)]
        first.left = 0
        one.completed()
        await first.peers.get()
        assert tracker.index.entries[HASH].downloaded == 1
        await end(running)
        await one.stop()
        assert list(tracker.index.entries[HASH].owners) == [("127.0.0.1", 7002)]
        assert first.events == ["started", "completed", "stopped"]
        await end(other)

    with_tracker(test)


def test_dead_and_forbidden_trackers_are_gone_round() -> None:
    async def test(tracker: Tracker, port: int) -> None:
        swarm = Swarm(7001, left=9)
        trackers, running = await member(
            swarm,
            "http://127.0.0.1:1/announce",
            "udp://10.0.0.1:1/announce",
            "wss://127.0.0.1:1/",
            "http:///nohost",
            "http://[nohost/announce",
            f"http://127.0.0.1:{port}/announce",
        )
        assert await swarm.peers.get() == []
        assert "named 0 peers" in trackers.waiting
        await end(running)

    with_tracker(test)


def test_a_tracker_that_refuses_is_quoted() -> None:
    async def test(tracker: Tracker, port: int) -> None:
        tracker.index.keys_max = 0
        trackers, running = await member(Swarm(7001, 9), f"http://127.0.0.1:{port}/announce")
        for _ in range(1000):
            if "full" in trackers.waiting:
                break
            await asyncio.sleep(0.01)
        assert "full" in trackers.waiting
        await end(running)
        await trackers.stop()

    with_tracker(test)
    asyncio.run(Swarm(1, 1).trackers().run())  # without trackers it ends at once
