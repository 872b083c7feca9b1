"""A stream hands over what arrives, as it arrives, without waking a task."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.net.hosts import make_host

from shoal.errors import ProtocolError, ResetError
from shoal.net.stream import Stream

BLOCK = bytes(600_000)  # more than a window takes
Handler = Callable[[Stream], Awaitable[None]]


def between(handler: Handler, talk: Handler) -> None:
    """`handler` serves one stream, `talk` has the other end."""

    async def run() -> None:
        async with asyncio.timeout(15), make_host(1) as a, make_host(2) as b:
            b.handle("/listen", handler)
            await b.listen("/ip4/127.0.0.1/tcp/0")
            await talk(await a.open(b.addresses, "/listen"))

    asyncio.run(run())


def test_what_came_before_and_what_comes_is_heard_in_order_until_the_end() -> None:
    heard = bytearray()
    ended = asyncio.Event()

    async def handler(stream: Stream) -> None:
        await stream.read(1)
        await asyncio.sleep(0.01)
        await stream.listen(lambda data: heard.extend(data))
        ended.set()

    async def talk(stream: Stream) -> None:
        for number in range(50):
            await stream.write(bytes([number]) * 5000)
            await asyncio.sleep(0)
        await stream.close_write()
        await ended.wait()

    between(handler, talk)
    assert heard == b"".join(bytes([number]) * 5000 for number in range(50))[1:]


def test_an_error_of_the_listener_resets_the_stream() -> None:
    ends: list[Exception] = []

    def refuse(data: memoryview) -> None:
        raise ProtocolError("not like that")

    async def handler(stream: Stream) -> None:
        try:
            await stream.listen(refuse)
        except ProtocolError as error:
            ends.append(error)

    async def talk(stream: Stream) -> None:
        await stream.write(b"x")
        with pytest.raises(ResetError):
            await stream.read()

    between(handler, talk)
    assert [str(error) for error in ends] == ["not like that"]


def test_in_turn_nothing_is_heard_while_answers_wait() -> None:
    heard: list[int] = []

    async def handler(stream: Stream) -> None:
        def answer(data: memoryview) -> None:
            heard.append(len(data))
            stream.post(BLOCK)

        await stream.listen(answer, in_turn=True)

    async def talk(stream: Stream) -> None:
        for _ in range(5):
            await stream.write(b"x")
            await asyncio.sleep(0.02)
        assert heard == [1]
        await stream.readexactly(len(BLOCK))
        await stream.readexactly(len(BLOCK))  # the four that waited came together
        assert heard == [1, 4]

    between(handler, talk)


def test_what_is_said_at_once_arrives() -> None:
    async def handler(stream: Stream) -> None:
        await stream.listen(lambda data: stream.post(bytes(data), at_once=True))

    async def talk(stream: Stream) -> None:
        for size in (1, 1000, 300_000):
            stream.post(bytes(size), at_once=True)
            assert await stream.readexactly(size) == bytes(size)

    between(handler, talk)
