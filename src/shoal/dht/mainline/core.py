"""A mainline node: datagrams in, datagrams out.

Turns the engine's questions into KRPC queries and what comes back into its
answers.  A response counts only if it repeats our transaction and comes from
the address that we asked.  Our id is bound to the address that others see us
at (BEP 42), so it changes when most of them agree on another one.

One node speaks one family of addresses; a twin speaks the other (BEP 32).
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shoal.codec import bencode
from shoal.dht.guard import Guard, Tokens
from shoal.dht.kademlia import Kademlia, Parameters
from shoal.dht.krpc import (
    ID_SIZE,
    PORT_SIZE,
    Address,
    Fields,
    Query,
    Refusal,
    Response,
    Seen,
    decode,
    encode_query,
    pack_address,
    pack_host,
    pack_nodes,
    split_nodes,
    unpack_address,
    unpack_nodes,
    unpack_values,
)
from shoal.dht.mainline.items import accept
from shoal.dht.mainline.node_id import bound_id, group_of, is_bound, is_local
from shoal.dht.mainline.replies import NODES, VERSION, Replies
from shoal.dht.mainline.template import Templates
from shoal.dht.questions import Answer, Question, Verb
from shoal.dht.store import Store
from shoal.dht.table import Contact
from shoal.errors import ProtocolError

if TYPE_CHECKING:
    from random import Random

NUMBER_SIZE = 4  # bytes of a transaction
METHODS = {
    Verb.PING: b"ping",
    Verb.FIND_NODE: b"find_node",
    Verb.GET_PROVIDERS: b"get_peers",
    Verb.ADD_PROVIDER: b"announce_peer",
    Verb.GET_VALUE: b"get",
    Verb.PUT_VALUE: b"put",
    Verb.SAMPLE: b"sample_infohashes",
}
VOTES_MIN = 5  # nodes that have to tell us our address before we believe them
SAVED_MAX = 200  # contacts kept over a restart
CONTACTS_MAX = 32_768  # named nodes to remember: answers name the same ones again and again
MAINLINE = Parameters(k=8, resend=True)


def position_of(key: bytes) -> int:
    return int.from_bytes(key)


def key_at(position: int) -> bytes:
    return position.to_bytes(ID_SIZE)


@lru_cache(CONTACTS_MAX)
def contact_of(node: bytes) -> Contact:
    """A node in compact form."""
    node_id, packed = node[:ID_SIZE], node[ID_SIZE:]
    address = unpack_address(packed)
    return Contact(position_of(node_id), node_id, address, group_of(packed[:-PORT_SIZE]))


class Mainline:
    """One node of BitTorrent's DHT, on one family of addresses."""

    def __init__(
        self,
        rng: "Random",
        now: float,
        *,
        node_id: bytes | None = None,
        family: bytes = b"n4",
        parameters: Parameters = MAINLINE,
        guard: Guard | None = None,
        enforce_ids: bool = False,
        peers: Store | None = None,
        items: Store | None = None,
    ) -> None:
        self.rng = rng
        self.family = family
        self.parameters = parameters
        self.enforce_ids = enforce_ids  # leave out nodes whose id is not bound to their address
        self.out: list[tuple[bytes, Address]] = []
        self.external: str | None = None  # our host, as most others see it
        self.moved: Callable[[str], None] | None = None  # is told when that changes
        self.guard = guard or Guard(now)
        self.broken = 0  # datagrams that were no KRPC
        self._seen = Seen(VOTES_MIN)
        self._nodes, self._address_size = NODES[family]
        self.engine = self._make_engine(node_id or rng.randbytes(ID_SIZE), now)
        self.replies = Replies(
            self.engine, self.guard, Tokens(rng, now), family=family, peers=peers, items=items
        )
        self.templates = Templates(self.replies)

    @property
    def id(self) -> bytes:
        return self.engine.id

    @property
    def deadline(self) -> float:
        return self.engine.deadline

    def receive(self, data: bytes, address: Address, now: float) -> bool:
        """One datagram. True if the deadline or `out` may hold more than the reply."""
        if self.parameters.server:
            reply = self.templates.reply(data, address, now)
            if reply is not None:
                if reply:
                    self.out.append((reply, address))
                return False
        try:
            message = decode(data)
        except ProtocolError:
            self.broken += 1
            return False
        if isinstance(message, Query):
            self._query(message, data, address, now)
        else:
            self._answer(message, address, now)
        self.flush()
        return True

    def tick(self, now: float) -> None:
        self.engine.tick(now)
        self.flush()

    def flush(self) -> None:
        """Put the engine's questions on the wire; call it after asking the engine for anything."""
        for question in self.engine.out:
            address: Any = question.contact.address
            self.out.append((self._encode(question), address))
        self.engine.out.clear()

    def contact(self, node_id: bytes, address: Address) -> Contact:
        return contact_of(node_id + pack_address(address))

    def stored(self, verb: Verb, key: bytes, now: float) -> list[Any]:
        """What we keep under a key, as somebody else's answer would have it."""
        if verb is Verb.GET_PROVIDERS:
            return unpack_values(list(self.replies.peers.get(key, now)))
        item = self.replies.item(key, now)
        return [item] if item is not None else []

    def join(self, now: float, bootstrap: Iterable[Address] = ()) -> None:
        self.engine.join(now, [Contact(0, b"", address) for address in bootstrap])
        self.flush()

    def twin(self, other: "Mainline") -> None:
        """The node of the other family: who wants both gets nodes of both (BEP 32)."""
        self.replies.other_family = other.replies.nodes
        other.replies.other_family = self.replies.nodes

    def dump(self) -> bytes:
        """Id and contacts, for `load` after a restart."""
        contacts = list(self.engine.table)[:SAVED_MAX]
        return bencode.encode({b"id": self.id, self._nodes: pack_nodes(contacts)})

    def load(self, data: bytes, now: float) -> None:
        """Take up the id and the contacts of a former run; they are asked again before long."""
        saved = bencode.decode(data, lenient=True)
        if not isinstance(saved, dict):
            raise ProtocolError("saved table is no dictionary")
        node_id = saved.get(b"id")
        if isinstance(node_id, bytes) and len(node_id) == ID_SIZE:
            self._rebuild(node_id, now)
        for known_id, address in unpack_nodes(saved.get(self._nodes), self._address_size):
            self.engine.table.answered(
                self.contact(known_id, address), now - self.parameters.questionable
            )

    def _make_engine(self, node_id: bytes, now: float) -> Kademlia:
        return Kademlia(
            node_id,
            self.rng,
            position_of=position_of,
            key_at=key_at,
            parameters=self.parameters,
            now=now,
        )

    def _rebuild(self, node_id: bytes, now: float) -> None:
        """Another id: another place, so another table out of the same contacts."""
        former = self.engine
        self.engine = self._make_engine(node_id, now)
        former.questions.close(now)
        self.engine.bootstrap = former.bootstrap
        for contact in former.table:
            self.engine.table.answered(contact, now)
        self.replies.engine = self.engine
        self.templates = Templates(self.replies)

    def _query(self, query: Query, data: bytes, address: Address, now: float) -> None:
        if not self.parameters.server or not self.guard.admits(address[0], now):
            return
        node_id = (query.arguments or {}).get(b"id")
        known = False
        if isinstance(node_id, bytes) and len(node_id) == ID_SIZE and not query.read_only:
            known = self.engine.table.heard(address, node_id, now)
            if not known and not self.engine.heard(address, node_id, now):
                self._verify(node_id, address, now)
        reply = self.replies.reply(query, address, len(data), known, now)
        if reply:
            self.out.append((reply, address))

    def _verify(self, node_id: bytes, address: Address, now: float) -> None:
        if address[1] and self._may_join(node_id, address):  # port 0 cannot be asked
            self.engine.verify(self.contact(node_id, address), now)

    def _may_join(self, node_id: bytes, address: Address) -> bool:
        return not self.enforce_ids or is_bound(node_id, pack_host(address[0]))

    def _answer(self, message: Response | Refusal, address: Address, now: float) -> None:
        if len(message.transaction) != NUMBER_SIZE:
            return
        number = int.from_bytes(message.transaction)
        question = self.engine.questions.pending(number)
        if question is None or question.contact.address != address:
            return
        if isinstance(message, Refusal):
            self.engine.refused(number, now)
            return
        node_id = message.result.get(b"id")
        if not isinstance(node_id, bytes) or len(node_id) != ID_SIZE:
            self.engine.refused(number, now)
            return
        contact = question.contact
        if contact.id != node_id:
            contact = self.contact(node_id, address)
        self.engine.answered(number, self._read(question, contact, message.result), now)
        self._vote(message.seen_as, contact, now)

    def _read(self, question: Question, contact: Contact, result: Fields) -> Answer:
        answer = Answer(contact)
        for node in split_nodes(result.get(self._nodes), self._address_size):
            contact = contact_of(node)
            if not self.enforce_ids or self._may_join(contact.id, contact.address):  # type: ignore[arg-type]
                answer.closer.append(contact)
        token = result.get(b"token")
        answer.token = token if isinstance(token, bytes) else b""
        if question.verb is Verb.GET_PROVIDERS:
            answer.values = unpack_values(result.get(b"values"))
        elif question.verb is Verb.GET_VALUE:
            answer.values = _items(result, question)
        elif question.verb is Verb.SAMPLE:
            samples = result.get(b"samples")
            answer.values = _split(samples) if isinstance(samples, bytes) else []
            number = result.get(b"num")
            answer.extra["num"] = number if isinstance(number, int) and number >= 0 else 0
        return answer

    def _encode(self, question: Question) -> bytes:
        arguments: Fields = {b"id": self.id}
        verb = question.verb
        if verb in (Verb.FIND_NODE, Verb.GET_VALUE, Verb.SAMPLE):
            arguments[b"target"] = question.key
        elif verb in (Verb.GET_PROVIDERS, Verb.ADD_PROVIDER):
            arguments[b"info_hash"] = question.key
        if verb in (Verb.ADD_PROVIDER, Verb.PUT_VALUE):
            arguments |= question.argument
        return encode_query(
            Query(
                question.number.to_bytes(NUMBER_SIZE),
                METHODS[verb],
                arguments,
                read_only=not self.parameters.server,
            ),
            VERSION,
        )

    def _vote(self, seen_as: bytes, voter: Contact, now: float) -> None:
        if len(seen_as) != self._address_size:
            return
        try:
            host, _ = unpack_address(seen_as)
        except ProtocolError:
            return
        agreed = self._seen.vote(host, voter.address if voter.group is None else voter.group)
        if agreed is None or agreed == self.external:
            return
        self.external = agreed
        if self.moved:
            self.moved(agreed)
        packed = pack_host(agreed)
        if not is_local(packed) and not is_bound(self.id, packed):
            self._rebuild(bound_id(packed, self.rng), now)
            self.engine.join(now)


def _items(result: Fields, question: Question) -> list[Any]:
    try:
        item = accept(result, question.key, question.argument or b"")
    except ProtocolError:
        return []
    return [item] if item else []


def _split(samples: bytes) -> list[Any]:
    return [
        samples[start : start + ID_SIZE] for start in range(0, len(samples) - ID_SIZE + 1, ID_SIZE)
    ]
