"""A Grape's datagrams: Grenache's dialect of KRPC, on IPv4.

A name lies where its first 20 bytes do, as if it were an id.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shoal.dht.grape import quick
from shoal.dht.grape.replies import PEER_LIFE, Replies
from shoal.dht.grape.values import ENCODED_MAX, Values
from shoal.dht.guard import Guard, Tokens
from shoal.dht.kademlia import Kademlia, Parameters
from shoal.dht.krpc import (
    ID_SIZE,
    Address,
    Fields,
    Query,
    Refusal,
    Response,
    encode_query,
    unpack_nodes,
    unpack_values,
)
from shoal.dht.mainline.items import accept
from shoal.dht.questions import Answer, Question, Verb
from shoal.dht.table import Contact, K
from shoal.errors import ProtocolError

if TYPE_CHECKING:
    from random import Random

NUMBER_SIZE = 4  # bytes of a transaction
ADDRESS_SIZE = 6  # bytes: IPv4 and a port
CALL_EVERY = 10.0  # seconds, at most, between two calls
RATE = 20_000.0  # queries a second from one prefix: all the Grapes of a company live in one
ALLOWANCE = 1 << 20  # bytes beyond amplification in a window, for nodes we do not know yet
METHODS = {
    Verb.PING: b"ping",
    Verb.FIND_NODE: b"find_node",
    Verb.GET_VALUE: b"get",
    Verb.PUT_VALUE: b"put",
}
GRAPE = Parameters(k=K, alpha=16, resend=True, call_every=CALL_EVERY)  # alpha: the original's
NAMED_MAX = 256  # lists of nodes, as they travel, of which we remember the contacts


def position_of(key: bytes) -> int:
    """Of an id, or of a name of any length."""
    return int.from_bytes(key[:ID_SIZE].ljust(ID_SIZE, b"\0"))


def key_at(position: int) -> bytes:
    return position.to_bytes(ID_SIZE)


@dataclass(slots=True)
class Storing:
    """What others are asked to keep, and why some did not."""

    fields: Fields
    refusals: list[Refusal] = field(default_factory=list)


class Grape:
    """One node of Grenache's DHT."""

    def __init__(
        self,
        rng: "Random",
        now: float,
        *,
        node_id: bytes | None = None,
        parameters: Parameters = GRAPE,
        guard: Guard | None = None,
        peer_life: float = PEER_LIFE,
        values: Values | None = None,
    ) -> None:
        self.rng = rng
        self.out: list[tuple[bytes, Address]] = []
        self.broken = 0  # datagrams that were no KRPC
        self.guard = guard or Guard(now, rate=RATE, allowance=ALLOWANCE)
        self.engine = Kademlia(
            node_id or rng.randbytes(ID_SIZE),
            rng,
            position_of=position_of,
            key_at=key_at,
            parameters=parameters,
            now=now,
        )
        self.replies = Replies(
            self.engine, self.guard, Tokens(rng, now), peer_life=peer_life, values=values
        )
        self._named: dict[bytes, list[Contact]] = {}  # few Grapes name the same ones for ever

    @property
    def id(self) -> bytes:
        return self.engine.id

    @property
    def deadline(self) -> float:
        return self.engine.deadline

    def receive(self, data: bytes, address: Address, now: float) -> bool:
        """One datagram. True if the deadline or `out` may hold more than the reply."""
        try:
            message = quick.read(data)
        except ProtocolError:
            self.broken += 1
            return False
        if isinstance(message, Query):
            self._query(message, data, address, now)
        else:
            self._answer(message, address, now)
        if not self.engine.out:
            return False
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

    def join(self, now: float, bootstrap: Iterable[Address] = ()) -> None:
        self.engine.join(now, [Contact(0, b"", address) for address in bootstrap])
        self.flush()

    def contact(self, node_id: bytes, address: Address) -> Contact:
        return Contact(position_of(node_id), node_id, address)

    def _query(self, query: Query, data: bytes, address: Address, now: float) -> None:
        if not self.guard.admits(address[0], now):
            return
        node_id = (query.arguments or {}).get(b"id")
        known = False
        if isinstance(node_id, bytes) and len(node_id) == ID_SIZE:
            known = self.engine.table.heard(address, node_id, now)
            if not known and not self.engine.heard(address, node_id, now):
                self.engine.verify(self.contact(node_id, address), now)
        reply = self.replies.reply(query, address, len(data), known, now)
        if reply:
            self.out.append((reply, address))

    def _answer(self, message: Response | Refusal, address: Address, now: float) -> None:
        if len(message.transaction) != NUMBER_SIZE:
            return
        number = int.from_bytes(message.transaction)
        question = self.engine.questions.pending(number)
        if question is None or question.contact.address != address:
            return
        if isinstance(message, Refusal):
            if isinstance(question.argument, Storing):
                question.argument.refusals.append(message)
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

    def _read(self, question: Question, contact: Contact, result: Fields) -> Answer:
        nodes = result.get(b"nodes")
        answer = Answer(contact, self._contacts(nodes) if isinstance(nodes, bytes) else [])
        token = result.get(b"token")
        answer.token = token if isinstance(token, bytes) else b""
        if question.verb is Verb.GET_PROVIDERS:
            answer.values = unpack_values(result.get(b"values"))
        elif question.verb is Verb.GET_VALUE:
            try:
                item = accept(result, question.key, question.argument or b"", most=ENCODED_MAX)
            except ProtocolError:
                item = None
            answer.values = [item] if item else []
        return answer

    def _contacts(self, nodes: bytes) -> list[Contact]:
        """Those named in compact form."""
        known = self._named.get(nodes)
        if known is None:
            if len(self._named) >= NAMED_MAX:
                self._named.clear()
            unpacked = unpack_nodes(nodes, ADDRESS_SIZE)
            known = [self.contact(*each) for each in unpacked]
            if len(known) <= K:
                self._named[nodes] = known
        return known

    def _encode(self, question: Question) -> bytes:
        verb = question.verb
        number = question.number.to_bytes(NUMBER_SIZE)
        if verb is Verb.GET_PROVIDERS:
            return quick.write_question(self.id, question.key, number)
        if verb is Verb.ADD_PROVIDER:
            told = question.argument.fields
            return quick.write_announce(
                self.id, question.key, told[b"port"], told[b"token"], number
            )
        arguments: Fields = {b"id": self.id}
        if verb in (Verb.FIND_NODE, Verb.GET_VALUE):
            arguments[b"target"] = question.key
        if isinstance(question.argument, Storing):
            arguments |= question.argument.fields
        return encode_query(Query(number, METHODS[verb], arguments))
