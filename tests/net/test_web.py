"""The HTTP client asks the loop for connections, bounds what it reads and says what failed."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import WSMsgType, web

from shoal.errors import ClosedError, LimitError, ProtocolError, UnreachableError
from shoal.net.web import SERVED_IDLE, Web, WebServer, reply
from shoal.sim.loop import SimLoop


async def echo(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() == "websocket" and request.path == "/ws":
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"you said {message.data}")
        return socket
    if request.path == "/cut":
        assert request.transport
        request.transport.abort()
    if request.path == "/moved":
        raise web.HTTPFound("/landed")
    return web.Response(body=await request.read() or request.raw_path.encode())


def served(test: Callable[[Web, str], Awaitable[None]], loop: str) -> None:
    async def main() -> None:
        runner = web.ServerRunner(web.Server(echo))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        client = Web()
        try:
            async with asyncio.timeout(10):
                await test(client, f"127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await client.aclose()
            await client.aclose()
            await runner.cleanup()

    factory = (lambda: SimLoop(1)) if loop == "sim" else None
    with asyncio.Runner(loop_factory=factory) as loop_runner:
        loop_runner.run(main())


LOOPS = pytest.mark.parametrize("loop", ["asyncio", "sim"])


@LOOPS
def test_it_gets_and_posts_and_keeps_escapes_as_they_are(loop: str) -> None:
    async def test(client: Web, address: str) -> None:
        path = "/announce?info_hash=%C8%c9%2F"
        assert await client.get(f"http://{address}{path}") == (200, path.encode())
        assert await client.post(f"http://{address}/", b"body") == (200, b"body")
        assert await client.get(f"http://{address}/moved") == (200, b"/landed")
        assert (await client.post(f"http://{address}/moved", b""))[0] == 302

    served(test, loop)


@LOOPS
def test_a_websocket_talks(loop: str) -> None:
    async def test(client: Web, address: str) -> None:
        socket = await client.socket(f"ws://{address}/ws", limit=1000)
        await socket.send_str("hi")
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.TEXT, "you said hi")
        await socket.close()

    served(test, loop)


@LOOPS
def test_each_failure_has_its_kind(loop: str) -> None:
    async def test(client: Web, address: str) -> None:
        with pytest.raises(UnreachableError):
            await client.get("http://127.0.0.1:1/")
        with pytest.raises(UnreachableError):
            await client.socket("ws://127.0.0.1:1/", limit=1000)
        with pytest.raises(ProtocolError):
            await client.socket(f"ws://{address}/plain", limit=1000)
        with pytest.raises(ClosedError):
            await client.get(f"http://{address}/cut")
        with pytest.raises(LimitError):
            await client.post(f"http://{address}/", bytes(1000), limit=999)

    served(test, loop)


def test_a_server_takes_no_more_connections_than_it_may_and_cancels_for_who_leaves() -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return reply()

        server = WebServer(handle, connections=1)
        port = await server.listen("127.0.0.1")
        with pytest.raises(UnreachableError):
            await server.listen("127.0.0.1", port)
        _, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        first.close()
        await cancelled.wait()
        second.close()
        heard, silent = await asyncio.open_connection("127.0.0.1", port)
        silent.write(b"GET / HT")
        await asyncio.sleep(SERVED_IDLE + 1)
        assert await heard.read() == b""
        silent.close()
        await server.aclose()
        await server.aclose()

    with asyncio.Runner(loop_factory=lambda: SimLoop(1)) as loop_runner:
        loop_runner.run(main())
