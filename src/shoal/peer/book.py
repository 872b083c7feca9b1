"""What we know of other peers: where they are, what they speak, how they behave.

Everybody can tell us addresses, so everything here ends: an address expires, a
peer without addresses is forgotten, and when the book is full, those go first
that are worth least.  A score is what services gave or took for behaviour; it
halves with time, so that neither fame nor blame is for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp2, inf

from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import PeerRecord

HEARSAY = 120.0  # seconds; an address that another peer told us, for a dial soon
CONFIRMED = 1800.0  # seconds; one that the peer told us itself, or that we reached it at
FOR_EVER = inf  # one that the user gave us

PEERS_MAX = 4096  # two full routing tables and the peers of some swarms
ADDRESSES_MAX = 32  # of one peer
PROTOCOLS_MAX = 256  # of one peer; go-libp2p with everything on has 30
PROTOCOL_MAX = 256  # characters of a protocol's name; the longest in use have 40
RECORD_MAX = 4096  # bytes of a signed record that is kept to hand on; usual ones have 500
SWEEP = 60.0  # seconds between two searches for what has expired
SCORE_HALF_LIFE = 600.0  # seconds
SCORE_FORGOTTEN = 0.1  # points that are not worth remembering a peer for
_EVICTED = 16  # one in so many goes when the book is full: sorting at every peer would be slow


@dataclass(slots=True)
class _Entry:
    addresses: dict[Multiaddr, float] = field(default_factory=dict)  # -> when it expires
    protocols: tuple[str, ...] = ()
    points: float = 0.0
    points_at: float = 0.0
    sequence: int = -1  # of the peer's signed record
    record: bytes = b""  # that record, to hand on
    holds: int = 0  # connections and services that need this entry

    def score(self, now: float) -> float:
        return self.points * exp2((self.points_at - now) / SCORE_HALF_LIFE)

    def expire(self, now: float) -> None:
        for address in [place for place, end in self.addresses.items() if end <= now]:
            del self.addresses[address]

    def worth(self, now: float) -> tuple[float, float]:
        """By which the book is sorted when it is full: behaviour, then how long it still holds."""
        return self.score(now), max(self.addresses.values(), default=0.0)

    def is_forgettable(self, now: float) -> bool:
        return not (self.holds or self.addresses or abs(self.score(now)) > SCORE_FORGOTTEN)


class Book:
    """At most `peers_max` peers, but for those that are held."""

    def __init__(self, *, peers_max: int = PEERS_MAX, addresses_max: int = ADDRESSES_MAX) -> None:
        self.peers_max = peers_max
        self.addresses_max = addresses_max
        self.deadline: float | None = None  # when `tick` has something to do
        self._entries: dict[PeerId, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._entries

    def add(
        self,
        peer: PeerId,
        addresses: Iterable[Multiaddr],
        now: float,
        lifetime: float = HEARSAY,
    ) -> None:
        """Remember where a peer can be reached; a known address lives on, never shorter."""
        places = [address.without_peer(peer) for address in addresses]
        places = [place for place in places if place.peer is None]  # else it is another's
        if not places:
            return
        entry = self._entry(peer, now)
        for place in places:
            entry.addresses[place] = max(now + lifetime, entry.addresses.get(place, now))
        while len(entry.addresses) > self.addresses_max:
            del entry.addresses[min(entry.addresses, key=entry.addresses.__getitem__)]

    def certify(
        self, envelope: bytes, now: float, lifetime: float = CONFIRMED
    ) -> PeerRecord | None:
        """Take a signed record instead of what was heard before; None if we have a newer one.

        ProtocolError if it is not a peer's own record.
        """
        record = PeerRecord.open(envelope)
        entry = self._entry(record.peer, now)
        if record.sequence < entry.sequence:
            return None
        kept = {place: end for place, end in entry.addresses.items() if end == FOR_EVER}
        entry.sequence, entry.addresses = record.sequence, kept
        entry.record = envelope if len(envelope) <= RECORD_MAX else b""
        self.add(record.peer, record.addresses, now, lifetime)
        return record

    def addresses(self, peer: PeerId, now: float) -> list[Multiaddr]:
        """Where it can be reached, what we trust longest first."""
        entry = self._entries.get(peer)
        if entry is None:
            return []
        entry.expire(now)
        return sorted(entry.addresses, key=lambda place: (-entry.addresses[place], place))

    def forget(self, peer: PeerId, address: Multiaddr) -> None:
        """This address is wrong: another peer answered there."""
        if peer in self._entries:
            self._entries[peer].addresses.pop(address.without_peer(peer), None)

    def record(self, peer: PeerId) -> bytes | None:
        """Its last signed record, for others."""
        entry = self._entries.get(peer)
        return entry.record or None if entry else None

    def set_protocols(self, peer: PeerId, protocols: Iterable[str], now: float) -> None:
        names = [name for name in protocols if len(name) <= PROTOCOL_MAX]
        self._entry(peer, now).protocols = tuple(names[:PROTOCOLS_MAX])

    def protocols(self, peer: PeerId) -> tuple[str, ...]:
        entry = self._entries.get(peer)
        return entry.protocols if entry else ()

    def speakers(self, protocol: str) -> list[PeerId]:
        """The peers that speak it, in the order in which we met them."""
        return [peer for peer, entry in self._entries.items() if protocol in entry.protocols]

    def judge(self, peer: PeerId, points: float, now: float) -> None:
        """Give points for good behaviour, take them (negative) for bad."""
        entry = self._entry(peer, now)
        entry.points = entry.score(now) + points
        entry.points_at = now

    def score(self, peer: PeerId, now: float) -> float:
        entry = self._entries.get(peer)
        return entry.score(now) if entry else 0.0

    def hold(self, peer: PeerId, now: float) -> None:
        """Keep what we know of it while it is connected; once for each `release`."""
        self._entry(peer, now).holds += 1

    def release(self, peer: PeerId) -> None:
        entry = self._entries.get(peer)
        if entry and entry.holds:
            entry.holds -= 1

    def tick(self, now: float) -> None:
        """Forget what has expired."""
        if self.deadline is None or now < self.deadline:
            return
        for peer, entry in list(self._entries.items()):
            entry.expire(now)
            if entry.is_forgettable(now):
                del self._entries[peer]
        self.deadline = now + SWEEP if self._entries else None

    def _entry(self, peer: PeerId, now: float) -> _Entry:
        entry = self._entries.get(peer)
        if entry is None:
            if len(self._entries) >= self.peers_max:
                self._evict(now)
            entry = self._entries[peer] = _Entry(points_at=now)
            if self.deadline is None:
                self.deadline = now + SWEEP
        return entry

    def _evict(self, now: float) -> None:
        loose = [peer for peer, entry in self._entries.items() if not entry.holds]
        loose.sort(key=lambda peer: self._entries[peer].worth(now))
        for peer in loose[: max(1, self.peers_max // _EVICTED)]:
            del self._entries[peer]
