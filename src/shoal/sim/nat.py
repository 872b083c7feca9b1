"""Routers that translate addresses: the four kinds of old, and local networks.

A mapping joins an inside address and port to a public port.  Kinds differ in
what a mapping depends on and in who may answer through it:

    kind                  mapping depends on     who may come in
    full                  inside only            anybody
    address-restricted    inside only            addresses that were written to
    port-restricted       inside only            address and port that were written to
    symmetric             inside and outside     address and port that were written to

So two hosts can punch holes towards each other, told their public addresses by
a third, except symmetric with symmetric or with port-restricted.  RFC 3489
section 5 names the kinds, RFC 4787 the two axes; its timers are below.
"""

from typing import TYPE_CHECKING

from shoal.sim.resolve import Address

if TYPE_CHECKING:
    from shoal.sim.host import Host

KINDS = ("full", "address-restricted", "port-restricted", "symmetric")
UDP_LIFETIME = 120.0  # seconds without outbound traffic; RFC 4787 REQ-5 allows no less
TCP_LIFETIME = 7440.0  # seconds; RFC 5382 REQ-5: two hours and four minutes
FIRST_PORT = 20_000  # public ports are given out in order from here


class Lan:
    """Hosts that hear each other's multicast and reach each other's private addresses."""

    __slots__ = ("_next", "hosts")

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._next = 1

    def new_ip(self) -> str:
        self._next += 1
        return f"192.168.{self._next >> 8}.{self._next & 255}"


class Mapping:
    """One public port and who stands behind it."""

    __slots__ = ("forwarded", "host", "partners", "port", "public_port", "used")

    def __init__(self, host: "Host", port: int, public_port: int, now: float):
        self.host = host
        self.port = port
        self.public_port = public_port
        self.used = now
        self.partners: dict[Address, float] = {}  # whom it wrote to, and when last
        self.forwarded = False  # by hand or UPnP: never expires, open to all


class Nat:
    """A router that translates.  Made by `Network.nat`."""

    router: "Host"

    def __init__(
        self,
        ip: str,
        kind: str = "port-restricted",
        *,
        udp_lifetime: float = UDP_LIFETIME,
        tcp_lifetime: float = TCP_LIFETIME,
    ):
        if kind not in KINDS:
            raise ValueError(f"a NAT is one of {', '.join(KINDS)}, not {kind}")
        self.ip = ip
        self.kind = kind
        self.lan = Lan()
        self.lifetimes = {"udp": udp_lifetime, "tcp": tcp_lifetime}
        self._inside: dict[tuple[str, str, int, Address | None], Mapping] = {}
        self._public: dict[tuple[str, int], Mapping] = {}
        self._next_port = FIRST_PORT

    def outbound(
        self, now: float, protocol: str, host: "Host", port: int, remote: Address
    ) -> Address:
        """The public address that a packet from inside gets."""
        key = (protocol, host.ip, port, remote if self.kind == "symmetric" else None)
        mapping = self._inside.get(key)
        if mapping is not None and self._expired(mapping, protocol, now):
            del self._inside[key], self._public[protocol, mapping.public_port]
            mapping = None
        if mapping is None:
            mapping = Mapping(host, port, self._new_port(protocol), now)
            self._inside[key] = self._public[protocol, mapping.public_port] = mapping
        mapping.used = now
        mapping.partners[remote] = now
        return self.ip, mapping.public_port

    def inbound(
        self, now: float, protocol: str, public_port: int, remote: Address
    ) -> "tuple[Host, int] | None":
        """Who gets a packet from outside; None if nobody."""
        mapping = self._public.get((protocol, public_port))
        if mapping is None or self._expired(mapping, protocol, now):
            return None
        if not mapping.forwarded and not self._admits(mapping, protocol, now, remote):
            return None
        return mapping.host, mapping.port

    def forward(self, protocol: str, public_port: int, host: "Host", port: int) -> None:
        """Open a public port for good, as UPnP or a patient owner does."""
        mapping = Mapping(host, port, public_port, 0.0)
        mapping.forwarded = True
        self._inside[protocol, host.ip, port, None] = mapping
        self._public[protocol, public_port] = mapping

    def _admits(self, mapping: Mapping, protocol: str, now: float, remote: Address) -> bool:
        if self.kind == "full":
            return True
        oldest = now - self.lifetimes[protocol]
        if self.kind == "address-restricted":
            return any(
                partner[0] == remote[0] and used >= oldest
                for partner, used in mapping.partners.items()
            )
        return mapping.partners.get(remote, float("-inf")) >= oldest

    def _expired(self, mapping: Mapping, protocol: str, now: float) -> bool:
        return not mapping.forwarded and now - mapping.used > self.lifetimes[protocol]

    def _new_port(self, protocol: str) -> int:
        while (protocol, self._next_port) in self._public:
            self._next_port += 1
        port = self._next_port
        self._next_port += 1
        return port
