"""WebSocket and WSS carry connections as TCP does."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.net.hosts import make_host

from shoal.errors import UnreachableError
from shoal.net.host import Host
from shoal.net.stream import Stream
from shoal.net.transport.tcp import Tcp
from shoal.net.transport.websocket import WebSocket

LOOPS: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop]


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server with a certificate for 127.0.0.1, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "certificate.pem"
    path.write_bytes(secret + certificate.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


def run(
    case: Callable[[Host, Host], Awaitable[Any]],
    where: str = "/ip4/127.0.0.1/tcp/0/ws",
    loop: Any = None,
    tls: tuple[Any, Any] = (None, True),
) -> Any:
    async def both() -> Any:
        ours, theirs = WebSocket(tls=tls[1]), WebSocket(certificate=tls[0])
        async with (
            asyncio.timeout(15),
            make_host(1, [Tcp(), ours]) as a,
            make_host(2, [theirs]) as b,
        ):
            b.handle("/echo", echo)
            await b.listen(where)
            return await case(a, b)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(both())


async def exchange(a: Host, b: Host) -> int:
    """How many bytes came back."""
    connection = await a.dial(b.addresses[0])
    async with await a.open(b.id, "/echo") as stream:
        data = bytes(range(256)) * 4000
        _, back = await asyncio.gather(stream.write(data), stream.readexactly(len(data)))
        assert back == data
    other = b.connection(a.id)
    assert other is not None
    assert connection.about.remote.names[2:] == other.about.remote.names[2:]
    return len(back)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_million_bytes_are_echoed(loop: Any) -> None:
    assert run(exchange, loop=loop) > 1_000_000


@pytest.mark.parametrize("words", ["tls/ws", "wss"])
def test_wss_checks_the_certificate(words: str, tmp_path: Path) -> None:
    tls = contexts(tmp_path)
    where = f"/ip4/127.0.0.1/tcp/0/{words}"
    assert run(exchange, where, tls=tls)

    async def refused(a: Host, b: Host) -> None:
        with pytest.raises(UnreachableError, match=r"(?i)certificate|ssl"):
            await a.dial(b.addresses[0])

    run(refused, where, tls=(tls[0], True))


def test_the_end_of_either_side_is_seen_by_the_other() -> None:
    async def case(a: Host, b: Host) -> None:
        stream = await a.open(b.addresses[0], "/echo")
        b.connections[0].abort()
        with pytest.raises(Exception, match=r"ended|closed|cut"):
            await asyncio.wait_for(stream.read(), 5)
        again = await a.open(b.addresses[0], "/echo")
        await again.write(b"x")
        assert await again.read() == b"x"

    run(case)


def test_plain_http_is_told_what_this_is() -> None:
    async def case(a: Host, b: Host) -> None:
        address = b.addresses[0]
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"426" in await reader.readline()
        writer.close()

    run(case)
