"""Peers hear at once what changes, and nobody makes us remember more than one message of theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shoal.errors import ResetError
from shoal.net import introduction
from shoal.net.identify import PING, PUSH
from shoal.net.stream import Stream
from shoal.node import Node

Case = Callable[[Node, Node], Awaitable[None]]


def run(case: Case) -> list[dict[str, Any]]:
    """What the loop was told of mistakes."""
    mistakes: list[dict[str, Any]] = []

    async def both() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: mistakes.append(context))
        async with asyncio.timeout(10), Node() as a, Node() as b:
            connection = await a.dial(b.addresses[0])
            await a.introduction.wait(connection)
            other = b.host.connection(a.id)
            assert other is not None
            await b.introduction.wait(other)
            await case(a, b)

    asyncio.run(both())
    return mistakes


async def quiet(stream: Stream) -> None:
    await stream.read()


def test_a_new_protocol_is_pushed_to_who_is_connected() -> None:
    async def case(a: Node, b: Node) -> None:
        assert "/new/1.0.0" not in a.book.protocols(b.id)
        b.handle("/new/1.0.0", quiet)
        while "/new/1.0.0" not in a.book.protocols(b.id):  # noqa: ASYNC110 a push has no event
            await asyncio.sleep(0.01)

    assert run(case) == []


def test_a_second_push_takes_the_place_of_one_that_does_not_end() -> None:
    async def case(a: Node, b: Node) -> None:
        first = await a.open(b.id, PUSH)
        await first.write(b"\x80")
        await asyncio.sleep(0.05)
        second = await a.open(b.id, PUSH)
        await second.write(b"\x80")
        with pytest.raises(ResetError):
            await first.read()
        assert list(map(str, b.introduction._pushing)) == [str(a.id)]
        second.reset()
        await asyncio.sleep(0.05)
        assert b.introduction._pushing == {}

    assert run(case) == []


def test_who_begins_and_says_no_more_is_reset_and_is_no_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(introduction, "PING_IDLE", 0.05)
    monkeypatch.setattr(introduction, "PATIENCE", 0.05)

    async def case(a: Node, b: Node) -> None:
        for protocol in (PING, PUSH):
            stream = await a.open(b.id, protocol)
            await stream.write(b"\x80")
            with pytest.raises(ResetError):
                await stream.readexactly(100)

    assert run(case) == []
