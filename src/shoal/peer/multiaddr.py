"""Multiaddr: how to reach a peer, word by word.

`/ip4/127.0.0.1/tcp/4001/p2p/12D3Koo...` reads from the outside in: each word
says what is spoken on top of the one before.  In bytes a word is its code as a
varint, then its value.  Two texts of one address give the same bytes, which are
what an address is compared by.

multiformats/multiaddr.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from shoal.codec import varint
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.protocols import ANY_SIZE, BY_CODE, BY_NAME, VALUE_MAX, Protocol

TEXT_MAX = 4096  # characters
BYTES_MAX = 1024  # a relayed WebRTC address with two certificate hashes has 250
PARTS_MAX = 32  # words; the same address has 12
CACHE = 4096  # addresses that are remembered, for the same ones come again and again

_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6", "dnsaddr")
_PORTS = ("tcp", "udp")


class Part(NamedTuple):
    """One word; the value of those that have none is empty."""

    name: str
    value: str


class Multiaddr:
    """Immutable and hashable; made by `parse`, `decode`, `of` and `/`."""

    __slots__ = ("bytes", "parts")

    def __init__(self, data: bytes, parts: tuple[Part, ...]) -> None:
        """For the functions below, which know that both say the same."""
        self.bytes = data
        self.parts = parts

    @staticmethod
    def parse(text: str) -> "Multiaddr":
        return _parse(text)

    @staticmethod
    def decode(data: bytes | memoryview) -> "Multiaddr":
        return _decode(bytes(data))

    @staticmethod
    def of(host: str, port: int, protocol: str = "tcp") -> "Multiaddr":
        """The address of a socket: an IP address, perhaps with %zone, or a host name."""
        if "/" in host:
            raise ProtocolError(f"{host[:40]!r} is not a host")
        address, _, zone = host.partition("%")
        try:
            text = f"/ip{ip_address(address).version}/{address}"
        except ValueError:
            return _parse(f"/dns/{host}/{protocol}/{port}")
        before = f"/ip6zone/{zone}" if zone else ""
        return _parse(f"{before}{text}/{protocol}/{port}")

    def __truediv__(self, more: "Multiaddr | str") -> "Multiaddr":
        """This address, then more: `address / "p2p-circuit"`, `address / f"p2p/{peer}"`."""
        text = str(more)
        return _parse(f"{self}{text if text.startswith('/') else '/' + text}")

    @property
    def names(self) -> tuple[str, ...]:
        """What is spoken: `("ip4", "tcp", "p2p")`."""
        return tuple(part.name for part in self.parts)

    def get(self, *names: str) -> str | None:
        """The value of the first of these words; empty for one that has no value."""
        return next((part.value for part in self.parts if part.name in names), None)

    @property
    def host(self) -> str | None:
        """The IP address (with %zone) or host name."""
        host = self.get(*_HOSTS)
        zone = self.get("ip6zone")
        return f"{host}%{zone}" if host and zone else host

    @property
    def ip(self) -> IPv4Address | IPv6Address | None:
        text = self.get("ip4", "ip6")
        return None if text is None else ip_address(text)

    @property
    def port(self) -> int | None:
        """The TCP or UDP port."""
        text = self.get(*_PORTS)
        return None if text is None else int(text)

    @property
    def peer(self) -> PeerId | None:
        """Who is at the end: behind a relay, not the relay."""
        for part in reversed(self.parts):
            if part.name == "p2p":
                return PeerId.parse(part.value)
            if part.name == "p2p-circuit":
                break
        return None

    @property
    def relay(self) -> "Multiaddr | None":
        """The address of the relay before the last `p2p-circuit`."""
        before = self.names
        if "p2p-circuit" not in before:
            return None
        last = len(before) - 1 - before[::-1].index("p2p-circuit")
        return _join(self.parts[:last]) if last else None

    def without_peer(self, peer: PeerId | None = None) -> "Multiaddr":
        """Without a last word that names the peer (or this peer only)."""
        last = self.parts[-1]
        if len(self.parts) == 1 or last.name != "p2p" or (peer and last.value != str(peer)):
            return self
        return _join(self.parts[:-1])

    def with_peer(self, peer: PeerId) -> "Multiaddr":
        """With the peer as the last word; the same if it is that already."""
        return self if self.parts[-1] == Part("p2p", str(peer)) else self / f"p2p/{peer}"

    def __str__(self) -> str:
        return _join_text(self.parts)

    def __repr__(self) -> str:
        return f"Multiaddr({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Multiaddr) and self.bytes == other.bytes

    def __lt__(self, other: "Multiaddr") -> bool:
        return self.bytes < other.bytes

    def __hash__(self) -> int:
        return hash(self.bytes)


@lru_cache(CACHE)
def _parse(text: str) -> Multiaddr:
    if len(text) > TEXT_MAX:
        raise ProtocolError(f"address is over {TEXT_MAX} characters")
    start, *words = text.split("/")
    if start or not words:
        raise ProtocolError(f"address {text[:40]!r} does not begin with a slash")
    data = bytearray()
    rest = iter(words)
    for name in rest:
        protocol = BY_NAME.get(name)
        if protocol is None:
            raise ProtocolError(f"address {text[:80]!r} has the unknown word {name[:20]!r}")
        data += varint.encode(protocol.code)
        if protocol.size:
            data += _value_to_bytes(protocol, next(rest, ""))
    return _decode(bytes(data))


@lru_cache(CACHE)
def _decode(data: bytes) -> Multiaddr:
    if not 0 < len(data) <= BYTES_MAX:
        raise ProtocolError(f"address of {len(data)} bytes: 1 to {BYTES_MAX} are allowed")
    parts = []
    at = 0
    while at < len(data):
        code, at = varint.decode(data, at)
        protocol = BY_CODE.get(code)
        if protocol is None:
            raise ProtocolError(f"address has the unknown word {code}")
        size = protocol.size
        if size == ANY_SIZE:
            size, at = varint.decode(data, at)
        if size > VALUE_MAX or at + size > len(data):
            raise ProtocolError(f"the value of {protocol.name} is too long or cut short")
        parts.append(Part(protocol.name, _value_to_text(protocol, data[at : at + size])))
        at += size
        if len(parts) > PARTS_MAX:
            raise ProtocolError(f"address has more than {PARTS_MAX} words")
    return Multiaddr(data, tuple(parts))


def _join_text(parts: tuple[Part, ...]) -> str:
    return "".join(f"/{name}/{value}" if value else f"/{name}" for name, value in parts)


def _join(parts: tuple[Part, ...]) -> Multiaddr:
    return _parse(_join_text(parts))


def _value_to_bytes(protocol: Protocol, text: str) -> bytes:
    try:
        value = protocol.to_bytes(text)
    except ValueError as error:
        raise ProtocolError(f"{text[:40]!r} is no value of {protocol.name}: {error}") from error
    if protocol.size == ANY_SIZE:
        return varint.encode(len(value)) + value
    return value


def _value_to_text(protocol: Protocol, value: bytes) -> str:
    try:
        return protocol.to_text(value)
    except ValueError as error:
        raise ProtocolError(f"not a value of {protocol.name}: {error}") from error
