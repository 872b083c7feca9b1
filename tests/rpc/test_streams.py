"""Streams carry bytes both ways at once, end with whoever leaves and say what went wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.rpc.names import Names

from shoal.errors import ClosedError, NotFoundError, RefusedError, UnreachableError, UsageError
from shoal.rpc import grenache, server as server_module, streams
from shoal.rpc.client import RpcClient
from shoal.rpc.server import RpcServer
from shoal.rpc.streams import CallStream, ServedStream
from shoal.sim.loop import SimLoop

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "sim"])
Case = Callable[[RpcClient, RpcServer, Any], Awaitable[None]]


def run(case: Case, loop: str = "sim") -> None:
    async def main() -> None:
        names: Any = Names()
        server = RpcServer(names, host="127.0.0.1")
        async with asyncio.timeout(1000 if loop == "sim" else 15):
            async with offer(server), RpcClient(names) as client:
                await case(client, server, names)

    factory = (lambda: SimLoop(1)) if loop == "sim" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def offer(server: RpcServer) -> RpcServer:
    @server.stream("echo")
    async def echo(stream: ServedStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())

    @server.stream("about")
    async def about(stream: ServedStream) -> None:
        own = stream.headers.get("x-own")
        text = f"{stream.action} {stream.arguments} {own} {stream.caller.host}"
        await stream.write(text.encode())

    @server.stream("fail")
    async def fail(stream: ServedStream) -> None:
        while data := await stream.read():
            await stream.write(data)
        raise ValueError("ERR_ON_PURPOSE")

    @server.stream("deaf")
    async def deaf(stream: ServedStream) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    @server.stream("endless")
    async def endless(stream: ServedStream) -> None:
        while True:
            await stream.write(bytes(50_000))
            ended.append("written")

    @server.service("whole")
    async def whole(payload: Any) -> Any:
        return payload

    ended: list[str] = []
    server.ended = ended  # type: ignore[attr-defined]
    return server


async def rest(stream: CallStream) -> bytes:
    data = b""
    while some := await stream.read():
        data += some
    return data


async def fill(stream: CallStream, data: bytes) -> None:
    while True:
        await stream.write(data)


@LOOPS
def test_bytes_flow_both_ways_at_once(loop: str) -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        async with client.stream("echo") as stream:
            for word in (b"one", b"two"):
                await stream.write(word)
                assert await stream.read() == word.upper()
            await stream.close_write()
            assert await stream.read() == b""
        big = bytes(range(256)) * 4000
        async with client.stream("echo") as stream:

            async def send() -> None:
                await stream.write(big)
                await stream.close_write()

            sending = asyncio.create_task(send())
            assert await rest(stream) == big.upper()
            await sending

    run(case, loop)


def test_an_action_its_arguments_and_own_headers_arrive() -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        own = {"x-own": [1]}
        async with client.stream("about", action="up", arguments={"ü": 1}, headers=own) as stream:
            assert await rest(stream) == "up {'ü': 1} [1] 127.0.0.1".encode()
        async with client.stream("about") as stream:
            assert await rest(stream) == b" {} None 127.0.0.1"
        for wrong in ({"action": "ü"}, {"action": "a\r\nb: c"}, {"arguments": object()}):
            with pytest.raises(UsageError):
                async with client.stream("about", **wrong):  # type: ignore[arg-type]
                    pass
        with pytest.raises(UsageError):
            async with client.stream("about", headers={"x": "y" * grenache.HEADER_MAX}):
                pass

    run(case)


def test_a_failure_is_told_or_cuts_what_was_begun() -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        async with client.stream("fail") as stream:
            await stream.close_write()
            with pytest.raises(RefusedError, match="ERR_ON_PURPOSE"):
                await rest(stream)
        async with client.stream("fail") as stream:
            await stream.write(b"some")
            assert await stream.read() == b"some"
            await stream.close_write()
            with pytest.raises(ClosedError):
                await rest(stream)
        names.ports["nobody"] = names.ports["echo"]
        async with client.stream("nobody") as stream:
            await stream.close_write()
            with pytest.raises(RefusedError, match="ERR_SERVICE_NOTFOUND"):
                await stream.read()

    run(case)


def test_who_leaves_ends_the_stream_of_the_other() -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        ended: list[str] = server.ended  # type: ignore[attr-defined]
        async with client.stream("deaf"):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        assert ended == ["cancelled"]
        assert server._streaming == 0
        async with client.stream("deaf") as stream:
            await stream.write(b"x")
            await asyncio.sleep(1)
            await server.aclose()
            with pytest.raises(ClosedError):
                await stream.read()
            with pytest.raises(ClosedError):
                await fill(stream, b"y")

    run(case)


def test_who_does_not_read_stops_the_other_and_silence_ends() -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        ended: list[str] = server.ended  # type: ignore[attr-defined]
        async with client.stream("endless"):
            await asyncio.sleep(streams.IDLE / 2)
            assert len(ended) < 100  # buffers on the way take some
            await asyncio.sleep(streams.IDLE)
        await asyncio.sleep(1)
        assert server._streaming == 0
        async with client.stream("deaf") as stream:
            with pytest.raises(TimeoutError):
                await fill(stream, bytes(100_000))
            with pytest.raises(TimeoutError):
                await stream.read()

    run(case)


def test_no_more_streams_than_allowed_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STREAMS_MAX", 1)

    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        async with client.stream("echo") as first, client.stream("echo") as second:
            await first.write(b"a")
            assert await first.read() == b"A"
            with pytest.raises(RefusedError, match="open already"):
                await second.read()

    run(case)


def test_a_dead_address_is_passed_over_and_nobody_is_told() -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        names.ports["echo"].append(1)
        for _ in range(10):
            async with client.stream("echo") as stream:
                await stream.write(b"a")
                assert await stream.read() == b"A"
        names.ports["gone"] = [1]
        with pytest.raises(UnreachableError):
            async with client.stream("gone"):
                pass
        with pytest.raises(NotFoundError):
            async with client.stream("unheard"):
                pass

    run(case)


def test_a_stream_to_a_service_of_whole_requests_is_one_request() -> None:
    async def case(client: RpcClient, server: RpcServer, names: Any) -> None:
        async with client.stream("whole") as stream:
            await stream.write(b"[null, null, 5]")
            await stream.close_write()
            reply = grenache.decode_reply(await rest(stream))
            assert (reply.error, reply.result) == (None, 5)
        assert client._web
        url = f"http://127.0.0.1:{server.port}/"
        answer = await client._web.post(url, b"x", headers={"_gr": "{"})
        assert answer == (500, b'[null,"ERR_HEADER_PARSE_GR",null]')

    run(case)


def test_headers_of_node_are_understood() -> None:
    head = grenache.decode_head({"_gr": '["r","k"]', "_a": "caf\udce9", "_ar": "{bad"})
    assert head == grenache.StreamHead("r", "k", "café", {})
    assert grenache.decode_head({}) is None
    for said in ("7", "[]", "[null]", '["r", 5]'):
        head = grenache.decode_head({"_gr": said})
        assert head is not None
        assert head.key == ""
