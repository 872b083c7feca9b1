"""How much strangers may take: counts and memory in scopes, rates, and who goes first.

What a peer uses is charged to its connection, its peer and the node at once, as
a stream is also charged to its protocol.  The scope that is full first says no, and nothing is
charged then.  An inbound connection is counted by the prefix of its address as
well, so that one network cannot take all places.

When the node is full, a newcomer takes the place of the connection that
`choose_victim` names.  Old, quick and busy connections are hard to fake, so the
best by each measure stay; of the rest the youngest of the largest prefix goes.

The scopes are those of libp2p's resource manager; the eviction is after
Bitcoin Core's `SelectNodeToEvict`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from shoal.config import setting
from shoal.errors import LimitError

PREFIX_BITS = {4: 24, 6: 56}  # one customer's network, as a rule
PROTECTED = 4  # connections that each measure saves from eviction
PREFIXES_MAX = 4096  # of which the rate is remembered; beyond, the oldest is forgotten


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What strangers may take."""

    section: ClassVar[str] = "limits"
    connections: int = setting(1024, "connections in all", least=1)
    inbound: int = setting(768, "connections that others opened", least=1)
    per_peer: int = setting(8, "connections with one peer", least=1)
    per_prefix: int = setting(32, "inbound connections from one /24 or /56", least=1)
    handshakes: int = setting(128, "inbound connections that have not proved who they are", least=1)
    prefix_rate: float = setting(5.0, "inbound connections from one /24 or /56", unit="/s")
    prefix_burst: int = setting(40, "of them at once", least=1)
    streams: int = setting(16_384, "streams in all", least=1)
    streams_per_peer: int = setting(2048, "streams with one peer", least=1)
    streams_per_protocol: int = setting(8192, "streams of one protocol", least=1)
    memory: int = setting(512 << 20, "unread data in all", unit="B", least=1 << 20)
    memory_per_peer: int = setting(128 << 20, "unread data from one peer", unit="B", least=1 << 20)


class Scope:
    """Something that is charged, and whatever is charged with it."""

    __slots__ = ("limits", "name", "parents", "used")

    def __init__(self, name: str, parents: Sequence["Scope"] = (), **limits: int) -> None:
        self.name = name
        self.parents = tuple(parents)  # all of them: theirs are not asked in turn
        self.limits = limits
        self.used = dict.fromkeys(limits, 0)

    def take(self, what: str, count: int = 1) -> None:
        """Charge all scopes, or none and raise LimitError."""
        chain = (self, *self.parents)
        for scope in chain:
            limit = scope.limits.get(what)
            if limit is not None and scope.used[what] + count > limit:
                raise LimitError(f"{scope.name} has reached its {limit} {what}")
        for scope in chain:
            if what in scope.used:
                scope.used[what] += count

    def give(self, what: str, count: int = 1) -> None:
        for scope in (self, *self.parents):
            if what in scope.used:
                scope.used[what] -= count
                assert scope.used[what] >= 0, f"{scope.name} gave back more {what} than it took"


@dataclass(slots=True)
class Rate:
    """A bucket that fills with time; a connection takes one drop."""

    drops: float
    at: float

    def take(self, now: float, rate: float, burst: float) -> bool:
        self.drops = min(burst, self.drops + (now - self.at) * rate)
        self.at = now
        if self.drops < 1:
            return False
        self.drops -= 1
        return True


