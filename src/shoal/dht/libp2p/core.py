"""A node of libp2p's DHT without its streams: questions become messages, messages answers.

A peer is addressed by its id; where it is stands in the host's book, and what
an answer tells of others' addresses goes there too, for a short while.  Its
place is the SHA-256 of its id, as that of everything is of its key.

libp2p/specs, kad-dht.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shoal.codec import varint
from shoal.dht.kademlia import Kademlia, Parameters
from shoal.dht.libp2p import messages
from shoal.dht.libp2p.messages import KadMessage, PeerMessage, RecordMessage
from shoal.dht.libp2p.places import CACHE, LOCAL, group_of, peer_of, reach_of, worth
from shoal.dht.libp2p.replies import Asker, Book, Replies
from shoal.dht.libp2p.validators import Validators
from shoal.dht.questions import Answer, Question, Verb
from shoal.dht.store import Store
from shoal.dht.table import FAILURES_MAX, Contact
from shoal.errors import LimitError, ProtocolError, UsageError
from shoal.peer.book import CONFIRMED, HEARSAY
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import readable

if TYPE_CHECKING:
    from random import Random

BITS = 256
ALPHA = 10  # questions in flight; go's and js's
REFRESH = 600.0  # seconds; go's
LIBP2P = Parameters(k=20, alpha=ALPHA, bits=BITS, refresh=REFRESH)
NAMED_MAX = 64  # of the peers in one answer
PROVIDERS_READ_MAX = 256  # of those in one answer
GUESSES = 4096  # ids tried for one that falls into a bucket: enough for the twelve farthest
SAVED_MAX = 200  # contacts kept over a restart
REMINDER = 300.0  # seconds after which the book is told again where a contact of ours is


@lru_cache(CACHE)
def position_of(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(key).digest())


@dataclass(slots=True, frozen=True)
class Value:
    """A record: something under a key."""

    key: bytes
    value: bytes


@dataclass(slots=True)
class Home:
    """Where a contact listens, by its own word."""

    addresses: list[Multiaddr]
    told: float  # when the book last heard it


class Core:
    """One node, on the Internet's DHT or on that of a local network."""

    def __init__(
        self,
        own: PeerId,
        rng: "Random",
        now: float,
        *,
        book: Book,
        validators: Validators,
        own_addresses: Callable[[], list[Multiaddr]],
        connected: Callable[[PeerId], bool],
        today: Callable[[], float],
        lan: bool = False,
        parameters: Parameters = LIBP2P,
        providers: Store | None = None,
        values: Store | None = None,
    ) -> None:
        self.own = own
        self.lan = lan
        self.protocol = messages.LAN_PROTOCOL if lan else messages.PROTOCOL
        self.book = book
        self.validators = validators
        self.own_addresses = own_addresses
        self.today = today
        self.engine = Kademlia(
            own.bytes,
            rng,
            position_of=position_of,
            key_at=self._key_at,
            parameters=parameters,
            now=now,
        )
        self.replies = Replies(
            self.engine,
            book,
            validators,
            own=own,
            own_addresses=own_addresses,
            connected=connected,
            today=today,
            providers=providers,
            values=values,
        )
        self._homes: dict[PeerId, Home] = {}

    # Asking

    def request(self, question: Question, now: float) -> bytes:
        """The bytes of a question."""
        message = KadMessage(messages.TYPES[question.verb], question.key)
        if question.verb is Verb.PING:
            message.key = self.own.bytes
        elif question.verb is Verb.ADD_PROVIDER:
            message.providers = [self._ourselves()]
        elif question.verb is Verb.PUT_VALUE:
            message.record = RecordMessage(question.key, question.argument.value)
        return messages.encode(message)

    def read(self, question: Question, data: bytes, remote: Multiaddr, now: float) -> Answer:
        """What came back, from a peer at `remote`; ProtocolError if it is no answer to that."""
        message = messages.decode(data)
        if message.type != messages.TYPES[question.verb]:
            raise ProtocolError("the answer to another question")
        answer = self.answer(question, remote, now)
        answer.closer = self._contacts(message.closer, remote, now)
        if question.verb is Verb.GET_PROVIDERS:
            answer.values = self._providers(message.providers, remote, now)
        elif question.verb is Verb.GET_VALUE:
            answer.values = self._values(question.key, message.record)
        return answer

    def answer(self, question: Question, remote: Multiaddr, now: float) -> Answer:
        """That a peer lives, and no more."""
        peer = question.contact.address
        assert isinstance(peer, PeerId), "contacts are asked by their id"
        self._remind(peer, now)
        return Answer(self.contact(peer, [remote]))

    # Answering

    def serve(self, data: bytes, asker: Asker, now: float) -> bytes | None:
        """The answer to a message; None if there is none, ProtocolError or LimitError for no."""
        reply = self.replies.reply(messages.decode(data), asker, now)
        return None if reply is None else messages.encode(reply)

    # Whom we know

    def contact(self, peer: PeerId, addresses: Iterable[Multiaddr] = ()) -> Contact:
        group = next((found for one in addresses if (found := group_of(one)) is not None), None)
        return Contact(position_of(peer.bytes), peer.bytes, peer, group)

    def welcomes(self, remote: Multiaddr) -> bool:
        """Whether a peer at this address belongs to our DHT."""
        return not self.lan or reach_of(remote) <= LOCAL

    def introduced(
        self, peer: PeerId, addresses: Iterable[Multiaddr], remote: Multiaddr, now: float
    ) -> None:
        """A connected peer says that it serves this DHT and where it listens."""
        if self.welcomes(remote):
            if peer not in self._homes and len(self._homes) >= 2 * BITS:
                self._forget_homes()
            self._homes[peer] = Home(worth(addresses, remote), now)
            self.engine.verify(self.contact(peer, [remote]), now)

    def left(self, peer: PeerId) -> None:
        """A connected peer says that it serves this DHT no longer, or never did."""
        self._homes.pop(peer, None)
        for _ in range(FAILURES_MAX):
            self.engine.table.failed(peer)

    def kept(self, key: bytes, what: Value | None, now: float) -> None:
        """We are one of the peers that keep what we publish."""
        try:
            if what is None:
                self.replies.keep_provider(key, self.own, self.own_addresses(), now)
            else:
                self.replies.keep_value(key, what.value, now)
        except (LimitError, ProtocolError):
            return  # the others may have room, or know better

    def stored(self, verb: Verb, key: bytes, now: float) -> list[Any]:
        """What we keep under a key, as somebody else's answer would have it."""
        if verb is Verb.GET_PROVIDERS:
            return list(self.replies.providers.get(key, now))
        value = self.replies.value(key, now)
        return [Value(key, value)] if value is not None else []

    def value(self, key: bytes, value: bytes) -> Value:
        """A record that others will take; UsageError if they would not."""
        try:
            self.validators.check(key, value, self.today())
        except ProtocolError as error:
            raise UsageError(f"nobody would store this: {error}") from None
        return Value(key, value)

    def dump(self, now: float) -> bytes:
        """Contacts and where they are, for `load` after a restart."""
        closer = []
        for contact in list(self.engine.table)[:SAVED_MAX]:
            peer: Any = contact.address
            places = [address.bytes for address in self.book.addresses(peer, now)]
            closer.append(PeerMessage(peer.bytes, places))
        parts = [closer[at : at + NAMED_MAX] for at in range(0, len(closer), NAMED_MAX)]
        return b"".join(
            messages.encode(KadMessage(messages.FIND_NODE, closer=part)) for part in parts
        )

    def load(self, data: bytes, now: float) -> None:
        """Take up the contacts of a former run; they are asked again before long."""
        at = 0
        while at < len(data):
            size, at = varint.decode(data, at)
            for one in messages.decode(data[at : at + size]).closer:
                peer = peer_of(one.id)
                if peer is not None:
                    addresses = readable(one.addresses)
                    self.book.add(peer, addresses, now, CONFIRMED)
                    contact = self.contact(peer, addresses)
                    self.engine.table.answered(contact, now - self.engine.parameters.questionable)
            at += size

    def _ourselves(self) -> PeerMessage:
        addresses = [address.without_peer(self.own).bytes for address in self.own_addresses()]
        return PeerMessage(self.own.bytes, addresses[: messages.ADDRESSES_MAX])

    def _contacts(self, named: list[PeerMessage], remote: Multiaddr, now: float) -> list[Contact]:
        """Those that can be asked: we know where they are, or were told."""
        contacts = []
        for one in named[:NAMED_MAX]:
            peer = peer_of(one.id)
            if peer is None or peer == self.own:
                continue
            addresses = self._learn(peer, one, remote, now) or self.book.addresses(peer, now)
            if addresses:
                contacts.append(self.contact(peer, addresses))
        return contacts

    def _providers(self, named: list[PeerMessage], remote: Multiaddr, now: float) -> list[PeerId]:
        peers = []
        for one in named[:PROVIDERS_READ_MAX]:
            peer = peer_of(one.id)
            if peer is not None:
                peers.append(peer)
                if peer != self.own:
                    self._learn(peer, one, remote, now)
        return peers

    def _learn(
        self, peer: PeerId, named: PeerMessage, remote: Multiaddr, now: float
    ) -> list[Multiaddr]:
        addresses = worth(readable(named.addresses), remote)
        self.book.add(peer, addresses, now, HEARSAY)
        return addresses

    def _values(self, key: bytes, record: RecordMessage | None) -> list[Value]:
        if record is None or record.key != key:
            return []
        if not self.validators.allows(key, record.value, self.today()):
            return []
        return [Value(key, record.value)]

    def _remind(self, peer: PeerId, now: float) -> None:
        """Who answers us is where it said: the book forgets what it is not told again."""
        home = self._homes.get(peer)
        if home is not None and now - home.told >= REMINDER:
            home.told = now
            self.book.add(peer, home.addresses, now, CONFIRMED)

    def _forget_homes(self) -> None:
        known = {contact.address for contact in self.engine.table}
        self._homes = {peer: home for peer, home in self._homes.items() if peer in known}

    def _key_at(self, position: int) -> bytes:
        """A peer's id in the same bucket as the position, or the nearest that a few tries give."""
        own, rng = self.engine.own, self.engine.rng
        bucket = (own ^ position).bit_length()
        best, missed = b"", BITS
        for _ in range(GUESSES):
            key = b"\x12\x20" + rng.randbytes(32)
            miss = abs((own ^ position_of(key)).bit_length() - bucket)
            if miss < missed:
                best, missed = key, miss
            if not miss:
                break
        return best
