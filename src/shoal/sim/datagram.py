"""Datagram endpoints of simulated hosts.

What asyncio's own endpoint does, on an imaginary network: unconnected or
connected, several on one port with `reuse_port`, and members of multicast
groups within their LAN (joined by `setsockopt` on the transport's socket).
"""

import asyncio
import socket
import struct
from contextvars import copy_context
from errno import EADDRINUSE, EADDRNOTAVAIL, ECONNREFUSED, EMSGSIZE, ENODEV
from typing import TYPE_CHECKING, Any

from shoal.sim.resolve import ANY, LOOPBACK, Address, SimSocket, plain_ip, shown

if TYPE_CHECKING:
    from shoal.sim.host import Host

DATAGRAM_MAX = 65507  # bytes of payload in one IPv4 datagram


class DatagramTransport(asyncio.DatagramTransport):
    """One bound UDP socket of a host."""

    __slots__ = (
        "_closing",
        "_context",
        "_deliver",
        "_family",
        "_ip",
        "_network",
        "_protocol",
        "_remote",
        "_socket",
        "any_ip",
        "groups",
        "host",
        "multicast_interface",
        "multicast_loop",
        "plain",
        "seen",
    )

    def __init__(
        self,
        host: "Host",
        local: Address,
        remote: Address | None,
        family: int,
        *,
        share: bool = False,
    ):
        ip, port = local
        if ip == ANY and remote is not None:
            ip = LOOPBACK if remote[0].startswith("127.") else host.ip
        if ip not in (ANY, LOOPBACK, host.ip):
            raise OSError(EADDRNOTAVAIL, f"{ip} is not an address of host {host.name}")
        if host.datagrams is None:
            host.datagrams = {}
        port = port or host.free_port(host.datagrams)
        if port in host.datagrams and not share:
            raise OSError(EADDRINUSE, f"UDP port {port} of host {host.name} is taken")
        host.datagrams.setdefault(port, []).append(self)
        self.host = host
        self.any_ip = ip != LOOPBACK
        # an address that the other side can answer to
        self.seen: Address = (LOOPBACK if ip == LOOPBACK else host.ip, port)
        self.plain = host.nat is None and self.any_ip
        self.groups: dict[str, str] = {}  # multicast group -> interface ("" is the LAN)
        self.multicast_interface = ""
        self.multicast_loop = True
        self._ip = ip
        self._network = host.network
        self._family = family
        self._remote = remote
        self._closing = False
        self._protocol: Any = None
        self._deliver: Any = None
        self._context = copy_context()
        self._socket: SimSocket | None = None

    def start(self, protocol: Any) -> None:
        self._protocol = protocol
        self._deliver = protocol.datagram_received
        protocol.connection_made(self)

    @property
    def connected(self) -> bool:
        return self._remote is not None and not self._closing

    # What the owner calls

    def sendto(self, data: Any, addr: Any = None) -> None:
        if self._closing:
            return
        if self._remote is not None:
            if addr and (plain_ip(addr[0]), addr[1]) != self._remote:
                raise ValueError(f"Invalid address: must be None or {self._remote}")
            address = self._remote
        elif addr is None:
            raise ValueError("an unconnected endpoint needs an address")
        elif len(addr) == 2:
            address = addr
        else:
            address = (plain_ip(addr[0]), addr[1])
        if type(data) is not bytes:
            data = bytes(data)
        if len(data) > DATAGRAM_MAX:
            self._tell_error(OSError(EMSGSIZE, "Message too long"))
            return
        self._network.send_datagram(self, data, address)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sockname":
            return shown((self._ip, self.seen[1]), self._family)
        if name == "peername":
            return default if self._remote is None else shown(self._remote, self._family)
        if name == "socket":
            if self._socket is None:
                self._socket = SimSocket(socket.SOCK_DGRAM, self._family, self)
            return self._socket
        return default

    def set_option(self, level: int, option: int, value: Any) -> None:
        """What `setsockopt` means here: multicast membership."""
        if level == socket.IPPROTO_IPV6 and option == socket.IPV6_JOIN_GROUP:
            raise OSError(ENODEV, "hosts of this world have no IPv6")
        if level != socket.IPPROTO_IP:
            return
        if option == socket.IP_ADD_MEMBERSHIP:
            where = socket.inet_ntoa(value[4:8])
            self.groups[socket.inet_ntoa(value[:4])] = LOOPBACK if where == LOOPBACK else ""
        elif option == socket.IP_DROP_MEMBERSHIP:
            self.groups.pop(socket.inet_ntoa(value[:4]), None)
        elif option == socket.IP_MULTICAST_IF:
            address = value if len(value) == 4 else value[4:8]  # of an ip_mreqn
            self.multicast_interface = socket.inet_ntoa(address)
        elif option == socket.IP_MULTICAST_LOOP:
            number = value if isinstance(value, int) else struct.unpack("b", value[:1])[0]
            self.multicast_loop = bool(number)

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        self._deliver = protocol.datagram_received

    def get_protocol(self) -> Any:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        sockets = self.host.datagrams
        if sockets is not None:
            mine = sockets[self.seen[1]]
            mine.remove(self)
            if not mine:
                del sockets[self.seen[1]]
        self.host.loop.call_soon(self._protocol.connection_lost, None, context=self._context)

    def abort(self) -> None:
        self.close()

    # What the network calls

    def receive(self, data: bytes, seen: Address, sender: "Host") -> None:
        if self._closing or self._deliver is None:
            return
        if self._remote is not None and seen != self._remote:
            return
        if not self.any_ip and sender is not self.host:
            return
        if self._family == socket.AF_INET6:
            seen = shown(seen, self._family)
        try:
            self._context.run(self._deliver, data, seen)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            message = "protocol.datagram_received() call failed."
            self.host.loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self}
            )

    def refused(self) -> None:
        """An ICMP message: nobody listens there."""
        if not self._closing and self.host.alive:
            self._tell_error(ConnectionRefusedError(ECONNREFUSED, "Connection refused"))

    def vanish(self) -> None:
        self._closing = True

    def _tell_error(self, error: OSError) -> None:
        self._context.run(self._protocol.error_received, error)
