"""What a server of libp2p's DHT says when it is asked.

Who asks is known: the connection proves it.  So a provider can only announce
itself, and a value only has to satisfy its namespace.  What makes no sense is
a ProtocolError, which resets the stream: the protocol has no other word for no.

libp2p/specs, kad-dht.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from shoal.dht.kademlia import Kademlia
from shoal.dht.libp2p import messages
from shoal.dht.libp2p.messages import CONNECTED, KadMessage, PeerMessage, RecordMessage
from shoal.dht.libp2p.places import TOLD_MAX, group_of, peer_of, worth
from shoal.dht.libp2p.validators import Validators
from shoal.dht.store import Store
from shoal.errors import LimitError, ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import readable

PROVIDER_KEY_MAX = 80  # bytes; go-libp2p's bound: the longest multihashes in use
PROVIDER_LIFE = 48 * 3600.0  # seconds (the specification)
PROVIDER_ADDRESS_LIFE = 24 * 3600.0  # seconds: peers move sooner than they stop providing
VALUE_LIFE = 48 * 3600.0  # seconds since it was stored here
PROVIDERS_TOLD_MAX = 100  # in one answer: 40 KiB or so


class Book(Protocol):
    """What a DHT asks of the address book."""

    def addresses(self, peer: PeerId, now: float, /) -> list[Multiaddr]: ...

    def add(
        self, peer: PeerId, addresses: Iterable[Multiaddr], now: float, lifetime: float = ..., /
    ) -> None: ...


@dataclass(slots=True, frozen=True)
class Asker:
    """Who asks, and where it really is."""

    peer: PeerId
    remote: Multiaddr


@dataclass(slots=True, frozen=True)
class Provided:
    """Where a provider was when it told us."""

    addresses: tuple[Multiaddr, ...]
    when: float


class Replies:
    """The answering half of a node."""

    def __init__(
        self,
        engine: Kademlia,
        book: Book,
        validators: Validators,
        *,
        own: PeerId,
        own_addresses: Callable[[], list[Multiaddr]],
        connected: Callable[[PeerId], bool],
        today: Callable[[], float],
        providers: Store | None = None,
        values: Store | None = None,
    ) -> None:
        self.engine = engine
        self.book = book
        self.validators = validators
        self.own = own
        self.own_addresses = own_addresses
        self.connected = connected
        self.today = today
        self.providers = Store() if providers is None else providers  # an empty one is false
        self.values = Store(per_key_max=1) if values is None else values
        self._methods: dict[int, Callable[[KadMessage, Asker, float], KadMessage | None]] = {
            messages.PUT_VALUE: self._put_value,
            messages.GET_VALUE: self._get_value,
            messages.ADD_PROVIDER: self._add_provider,
            messages.GET_PROVIDERS: self._get_providers,
            messages.FIND_NODE: self._find_node,
            messages.PING: lambda message, asker, now: message,
        }

    def reply(self, message: KadMessage, asker: Asker, now: float) -> KadMessage | None:
        """None where the protocol has no answer; ProtocolError or LimitError for a no."""
        if message.type != messages.PING and not message.key:
            raise ProtocolError("a kad question without a key")
        return self._methods[message.type](message, asker, now)

    def keep_value(self, key: bytes, value: bytes, now: float, group: object = None) -> None:
        """ProtocolError if it is no good, or older than ours."""
        self.validators.check(key, value, self.today())
        stored = self.value(key, now)
        if stored == value:
            pass  # its life begins anew
        elif stored is not None and not self.validators.better(key, value, stored):
            raise ProtocolError("a better value is stored under this key")
        if not self.values.put(key, None, value, now, VALUE_LIFE, size=len(value), group=group):
            raise LimitError("no room for this value")

    def keep_provider(
        self, key: bytes, peer: PeerId, addresses: Iterable[Multiaddr], now: float
    ) -> None:
        places = tuple(addresses)[:TOLD_MAX]
        group = next((found for one in places if (found := group_of(one)) is not None), None)
        size = len(peer.bytes) + sum(len(place.bytes) for place in places)
        kept = Provided(places, now)
        if not self.providers.put(key, peer, kept, now, PROVIDER_LIFE, size=size, group=group):
            raise LimitError("no room for this provider")

    def _find_node(self, message: KadMessage, asker: Asker, now: float) -> KadMessage:
        wanted = peer_of(message.key)
        first: list[PeerMessage] = []
        if wanted == self.own:
            first = [_message(self.own, worth(self.own_addresses(), asker.remote), False)]
        elif wanted is not None and wanted != asker.peer and self.connected(wanted):
            first = self._known(wanted, asker, now)  # clients are in no table
        named = {one.id for one in first}
        closer = [one for one in self._closer(message, asker, now) if one.id not in named]
        return KadMessage(messages.FIND_NODE, message.key, closer=[*first, *closer][: self._k])

    def _get_value(self, message: KadMessage, asker: Asker, now: float) -> KadMessage:
        value = self.value(message.key, now)
        record = None if value is None else RecordMessage(message.key, value)
        closer = self._closer(message, asker, now)
        return KadMessage(messages.GET_VALUE, message.key, record, closer)

    def _put_value(self, message: KadMessage, asker: Asker, now: float) -> KadMessage:
        record = message.record
        if record is None or record.key != message.key:
            raise ProtocolError("a value to store must come with its key")
        self.keep_value(record.key, record.value, now, group_of(asker.remote))
        return KadMessage(messages.PUT_VALUE, message.key, record)

    def _add_provider(self, message: KadMessage, asker: Asker, now: float) -> None:
        _check_provider_key(message.key)
        for named in message.providers[:TOLD_MAX]:
            addresses = worth(readable(named.addresses), asker.remote)
            if named.id == asker.peer.bytes and addresses:
                self.keep_provider(message.key, asker.peer, addresses, now)
                return
        raise ProtocolError("an announcement that names somebody else, or no address")

    def _get_providers(self, message: KadMessage, asker: Asker, now: float) -> KadMessage:
        _check_provider_key(message.key)
        kept = list(self.providers.get(message.key, now).items())
        if len(kept) > PROVIDERS_TOLD_MAX:
            kept = self.engine.rng.sample(kept, PROVIDERS_TOLD_MAX)
        providers = []
        for name, record in kept:
            assert isinstance(name, PeerId), "providers are kept by their id"
            addresses = self._addresses_of(name, record.value, now)
            connected = self.connected(name)
            providers.append(_message(name, worth(addresses, asker.remote), connected))
        closer = self._closer(message, asker, now)
        return KadMessage(messages.GET_PROVIDERS, message.key, closer=closer, providers=providers)

    @property
    def _k(self) -> int:
        return self.engine.parameters.k

    def _addresses_of(self, peer: PeerId, kept: Provided, now: float) -> list[Multiaddr]:
        if peer == self.own:
            return self.own_addresses()
        if now - kept.when < PROVIDER_ADDRESS_LIFE:
            return list(kept.addresses)
        return self.book.addresses(peer, now)

    def _closer(self, message: KadMessage, asker: Asker, now: float) -> list[PeerMessage]:
        target = self.engine.position_of(message.key)
        contacts = self.engine.closest(target)
        contacts.sort(key=lambda contact: contact.position ^ target)
        named: list[PeerMessage] = []
        for contact in contacts:
            peer = contact.address
            assert isinstance(peer, PeerId), "contacts are asked by their id"
            if peer != asker.peer:
                named += self._known(peer, asker, now)
        return named

    def _known(self, peer: PeerId, asker: Asker, now: float) -> list[PeerMessage]:
        """Somebody, unless we could not say where."""
        addresses = worth(self.book.addresses(peer, now), asker.remote)
        return [_message(peer, addresses, self.connected(peer))] if addresses else []

    def value(self, key: bytes, now: float) -> bytes | None:
        record = self.values.get(key, now).get(None)
        if record is None or not self.validators.allows(key, record.value, self.today()):
            return None  # it has expired by its own terms
        value: bytes = record.value
        return value


def _check_provider_key(key: bytes) -> None:
    if len(key) > PROVIDER_KEY_MAX:
        raise ProtocolError(f"a provider's key has at most {PROVIDER_KEY_MAX} bytes")


def _message(peer: PeerId, addresses: list[Multiaddr], connected: bool) -> PeerMessage:
    return PeerMessage(
        peer.bytes, [address.bytes for address in addresses], CONNECTED if connected else 0
    )
