"""The network between the hosts.

Each host has an access link (a pipe each way, or none: infinitely fast) and a
path to every other host (see link.py).  A packet is serialised by the sender's
pipe, may be lost, travels, and is serialised again by the receiver's pipe; a
partition swallows what arrives while it lasts.

A datagram costs one event.  Streams (stream.py) ask `carry` for each segment.
The trace hash sees every arrival as (time, from, to, length).
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING

from shoal.sim.host import LIFE, Host
from shoal.sim.link import LAN_DELAY, LOOPBACK_DELAY, QUEUE, Constant, Path, Pipe
from shoal.sim.nat import Lan, Nat
from shoal.sim.resolve import LOOPBACK, Address

if TYPE_CHECKING:
    from shoal.sim.datagram import DatagramTransport
    from shoal.sim.loop import SimLoop

HEADER = 28  # bytes of IPv4 and UDP before a datagram's own
FIRST_IP = (5 << 24) + 1  # 5.0.0.1: public addresses, so that code under test believes in them
MIX = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: spreads a weak hash over all bits
Watcher = Callable[[str, Host, Host, int], None]  # kind, from, to, bytes; at arrival


class Network:
    """All hosts of a world, and the conditions between them."""

    def __init__(self, loop: "SimLoop"):
        self.loop = loop
        self.rng = Random(f"network {loop.seed}")
        self.path = Path()  # between any two hosts that have no path of their own
        self.lan_path = Path(Constant(LAN_DELAY))
        self.loopback_path = Path(Constant(LOOPBACK_DELAY))
        self.hosts: list[Host] = []
        self.names: dict[str, str] = {}  # further names -> addresses: the world's DNS
        self.watch: Watcher | None = None
        self._salt = self.rng.getrandbits(61)
        self._public: dict[str, Host] = {}
        self._by_name: dict[str, Host] = {}
        self._paths: dict[tuple[int, int], Path] = {}
        self.cuts: list[tuple[frozenset[int], frozenset[int]]] = []
        self._next_ip = FIRST_IP
        self._home: Host | None = None

    # Hosts

    def host(
        self,
        name: str | None = None,
        *,
        ip: str | None = None,
        nat: Nat | None = None,
        lan: Lan | None = None,
        up: float | Pipe | None = None,
        down: float | Pipe | None = None,
        queue: float = QUEUE,
    ) -> Host:
        """A new host: public, on a LAN, or behind a NAT; `up` and `down` in bytes a second."""
        number = len(self.hosts)
        name = name or f"host{number}"
        if name in self._by_name:
            raise ValueError(f"there is a host named {name}")
        if nat is not None and (up or down):
            raise ValueError("the link of a host behind a NAT is its router's")
        lan = nat.lan if nat is not None else lan
        if ip is None:
            ip = self.new_ip() if nat is None else nat.lan.new_ip()
        host = Host(self, number, name, ip)
        host.nat, host.lan = nat, lan
        if lan is not None:
            lan.hosts[ip] = host
        if nat is None:
            self._public[ip] = host
        else:
            host.edge = nat.router
        host.uplink = Pipe(up, queue) if isinstance(up, int | float) else up
        host.downlink = Pipe(down, queue) if isinstance(down, int | float) else down
        self.hosts.append(host)
        self._by_name[name] = host
        return host

    def nat(
        self,
        kind: str = "port-restricted",
        *,
        up: float | Pipe | None = None,
        down: float | Pipe | None = None,
        queue: float = QUEUE,
        **options: float,
    ) -> Nat:
        """A router with a public address; hosts join it by `host(nat=...)` and share its link."""
        router = self.host(f"router{len(self.hosts)}", up=up, down=down, queue=queue)
        nat = Nat(router.ip, kind, **options)
        nat.router = router
        router.routes_for = nat
        return nat

    def lan(self) -> Lan:
        """A local network of public hosts, for multicast."""
        return Lan()

    def new_ip(self) -> str:
        """The next free public address."""
        value = self._next_ip
        self._next_ip += 1
        return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))

    @property
    def home(self) -> Host:
        """The host of code that runs in none: plain asyncio programs live here."""
        if self._home is None:
            self._home = self.host("home")
        return self._home

    @property
    def current(self) -> Host:
        """The host that is running."""
        life = LIFE.get(None)
        return self.home if life is None else life.host

    def lookup(self, name: str) -> list[str]:
        """The addresses of a name, as DNS would answer."""
        if name == "localhost":
            return [LOOPBACK]
        if name in self.names:
            return [self.names[name]]
        host = self._by_name.get(name)
        return [host.ip] if host else []

    # Conditions

    def between(self, one: Host, other: Host) -> Path:
        """The path from one host to another."""
        if one is other:
            return self.loopback_path
        if one.lan is not None and one.lan is other.lan:
            return self._paths.get((one.number, other.number), self.lan_path)
        if self._paths:
            return self._paths.get((one.edge.number, other.edge.number), self.path)
        return self.path

    def local(self, one: Host, other: Host) -> bool:
        """Are they on one machine or one local network, so that no access link is used?"""
        return one.edge is other.edge or (one.lan is not None and one.lan is other.lan)

    def connect(self, one: Host, other: Host, path: Path, *, both_ways: bool = True) -> None:
        """Give two hosts (behind a NAT: two routers) a path of their own."""
        if one.lan is None or one.lan is not other.lan:
            one, other = one.edge, other.edge
        self._paths[one.number, other.number] = path
        if both_ways:
            self._paths[other.number, one.number] = path

    def delay(self, one: Host, other: Host, path: Path | None = None) -> float:
        """How long a packet travels; the same for every packet of a pair but for jitter."""
        if path is None:
            path = self.between(one, other)
        low, high = one.edge.number, other.edge.number
        if low > high:
            low, high = high, low
        share = (hash((self._salt, low, high)) * MIX >> 32 & 0xFFFFFFFF) / 0x100000000
        seconds = path.delay.quantile(share)
        if path.jitter is not None:
            seconds += path.jitter.quantile(self.rng.random())
        return seconds

    def partition(
        self, side: Iterable[Host], other: Iterable[Host], *, one_way: bool = False
    ) -> None:
        """Nothing gets from one side to the other (nor back, unless `one_way`)."""
        here = frozenset(host.number for host in side)
        there = frozenset(host.number for host in other)
        self.cuts.append((here, there))
        if not one_way:
            self.cuts.append((there, here))

    def heal(self) -> None:
        """End all partitions."""
        self.cuts.clear()

    def reaches(self, one: Host, other: Host) -> bool:
        """Does no partition stand between them?"""
        return not any(one.number in here and other.number in there for here, there in self.cuts)

    # Packets

    def carry(
        self, one: Host, other: Host, size: int, packets: int = 1, path: Path | None = None
    ) -> float | None:
        """When a packet (or a train of them) sent now arrives; None if it is lost."""
        when = self.loop.now
        if path is None:
            path = self.between(one, other)
        pipe = one.edge.uplink
        if pipe is not None and not self.local(one, other):
            left = pipe.enter(size, when)
            if left is None:
                return None
            when = left
        if path.loss and self.rng.random() > (1.0 - path.loss) ** packets:
            return None
        seconds = self.delay(one, other, path)
        if path.reorder and self.rng.random() < path.reorder:
            seconds += seconds * self.rng.random()
        return when + seconds

    def land(self, one: Host, other: Host, size: int) -> float | None:
        """When a packet that has arrived is through the receiver's pipe; None if it is lost."""
        if self.cuts and not self.reaches(one, other):
            return None
        pipe = other.edge.downlink
        if pipe is None or self.local(one, other):
            return self.loop.now
        return pipe.enter(size, self.loop.now)

    def send_datagram(self, source: "DatagramTransport", data: bytes, address: Address) -> None:
        """Put a datagram on its way."""
        sender = source.host
        target = self._public.get(address[0])
        if target is not None and target is not sender and source.plain:
            self._launch(sender, target, data, address[1], source.seen, source)
        else:
            self._send_elsewhere(source, data, address, target)

    def _send_elsewhere(
        self, source: "DatagramTransport", data: bytes, address: Address, target: Host | None
    ) -> None:
        """To oneself, to a group, to the LAN, or through a NAT."""
        sender = source.host
        ip, port = address
        if ip.startswith("127.") or ip == sender.ip:
            seen = (ip, source.seen[1]) if source.any_ip else source.seen
            self._launch(sender, sender, data, port, seen, source)
        elif 224 <= int(ip.partition(".")[0]) < 240:
            self._multicast(source, data, address)
        elif sender.lan is not None and ip in sender.lan.hosts:
            self._launch(sender, sender.lan.hosts[ip], data, port, source.seen, source)
        elif target is not None and source.any_ip:
            seen = source.seen
            if sender.nat is not None:
                seen = sender.nat.outbound(self.loop.now, "udp", sender, seen[1], address)
            self._launch(sender, target, data, port, seen, source)

    def _multicast(self, source: "DatagramTransport", data: bytes, address: Address) -> None:
        sender = source.host
        local = source.multicast_interface == LOOPBACK
        hosts = [sender] if local or sender.lan is None else list(sender.lan.hosts.values())
        for host in hosts:
            if host is not sender or source.multicast_loop:
                seen = (LOOPBACK, source.seen[1]) if local and source.any_ip else source.seen
                self._launch(sender, host, data, address[1], seen, source, address[0])

    def _launch(
        self,
        sender: Host,
        target: Host,
        data: bytes,
        port: int,
        seen: Address,
        source: "DatagramTransport",
        group: str | None = None,
    ) -> None:
        size = len(data) + HEADER
        args = (sender, target, data, port, seen, source, group)
        path = self.path
        if self._paths or sender.lan or target is sender:
            path = self.between(sender, target)
        if sender.edge.uplink is None and not path.loss and not path.reorder:
            arrival: float | None = self.loop.now + self.delay(sender, target, path)
        else:
            arrival = self.carry(sender, target, size, 1, path)
        # most hosts have neither a router nor a slow link: one step less for them
        direct = target.routes_for is None and target.edge.downlink is None
        if arrival is not None:
            self.loop.post(arrival, self._deliver if direct else self._arrive, args)
        if path.duplicate and self.rng.random() < path.duplicate:
            again = self.carry(sender, target, size, 1, path)
            if again is not None:
                self.loop.post(again, self._arrive, args)

    def _arrive(
        self,
        sender: Host,
        target: Host,
        data: bytes,
        port: int,
        seen: Address,
        source: "DatagramTransport",
        group: str | None,
    ) -> None:
        """A datagram has reached the receiver's end of the path: NAT, then the last pipe."""
        if target.routes_for is not None:
            inside = target.routes_for.inbound(self.loop.now, "udp", port, seen)
            if inside is None:
                return
            target, port = inside
        through = self.land(sender, target, len(data) + HEADER)
        if through is None:
            return
        if through > self.loop.now:
            args = (sender, target, data, port, seen, source, group)
            self.loop.post(through, self._deliver, args)
        else:
            self._deliver(sender, target, data, port, seen, source, group)

    def _deliver(
        self,
        sender: Host,
        target: Host,
        data: bytes,
        port: int,
        seen: Address,
        source: "DatagramTransport",
        group: str | None,
    ) -> None:
        loop = self.loop
        if not target.life.alive or (self.cuts and not self.reaches(sender, target)):
            return
        if loop.trace:  # as `arrived` does: this is the hot path
            loop.trace_hash = hash(
                (loop.trace_hash, loop.now, sender.number, target.number, len(data))
            )
        if self.watch is not None:
            self.watch("datagram", sender, target, len(data))
        sockets = target.datagrams.get(port) if target.datagrams else None
        if not sockets:
            if source.connected and source.host is sender:
                loop.post(loop.now + self.delay(target, sender), source.refused, ())
        elif len(sockets) == 1 and group is None:
            sockets[0].receive(data, seen, sender)
        else:
            self._deliver_to_some(sockets, data, seen, sender, group)

    def _deliver_to_some(
        self,
        sockets: "list[DatagramTransport]",
        data: bytes,
        seen: Address,
        sender: Host,
        group: str | None,
    ) -> None:
        """Several sockets share a port: all members of a group get it, else the latest."""
        if group is None:
            sockets[-1].receive(data, seen, sender)
            return
        interface = LOOPBACK if seen[0] == LOOPBACK else ""
        for socket in list(sockets):
            if socket.groups.get(group) == interface:
                socket.receive(data, seen, sender)

    # Connections

    def door(self, sender: Host, ip: str) -> Host | None:
        """The host (a NAT's router, if need be) that packets to this address come to."""
        if ip.startswith("127.") or ip == sender.ip:
            return sender
        if sender.lan is not None and ip in sender.lan.hosts:
            return sender.lan.hosts[ip]
        return self._public.get(ip)

    def seen_as(self, sender: Host, local: Address, remote: Address, protocol: str) -> Address:
        """The sender's address as the other side sees it."""
        inside = self.door(sender, remote[0])
        if sender.nat is None or inside is sender or (inside and inside.lan is sender.lan):
            return local
        return sender.nat.outbound(self.loop.now, protocol, sender, local[1], remote)

    def behind(
        self, door: Host, sender: Host, remote: Address, seen: Address, protocol: str
    ) -> tuple[Host, int] | None:
        """Who answers behind a door."""
        if door.routes_for is None:
            return door, remote[1]
        return door.routes_for.inbound(self.loop.now, protocol, remote[1], seen)

    def linked(self, one: Host, other: Host) -> bool:
        """Do packets go both ways between two hosts that are up?"""
        return other.alive and self.reaches(one, other) and self.reaches(other, one)

    def arrived(self, kind: str, one: Host, other: Host, size: int) -> None:
        """Let the trace and whoever watches know."""
        loop = self.loop
        if loop.trace:
            loop.trace_hash = hash((loop.trace_hash, loop.now, one.number, other.number, size))
        if self.watch is not None:
            self.watch(kind, one, other, size)

    def unplug(self, host: Host) -> None:
        """A host lost its power: its sockets are gone, and nobody is told."""
        for sockets in (host.datagrams or {}).values():
            for socket in sockets:
                socket.vanish()
        for stream in host.streams or ():
            stream.vanish()
        host.datagrams = host.listeners = host.streams = None
