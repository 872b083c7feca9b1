"""What the loop's create_... methods and start_tls do.

TLS is asyncio's own `sslproto`, which needs nothing but a transport.
"""

import asyncio
import socket
import ssl
from asyncio import sslproto
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal.errors import NotSimulatedError
from shoal.sim import resolve
from shoal.sim.datagram import DatagramTransport
from shoal.sim.host import Host
from shoal.sim.resolve import ANY, LOOPBACK, plain_ip
from shoal.sim.server import Dial, Server
from shoal.sim.stream import StreamTransport

if TYPE_CHECKING:
    from shoal.sim.loop import SimLoop

EPHEMERAL = 32768  # Linux gives ports from here to sockets bound to port 0

Factory = Callable[[], Any]


def _only(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}


_TLS_TIMEOUTS = ("ssl_handshake_timeout", "ssl_shutdown_timeout")


async def create_connection(
    loop: "SimLoop",
    factory: Factory,
    host: Any,
    port: Any,
    *,
    ssl: Any = None,
    family: int = 0,
    local_addr: Any = None,
    server_hostname: str | None = None,
    sock: Any = None,
    all_errors: bool = False,
    **options: Any,
) -> tuple[Any, Any]:
    if sock is not None:
        raise NotSimulatedError("a simulated host cannot take over a connected socket")
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    errors: list[OSError] = []
    for version, _, _, _, address in found:
        try:
            ours = await _dial(loop, version, address, local_addr)
            break
        except OSError as error:
            errors.append(error)
    else:
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        raise errors[0]
    if not ssl:
        protocol = factory()
        ours.begin(protocol, accept=True)
        return ours, protocol
    hostname = server_hostname if server_hostname is not None else host
    protocol = factory()
    waiter = loop.create_future()
    wrapped = _tls(loop, protocol, ssl, waiter, False, hostname, _only(options, *_TLS_TIMEOUTS))
    ours.begin(wrapped, accept=True)
    try:
        await waiter
    except BaseException:
        ours.close()
        raise
    return wrapped._app_transport, protocol


async def _dial(loop: "SimLoop", family: int, address: Any, local_addr: Any) -> StreamTransport:
    network = loop.network
    here = network.current
    remote = (plain_ip(address[0]), address[1])
    if remote[0] == ANY:
        remote = (LOOPBACK, remote[1])
    ip, port = (plain_ip(local_addr[0]), local_addr[1]) if local_addr else (ANY, 0)
    if ip == ANY:
        ip = remote[0] if remote[0].startswith("127.") else here.ip
    local = (ip, port or here.free_port(here.listeners))
    outcome = Dial(here, local, remote, family).outcome
    try:
        return await outcome
    except asyncio.CancelledError:
        if not outcome.cancelled() and not outcome.exception():
            outcome.result().unmake()
        raise


def _tls(
    loop: "SimLoop",
    protocol: Any,
    context: Any,
    waiter: Any,
    server_side: bool,
    hostname: str | None,
    timeouts: dict[str, Any],
    call_connection_made: bool = True,
) -> Any:
    if context is True:
        context = ssl.create_default_context()
    return sslproto.SSLProtocol(
        loop,
        protocol,
        context,
        waiter,
        server_side,
        hostname or None,
        call_connection_made=call_connection_made,
        **timeouts,
    )


async def start_tls(
    loop: "SimLoop",
    transport: Any,
    protocol: Any,
    context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    **options: Any,
) -> Any:
    waiter = loop.create_future()
    timeouts = _only(options, *_TLS_TIMEOUTS)
    wrapped = _tls(loop, protocol, context, waiter, server_side, server_hostname, timeouts, False)
    transport.pause_reading()  # nothing may arrive before TLS can take it
    transport.set_protocol(wrapped)
    made = loop.call_soon(wrapped.connection_made, transport)
    resumed = loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except BaseException:
        transport.close()
        made.cancel()
        resumed.cancel()
        raise
    return wrapped._app_transport


async def create_server(
    loop: "SimLoop",
    factory: Factory,
    host: Any,
    port: Any,
    *,
    ssl: Any = None,
    family: int = 0,
    reuse_port: bool | None = None,
    start_serving: bool = True,
    sock: Any = None,
    **options: Any,
) -> Server:
    if sock is not None:
        host, port = _bound(sock)
    timeouts = _only(options, *_TLS_TIMEOUTS)

    def secured() -> Any:
        return _tls(loop, factory(), ssl, None, True, None, timeouts)

    server = Server(loop, secured if ssl else factory)
    here = loop.network.current
    for name in [host] if isinstance(host, str | bytes | None) else host:
        found = resolve.addresses(
            loop.network,
            name,
            port,
            family=family,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
        for version, _, _, _, address in found:
            local = (plain_ip(address[0]), address[1])
            server.listen(here, local, version, share=bool(reuse_port))
    if start_serving:
        server.begin()
    return server


def _bound(sock: Any) -> tuple[str, int]:
    """The address of a real socket that is handed in; its place is taken, itself closed."""
    ip, port = sock.getsockname()[:2]
    sock.close()
    return plain_ip(ip), 0 if port >= EPHEMERAL else port


def create_datagram_endpoint(
    loop: "SimLoop",
    factory: Factory,
    local_addr: Any = None,
    remote_addr: Any = None,
    *,
    family: int = 0,
    reuse_port: bool | None = None,
    sock: Any = None,
    **options: Any,
) -> tuple[Any, Any]:
    here: Host = loop.network.current
    if sock is not None:
        family = sock.family
        reuse_port = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
        local_addr = _bound(sock)
    local, remote = (ANY, 0), None
    for given in (local_addr, remote_addr):
        if given is None:
            continue
        found = resolve.addresses(
            loop.network,
            given[0],
            given[1],
            type=socket.SOCK_DGRAM,
            flags=socket.AI_PASSIVE if given is local_addr else 0,
        )
        version, _, _, _, address = found[0]
        family = family or version
        if given is local_addr:
            local = (plain_ip(address[0]), address[1])
        else:
            remote = (plain_ip(address[0]), address[1])
    protocol = factory()
    transport = DatagramTransport(
        here, local, remote, family or socket.AF_INET, share=bool(reuse_port)
    )
    transport.start(protocol)
    return transport, protocol
