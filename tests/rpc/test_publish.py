"""What is published reaches all who listen; a publisher that goes is replaced by another."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.rpc.names import Names

from shoal.errors import UnreachableError
from shoal.net.web import Web
from shoal.rpc import publish
from shoal.rpc.publish import Publisher, Subscriber
from shoal.sim.loop import SimLoop


def run(test: Callable[[Names], Awaitable[None]], loop: str = "asyncio") -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await test(Names())

    factory = (lambda: SimLoop(1)) if loop == "sim" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


async def hear(names: Names, messages: "asyncio.Queue[str | bytes]") -> None:
    async with Subscriber(names, "news") as news:  # type: ignore[arg-type]
        async for message in news:
            await messages.put(message)


async def listened(publisher: Publisher, count: int) -> None:
    for _ in range(1000):
        if publisher.subscribers == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{publisher.subscribers} subscribers, not {count}")


@pytest.mark.parametrize("loop", ["asyncio", "sim"])
def test_everybody_hears_texts_and_bytes_in_order(loop: str) -> None:
    async def test(names: Names) -> None:
        messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        async with Publisher(names, "news", host="127.0.0.1") as publisher:  # type: ignore[arg-type]
            listeners = [asyncio.create_task(hear(names, messages)) for _ in range(2)]
            await listened(publisher, 2)
            assert publisher.publish("hello") == 2
            assert [await messages.get(), await messages.get()] == ["hello", "hello"]
            publisher.publish(b"\x00\x01")
            assert await messages.get() == b"\x00\x01"
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)

    run(test, loop)


def test_a_subscriber_finds_the_next_publisher() -> None:
    async def test(names: Names) -> None:
        messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        listener = asyncio.create_task(hear(names, messages))
        for word in ("first", "second"):
            async with Publisher(names, "news", host="127.0.0.1") as publisher:  # type: ignore[arg-type]
                await listened(publisher, 1)
                publisher.publish(word)
                assert await messages.get() == word
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)

    run(test, "sim")


def test_one_that_does_not_read_is_let_go_and_costs_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish, "WAITING_MAX", 10)

    async def test(names: Names) -> None:
        web = Web()
        async with Publisher(names, "news", host="127.0.0.1") as publisher:  # type: ignore[arg-type]
            address = (await names.lookup("news"))[0]
            socket = await web.socket(f"ws://{address}/ws", limit=1000)
            await listened(publisher, 1)
            for _ in range(100):
                publisher.publish("x")
            queue = next(iter(publisher._queues.values()))
            assert queue.qsize() <= 11
            await listened(publisher, 0)
            await socket.close()
        await web.aclose()

    run(test, "sim")


def test_who_is_no_subscriber_is_told() -> None:
    async def test(names: Names) -> None:
        web = Web()
        async with Publisher(names, "news", host="127.0.0.1") as publisher:  # type: ignore[arg-type]
            assert (await web.get(f"http://127.0.0.1:{publisher.port}/"))[0] == 426
        with pytest.raises(UnreachableError):
            await web.get(f"http://127.0.0.1:{publisher.port}/")
        await publisher.aclose()
        await web.aclose()

    run(test)
