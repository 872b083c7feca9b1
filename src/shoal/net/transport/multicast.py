"""A socket that hears and speaks to one multicast group on one interface.

Its port is shared with whatever other programs of this machine listen to the
group.  On 127.0.0.1 it sends with a TTL of 0: no cable sees that.  Interfaces
are named, or given by their IPv4 address (for groups of IPv4), or left to the
system ("").

RFC 1112; RFC 3493, section 5.2; ip(7) on IP_MULTICAST_ALL.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Self

LOOPBACK, ANY = "127.0.0.1", "0.0.0.0"
CLOSE_TIMEOUT = 5.0  # seconds
IP_MULTICAST_ALL = 49  # whether to hear groups that others have joined; Python has no name for it

Hear = Callable[[bytes, str], None]  # a datagram, and the address of who sent it


class GroupSocket(asyncio.DatagramProtocol):
    """Made by `open`."""

    def __init__(self, group: str, port: int, hear: Hear) -> None:
        self.refused = 0  # datagrams that the system would not send
        self._group = (group, port)
        self._hear = hear
        self._transport: Any = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, group: str, port: int, interface: str, hops: int, hear: Hear) -> Self:
        """Join the group; OSError where that cannot be."""
        loop = asyncio.get_running_loop()
        raw = make_socket(group, port)
        _, made = await loop.create_datagram_endpoint(lambda: cls(group, port, hear), sock=raw)
        try:
            join(made._transport.get_extra_info("socket"), group, interface, hops)
        except OSError:
            await made.aclose()
            raise
        return made

    def send(self, data: bytes) -> None:
        """To all members; nobody says whether they hear it."""
        try:
            self._transport.sendto(data, self._group)
        except OSError:
            self.refused += 1

    async def aclose(self) -> None:
        self._transport.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.shield(self._closed)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        host = addr[0]
        if len(addr) == 4 and addr[3] and "%" not in host:
            host = f"{host}%{addr[3]}"  # link-local: who answers must know by which interface
        self._hear(data, host)

    def error_received(self, exc: Exception) -> None:
        """No network at the moment: what is said later may arrive."""
        self.refused += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)


def make_socket(group: str, port: int) -> socket.socket:
    """Bound to the group's port, which other programs use, too."""
    v6 = ":" in group
    made = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if v6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        elif sys.platform == "linux":
            made.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        made.bind(("::" if v6 else ANY, port))
    except OSError:
        made.close()
        raise
    return made


def join(sock: Any, group: str, interface: str, hops: int) -> None:
    """Hear a group on an interface, and speak to it there."""
    if interface == LOOPBACK:
        hops = 0
    number = 0 if not interface or is_ipv4(interface) else socket.if_nametoindex(interface)
    if ":" in group:
        index = number.to_bytes(4, sys.byteorder)
        address = socket.inet_pton(socket.AF_INET6, group)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, address + index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
        return
    place = ip_address(interface if is_ipv4(interface) else ANY).packed
    if number:
        place += number.to_bytes(4, sys.byteorder)  # an ip_mreqn
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, ip_address(group).packed + place)
    chosen = b"\0\0\0\0" + place if number else place
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)


def is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False