def prefix_of(host: str) -> str | None:
    """The network of an address; None for this machine, which is not limited, and for names."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if address.is_loopback:
        return None
    shift = address.max_prefixlen - PREFIX_BITS[address.version]
    return f"network {address.version}:{int(address) >> shift:x}"


class Limits:
    """The scopes of one node."""

    def __init__(self, settings: LimitSettings | None = None) -> None:
        self.settings = limits = settings or LimitSettings()
        self.node = Scope(
            "the node",
            connections=limits.connections,
            inbound=limits.inbound,
            handshakes=limits.handshakes,
            streams=limits.streams,
            memory=limits.memory,
        )
        self._peers: dict[bytes, Scope] = {}
        self._protocols: dict[str, Scope] = {}
        self._prefixes: dict[str, Scope] = {}
        self._rates: dict[str, Rate] = {}

    def pipe(self, host: str, now: float) -> Scope:
        """An inbound connection from this address, before anything else is known of it."""
        prefix = prefix_of(host)
        if prefix is None:
            scope = Scope("this address", [self.node])
        else:
            self._check_rate(prefix, now)
            network = self._prefixes.get(prefix)
            if network is None:
                network = Scope(prefix, inbound=self.settings.per_prefix)
            scope = Scope("this address", [network, self.node])
        scope.take("handshakes")
        try:
            scope.take("inbound")
        except LimitError:
            scope.give("handshakes")
            raise
        if prefix is not None:
            self._prefixes[prefix] = scope.parents[0]
        return scope

    @property
    def crowded(self) -> bool:
        """No room for one more handshake."""
        return self.node.used["handshakes"] >= self.node.limits["handshakes"]

    @property
    def full(self) -> bool:
        """No room for one more inbound connection, from wherever."""
        return self.node.used["inbound"] >= self.node.limits["inbound"] or not self.room

    @property
    def room(self) -> int:
        """How many more connections there may be."""
        return self.node.limits["connections"] - self.node.used["connections"]

    def release_pipe(self, scope: Scope) -> None:
        scope.give("inbound")
        network = scope.parents[0]
        if not network.used["inbound"]:
            self._prefixes.pop(network.name, None)

    def wire(self, host: str, now: float, *, inbound: bool) -> "Place":
        """A place for a connection without a muxer, as BitTorrent's; or LimitError."""
        return Place(self, host, now, inbound=inbound)

    def _check_rate(self, prefix: str, now: float) -> None:
        limits = self.settings
        rate = self._rates.pop(prefix, None) or Rate(limits.prefix_burst, now)
        while len(self._rates) >= PREFIXES_MAX:
            del self._rates[next(iter(self._rates))]
        self._rates[prefix] = rate
        if not rate.take(now, limits.prefix_rate, limits.prefix_burst):
            raise LimitError(f"{prefix} connects too often")

    def connection(self, peer: bytes) -> Scope:
        """A connection whose peer is known; it charges the peer and the node with its own."""
        one = self._peers.get(peer)
        if one is None:
            limits = self.settings
            one = Scope(
                "the peer",
                connections=limits.per_peer,
                streams=limits.streams_per_peer,
                memory=limits.memory_per_peer,
            )
        scope = Scope("the connection", [one, self.node], memory=self.settings.memory_per_peer)
        scope.take("connections")
        self._peers[peer] = one
        return scope

    def release_connection(self, scope: Scope, peer: bytes) -> None:
        scope.give("connections")
        if not self._peers[peer].used["connections"]:
            del self._peers[peer]

    def protocol(self, name: str) -> Scope:
        if name not in self._protocols:
            limit = self.settings.streams_per_protocol
            self._protocols[name] = Scope(f"protocol {name}", streams=limit)
        return self._protocols[name]


class Place:
    """What a connection without a muxer takes: one of the node's, and a stranger's if it came."""

    def __init__(self, limits: Limits, host: str, now: float, *, inbound: bool) -> None:
        self._limits = limits
        self._pipe = limits.pipe(host, now) if inbound else None
        self._unproved = inbound
        self._held = False
        try:
            limits.node.take("connections")
        except LimitError:
            self.leave()
            raise
        self._held = True

    def proved(self) -> None:
        """The handshake is done: somebody else may begin one.  Safe twice, as `leave` is."""
        if self._unproved and self._pipe is not None:
            self._pipe.give("handshakes")
        self._unproved = False

    def leave(self) -> None:
        self.proved()
        if self._pipe is not None:
            self._limits.release_pipe(self._pipe)
            self._pipe = None
        if self._held:
            self._limits.node.give("connections")
            self._held = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """An inbound connection that could make room."""

    key: int
    prefix: str | None
    opened: float
    useful: float  # when it last carried a stream
    round_trip: float | None
    streams: int


def choose_victim(candidates: Iterable[Candidate]) -> Candidate | None:
    """Who has to go for a newcomer; None if all deserve to stay."""
    left = list(candidates)
    measures = (
        lambda one: (one.round_trip is None, one.round_trip or 0.0),  # quick
        lambda one: -one.streams,  # busy
        lambda one: -one.useful,  # lately of use
        lambda one: one.opened,  # old
    )
    for measure in measures:
        left.sort(key=lambda one: (measure(one), one.key))
        left = left[PROTECTED:]
    if not left:
        return None
    sizes: dict[str | None, int] = {}
    for one in left:
        sizes[one.prefix] = sizes.get(one.prefix, 0) + 1
    return max(left, key=lambda one: (sizes[one.prefix], one.opened, one.key))
