"""TLS, websockets, aiohttp and aioquic run unmodified on all three loops."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aioquic.asyncio import connect as quic_connect, serve as quic_serve
from aioquic.quic.configuration import QuicConfiguration
from tests.sim.conftest import Run, leaky
from websockets.asyncio.client import connect as websocket_connect
from websockets.asyncio.server import serve as websocket_serve

from shoal.net.web import connector_class


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
    finally:
        writer.close()


def test_tls_from_the_first_byte(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        server = await asyncio.start_server(shout, "127.0.0.1", 0, ssl=server_tls, limit=1 << 20)
        port = server.sockets[0].getsockname()[1]
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_tls)
            assert writer.get_extra_info("cipher") is not None
            for size in (10, 100_000):
                writer.write(b"a" * size + b"\n")
                got = await asyncio.gather(reader.readexactly(size + 1), writer.drain())
                assert got[0] == b"A" * size + b"\n"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_tls_after_plain_text(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"OK\n")
        await writer.start_tls(server_tls)
        await shout(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"OK\n"
            await writer.start_tls(client_tls, server_hostname="localhost")
            writer.write(b"secret\n")
            assert await reader.readline() == b"SECRET\n"
            writer.close()
            await writer.wait_closed()

    run(main())


@leaky
def test_tls_refuses_a_stranger(run: Run, server_tls: ssl.SSLContext) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        server = await asyncio.start_server(shout, "127.0.0.1", 0, ssl=server_tls)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())

    run(main())


def test_websockets(run: Run) -> None:
    async def answer(socket: Any) -> None:
        async for message in socket:
            await socket.send(message[::-1])

    async def main() -> None:
        async with websocket_serve(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with websocket_connect(f"ws://127.0.0.1:{port}", proxy=None) as socket:
                await socket.send("live")
                assert await socket.recv() == "evil"
                await socket.send(bytes(300_000))
                assert await socket.recv() == bytes(300_000)

    run(main())


async def web_server(tls: ssl.SSLContext | None = None) -> tuple[web.AppRunner, int]:
    async def greet(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {request.query['name']}")

    async def measure(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read())})

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data * 2)
        return socket

    app = web.Application(client_max_size=1 << 24)
    app.add_routes([web.get("/", greet), web.post("/measure", measure), web.get("/talk", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    return runner, runner.addresses[0][1]


def test_aiohttp_server_and_client(run: Run) -> None:
    async def main() -> None:
        runner, port = await web_server()
        url = f"http://localhost:{port}"
        async with aiohttp.ClientSession(connector=connector_class()()) as session:
            async with session.get(url, params={"name": "fish"}) as response:
                assert await response.text() == "hello fish"
            async with session.post(url + "/measure", data=bytes(1_000_000)) as response:
                assert await response.json() == {"bytes": 1_000_000}
            async with session.ws_connect(url + "/talk") as socket:
                await socket.send_str("ho")
                assert (await socket.receive()).data == "hoho"
        await runner.cleanup()

    run(main())


@leaky
def test_aiohttp_over_tls(run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def main() -> None:
        runner, port = await web_server(server_tls)
        async with aiohttp.ClientSession(connector=connector_class()()) as session:
            url = f"https://localhost:{port}/?name=secret"
            async with session.get(url, ssl=client_tls) as response:
                assert await response.text() == "hello secret"
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url)
        await runner.cleanup()

    run(main())


def test_aiohttp_tells_a_closed_port(run: Run) -> None:
    async def main() -> None:
        runner, port = await web_server()
        await runner.cleanup()
        async with aiohttp.ClientSession(connector=connector_class()()) as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{port}/")

    run(main())


def test_aioquic(run: Run, certificate: tuple[Path, Path]) -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read()).upper())
            writer.write_eof()

        tasks = []

        def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(asyncio.create_task(handle(reader, writer)))

        theirs = QuicConfiguration(is_client=False, alpn_protocols=["test"])
        theirs.load_cert_chain(*certificate)
        server = await quic_serve("127.0.0.1", 0, configuration=theirs, stream_handler=on_stream)
        port = server._transport.get_extra_info("sockname")[1]
        ours = QuicConfiguration(is_client=True, alpn_protocols=["test"])
        ours.load_verify_locations(str(certificate[0]))
        async with quic_connect("127.0.0.1", port, configuration=ours) as client:
            reader, writer = await client.create_stream()
            writer.write(b"quick" * 20_000)
            writer.write_eof()
            assert await reader.read() == b"QUICK" * 20_000
        server.close()

    run(main())
