"""Names, addresses and the socket objects that transports show.

Hosts have IPv4 addresses.  A socket of family AF_INET6 is dual-stack, as on
Linux: it sees IPv4 peers as ``::ffff:a.b.c.d`` and may use ``::1`` and ``::``.
"""

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.sim.network import Network

ANY = "0.0.0.0"
LOOPBACK = "127.0.0.1"
MAPPED = "::ffff:"
_IPV6 = {"::": ANY, "::1": LOOPBACK}

Address = tuple[str, int]


def plain_ip(ip: str) -> str:
    """The IPv4 address behind any spelling of it."""
    if ":" not in ip:
        return ip
    if ip.startswith(MAPPED):
        return ip[len(MAPPED) :]
    return _IPV6.get(ip, ip)


def shown(address: Address, family: int) -> tuple[Any, ...]:
    """An address as a socket of this family gives it to the user."""
    if family != socket.AF_INET6:
        return address
    ip = "::" if address[0] == ANY else MAPPED + address[0]
    return (ip, address[1], 0, 0)


def is_ipv4(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True


def is_ipv6(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return False
    return True


def addresses(
    network: "Network",
    host: Any,
    port: Any,
    *,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[Any, ...]]:
    """What `socket.getaddrinfo` would say in this world."""
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, ""):
        ips = [ANY if flags & socket.AI_PASSIVE else LOOPBACK]
    elif is_ipv4(host) or is_ipv6(host):
        ips = [host]
    elif flags & socket.AI_NUMERICHOST or not (found := network.lookup(host)):
        raise socket.gaierror(socket.EAI_NONAME, f"no host named {host} in this world")
    else:
        ips = found
    kinds = [(socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)]
    kinds = [each for each in kinds if not type or each[0] == type]
    answers: list[tuple[Any, ...]] = []
    for ip in ips:
        version = socket.AF_INET6 if ":" in ip else socket.AF_INET
        address: tuple[Any, ...] = (ip, int(port or 0))
        if family == socket.AF_INET6 or version == socket.AF_INET6:
            if family == socket.AF_INET:
                continue
            address = address if version == socket.AF_INET6 else shown((ip, int(port or 0)), family)
            address = (*address[:2], 0, 0)
            version = socket.AF_INET6
        answers += [(version, kind, proto or number, "", address) for kind, number in kinds]
    if not answers:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} has no address of that family")
    return answers


class SimSocket:
    """What `get_extra_info("socket")` gives: names and options, no descriptor."""

    def __init__(self, kind: int, family: int, transport: Any):
        self.family = family
        self.type = kind
        self.proto = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
        self._transport = transport
        self._options: dict[tuple[int, int], Any] = {}

    def getsockname(self) -> Any:
        return self._transport.get_extra_info("sockname")

    def getpeername(self) -> Any:
        name = self._transport.get_extra_info("peername")
        if name is None:
            raise OSError("not connected")
        return name

    def fileno(self) -> int:
        return -1

    def setsockopt(self, level: int, option: int, value: Any, length: int = 0) -> None:
        self._options[level, option] = value
        self._transport.set_option(level, option, value)

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        return self._options.get((level, option), 0)
