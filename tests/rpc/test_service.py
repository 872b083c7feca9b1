"""Services are called over WebSocket and HTTP; what fails, fails at once and says why."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.rpc.names import Names

from shoal.errors import ClosedError, NotFoundError, RefusedError, UnreachableError, UsageError
from shoal.rpc import grenache
from shoal.rpc.client import RpcClient
from shoal.rpc.server import RpcServer
from shoal.sim.loop import SimLoop


def serve(names: Names, says: str = "") -> RpcServer:
    server = RpcServer(names, host="127.0.0.1")  # type: ignore[arg-type]

    @server.service("echo")
    async def echo(payload: Any) -> Any:
        return f"{says}{payload}" if says else payload

    @server.service("fail")
    async def fail(payload: Any) -> Any:
        raise ValueError(f"no {payload}")

    @server.service("slow")
    async def slow(payload: Any) -> Any:
        await asyncio.sleep(payload)

    @server.service("unspeakable")
    async def unspeakable(payload: Any) -> Any:
        return object()

    return server


def run(test: Callable[[Names], Awaitable[None]], loop: str = "asyncio") -> None:
    async def main() -> None:
        async with asyncio.timeout(15):
            await test(Names())

    factory = (lambda: SimLoop(1)) if loop == "sim" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "sim"])
@pytest.mark.parametrize("over", ["auto", "ws", "http"])
def test_a_service_is_found_and_called(over: str, loop: str) -> None:
    async def test(names: Names) -> None:
        async with serve(names), RpcClient(names, over=over) as client:  # type: ignore[arg-type]
            assert await client.request("echo", {"x": [1, "ü"]}) == {"x": [1, "ü"]}
            many = await asyncio.gather(*(client.request("echo", each) for each in range(100)))
            assert many == list(range(100))
            with pytest.raises(RefusedError, match="no bread"):
                await client.request("fail", "bread")
            with pytest.raises(RefusedError, match="not JSON"):
                await client.request("unspeakable")
            with pytest.raises(NotFoundError):
                await client.request("nobody")

    run(test, loop)


def test_requests_and_replies_are_compressed_where_that_is_wanted() -> None:
    async def test(names: Names) -> None:
        async with serve(names), RpcClient(names, over="http", gzip=True) as client:  # type: ignore[arg-type]
            assert await client.request("echo", "x" * 100_000) == "x" * 100_000
            with pytest.raises(RefusedError, match="no bread"):
                await client.request("fail", "bread")

    run(test)


@pytest.mark.parametrize("over", ["ws", "http"])
def test_a_slow_service_times_out_exactly(over: str) -> None:
    async def test(names: Names) -> None:
        async with serve(names), RpcClient(names, over=over) as client:  # type: ignore[arg-type]
            now = asyncio.get_running_loop().time
            begun = now()
            with pytest.raises(TimeoutError):
                await client.request("slow", 60, timeout=2)
            assert 2 <= now() - begun < 2.2

    run(test, "sim")


@pytest.mark.slow
def test_calls_on_a_connection_that_closes_fail_at_once() -> None:
    async def test(names: Names) -> None:
        server = serve(names)
        async with RpcClient(names, over="ws") as client:  # type: ignore[arg-type]
            async with server:
                await client.request("echo", 1)
                slow = asyncio.create_task(client.request("slow", 60))
                await asyncio.sleep(0.1)
            with pytest.raises(ClosedError):
                await slow

    run(test)


@pytest.mark.slow
@pytest.mark.parametrize("over", ["ws", "http"])
def test_when_one_of_two_servers_has_gone_no_call_fails(over: str) -> None:
    async def test(names: Names) -> None:
        async with RpcClient(names, over=over) as client:  # type: ignore[arg-type]
            async with serve(names, "a"):
                async with serve(names, "b"):
                    both = list(names.ports["echo"])
                    assert {await client.request("echo", "") for _ in range(40)} == {"a", "b"}
                names.ports["echo"] = both  # the Grape has not noticed
                for _ in range(20):
                    assert await client.request("echo", "x", idempotent=True) == "ax"
            names.ports["echo"] = both
            with suppress(ClosedError):  # the call that meets the end of the last connection
                await client.request("echo", "x")
            with pytest.raises(UnreachableError) as failure:
                await client.request("echo", "x")
            assert failure.value.reasons

    run(test)


def test_every_instance_is_called_by_map() -> None:
    async def test(names: Names) -> None:
        async with serve(names, "a"), serve(names, "b"), RpcClient(names) as client:  # type: ignore[arg-type]
            assert sorted(await client.map("echo", 1)) == ["a1", "b1"]
            assert len(await client.map("echo", 1, limit=1)) == 1
            with pytest.raises(NotFoundError):
                await client.map("nobody")

    run(test)


def test_garbage_is_answered_and_harms_nobody() -> None:
    async def test(names: Names) -> None:
        async with serve(names) as server, RpcClient(names) as client:  # type: ignore[arg-type]
            assert client._web
            status, body = await client._web.post(f"http://127.0.0.1:{server.port}/", b"junk")
            assert (status, body[:6]) == (200, b"[null,")
            socket = await client._web.socket(f"ws://127.0.0.1:{server.port}/x", limit=1000)
            await socket.send_str("junk")
            assert "ERR_REQUEST_GENERIC" in (await socket.receive()).data
            await socket.close()
            assert await client.request("echo", 5) == 5

    run(test)


@pytest.mark.parametrize("over", ["ws", "http"])
def test_a_caller_that_leaves_has_its_calls_cancelled(over: str) -> None:
    async def test(names: Names) -> None:
        server = RpcServer(names, host="127.0.0.1")  # type: ignore[arg-type]
        ended: asyncio.Queue[str] = asyncio.Queue()

        @server.service("slow")
        async def slow(payload: Any) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ended.put_nowait("cancelled")
                raise

        async with server:
            async with RpcClient(names, over=over) as client:  # type: ignore[arg-type]
                call = asyncio.create_task(client.request("slow"))
                await asyncio.sleep(0.1)
            assert await ended.get() == "cancelled"
            await asyncio.gather(call, return_exceptions=True)

    run(test, "sim")


def test_a_request_that_is_too_long_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grenache, "MESSAGE_MAX", 1000)

    async def test(names: Names) -> None:
        async with serve(names), RpcClient(names, over="http") as client:  # type: ignore[arg-type]
            with pytest.raises((RefusedError, ClosedError)):
                await client.request("echo", "x" * 100_000)
        async with serve(names), RpcClient(names, over="ws") as client:  # type: ignore[arg-type]
            with pytest.raises(ClosedError):
                await client.request("echo", "x" * 100_000)
            assert await client.request("echo", "x") == "x"

    run(test)


def test_mistakes_of_the_user_are_told() -> None:
    async def test(names: Names) -> None:
        with pytest.raises(UsageError):
            RpcClient(names, over="pigeon")  # type: ignore[arg-type]
        server = serve(names)
        with pytest.raises(UsageError):
            server.service("echo")(serve)  # type: ignore[arg-type]
        names.ports["echo"] = [1]
        with pytest.raises(ClosedError):
            await RpcClient(names).request("echo")  # type: ignore[arg-type]

    run(test)
