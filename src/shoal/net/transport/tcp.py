"""TCP, over IPv4 and IPv6, by address or by name."""

import asyncio
import socket
from collections.abc import Callable

from shoal.errors import UnreachableError
from shoal.net.transport.seam import Pipe, Session
from shoal.peer.multiaddr import Multiaddr

FAMILIES = {
    "ip4": socket.AF_INET,
    "ip6": socket.AF_INET6,
    "dns": socket.AF_UNSPEC,
    "dns4": socket.AF_INET,
    "dns6": socket.AF_INET6,
}
BACKLOG = 1024  # connections that the kernel may hold for us


class Bound:
    """A server and where it listens."""

    def __init__(self, server: asyncio.AbstractServer, addresses: list[Multiaddr]) -> None:
        self.addresses = addresses
        self._server = server

    def close(self) -> None:
        self._server.close()


def family_of(address: Multiaddr) -> int:
    """The address family that the first word names."""
    return FAMILIES.get(address.names[0], socket.AF_UNSPEC)


class Tcp:
    """Bytes through a TCP socket, for whoever pumps them."""

    def speaks(self, address: Multiaddr) -> bool:
        names = address.names
        plain = names[1:] if names[0] == "ip6zone" else names
        return len(plain) == 2 and plain[0] in FAMILIES and plain[1] == "tcp"

    async def aclose(self) -> None:
        """It owns nothing but its connections."""

    async def dial(self, address: Multiaddr, pipe: Pipe) -> None:
        """Connect what `pipe` makes."""
        loop = asyncio.get_running_loop()
        host, port = address.host or "", address.port or 0
        try:
            await loop.create_connection(pipe, host, port, family=family_of(address))
        except (OSError, ValueError) as error:  # a peer may have given a name that is none
            raise UnreachableError(getattr(error, "strerror", "") or str(error)) from error

    async def listen(
        self, address: Multiaddr, pipe: Pipe, _session: Callable[[Session], None]
    ) -> Bound:
        """Call `pipe` for each connection that comes."""
        loop = asyncio.get_running_loop()
        host, port = address.host, address.port or 0
        server = await loop.create_server(
            pipe, host, port, family=family_of(address), backlog=BACKLOG
        )
        bound = [socket.getsockname()[:2] for socket in server.sockets]
        return Bound(server, [Multiaddr.of(*name) for name in bound])
