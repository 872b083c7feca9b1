"""Strangers at the door of a WebSocket server cost little, and not for long."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from tests.net.hostile import Raw, connect
from tests.net.hosts import make_host

from shoal.net.host import Host
from shoal.net.transport import websocket
from shoal.net.transport.websocket import WebSocket

LOOPS: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop]
ASKS = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def run(case: Callable[[Host, int], Awaitable[None]], loop: Any = None) -> list[dict[str, Any]]:
    """What the loop was told of mistakes."""
    mistakes: list[dict[str, Any]] = []

    async def main() -> None:
        running = asyncio.get_running_loop()
        running.set_exception_handler(lambda _, context: mistakes.append(context))
        async with asyncio.timeout(10), make_host(2, [WebSocket()]) as host:
            (address,) = await host.listen("/ip4/127.0.0.1/tcp/0/ws")
            await case(host, address.port or 0)
        await asyncio.sleep(0.05)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    return mistakes


@pytest.mark.parametrize("loop", LOOPS)
def test_who_asks_for_nothing_is_sent_away(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "REQUEST", 0.1)

    async def case(host: Host, port: int) -> None:
        silent = await connect("127.0.0.1", port, Raw)
        slow = await connect("127.0.0.1", port, lambda: Raw(b"GET / HTTP/1.1\r\nHost: "))
        plain = await connect("127.0.0.1", port, lambda: Raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        while not (silent.closed and slow.closed and plain.closed):  # noqa: ASYNC110 no event
            await asyncio.sleep(0.01)

    assert run(case, loop) == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_crowd_at_the_door_keeps_nobody_out(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "WAITING_MAX", 3)

    async def case(host: Host, port: int) -> None:
        crowd = [await connect("127.0.0.1", port, Raw) for _ in range(20)]
        async with make_host(1, [WebSocket()]) as honest:
            assert (await honest.dial(host.addresses[0])).peer == host.id
        assert sum(not pipe.closed for pipe in crowd) <= 3

    assert run(case, loop) == []


def test_who_does_not_answer_the_goodbye_is_no_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "CLOSING", 0.05)

    async def case(host: Host, port: int) -> None:
        pipe = await connect("127.0.0.1", port, lambda: Raw(ASKS))
        while not host.limits.node.used["inbound"]:  # noqa: ASYNC110 no event
            await asyncio.sleep(0.01)
        await host.aclose()
        assert not any(host.limits.node.used.values())
        pipe.transport.abort()

    assert run(case) == []
