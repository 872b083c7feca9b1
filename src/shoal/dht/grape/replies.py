"""What a Grape says when it is asked.

BEP 5 on IPv4, with the name of a service as it is, of any length, where BEP 5
has a hash.  Who has peers for a name sends them in place of nodes; who has a
value sends it in place of nodes.  A query that lacks something gets error 203,
one of an unknown method, or an announce of a port that cannot be, silence.

Grenache's Grape 1.0 in its peculiarities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoal.dht.grape import quick
from shoal.dht.grape.values import Values
from shoal.dht.guard import Guard, Tokens
from shoal.dht.kademlia import Kademlia
from shoal.dht.krpc import (
    GENERIC_ERROR,
    ID_SIZE,
    PROTOCOL_ERROR,
    Address,
    Fields,
    Query,
    Refusal,
    Response,
    encode_refusal,
    encode_response,
    pack_address,
    pack_nodes,
)
from shoal.dht.mainline.items import from_fields, to_fields
from shoal.dht.store import Store
from shoal.errors import ProtocolError

NAME_MAX = 1000  # bytes of a service's name
PEER_LIFE = 120.0  # seconds that an announce is kept: Grenache's default
PEERS_MAX = 10_000  # names; Grenache's limit
VALUES_SENT_MAX = 100  # peers in one reply: 800 bytes, so that it stays in one packet

Result = Fields | tuple[int, str] | None


@dataclass(slots=True)
class Asked:
    """Who asks, and when."""

    host: str
    port: int
    now: float


class Replies:
    """The answering half of a Grape."""

    def __init__(
        self,
        engine: Kademlia,
        guard: Guard,
        tokens: Tokens,
        *,
        peer_life: float = PEER_LIFE,
        values: Values | None = None,
    ) -> None:
        self.engine = engine
        self.guard = guard
        self.tokens = tokens
        self.peer_life = peer_life
        self.peers = Store(keys_max=PEERS_MAX)
        self.own = Store(keys_max=PEERS_MAX)  # name -> ports of services on our own host
        self.values = values or Values()
        self._named: dict[int, bytes] = {}  # bucket -> its nodes, encoded, while they are all
        self._named_at = -1  # version of the table that this is of
        self.own_host: Callable[[str], str] = lambda asker: "127.0.0.1"
        self._methods: dict[bytes, Callable[[Fields, Asked], Result]] = {
            b"ping": lambda arguments, asked: {},
            b"find_node": self._find_node,
            b"get_peers": self._get_peers,
            b"announce_peer": self._announce_peer,
            b"get": self._get,
            b"put": self._put,
        }

    def reply(self, query: Query, address: Address, size: int, known: bool, now: float) -> bytes:
        """The datagram that answers a query of `size` bytes; empty if there is to be none."""
        result = self._result(query, Asked(address[0], address[1], now))
        if result is None:
            return b""
        if isinstance(result, tuple):
            reply = encode_refusal(Refusal(query.transaction, *result))
        else:
            reply = self._encode(query, result)
        return reply if known or self.guard.may_send(address[0], size, len(reply)) else b""

    def _encode(self, query: Query, result: Fields) -> bytes:
        if not result:
            return quick.write_done(self.engine.id, query.transaction)
        if query.method == b"get_peers":
            nodes, values = result.get(b"nodes", b""), result.get(b"values", [])
            own, token = self.engine.id, result[b"token"]
            return quick.write_answer(own, nodes, values, token, query.transaction)
        result[b"id"] = self.engine.id
        return encode_response(Response(query.transaction, result))

    def peers_of(self, name: bytes, asker: str, now: float) -> list[bytes]:
        """Compact addresses of a service, those on our own host as the asker can reach them."""
        if name not in self.own and name not in self.peers:
            return []
        found = dict.fromkeys(
            pack_address((self.own_host(asker), port)) for port in self.own.get(name, now)
        )
        found |= dict.fromkeys(self.peers.get(name, now))  # type: ignore[arg-type]
        peers = list(found)
        if len(peers) > VALUES_SENT_MAX:
            peers = self.engine.rng.sample(peers, VALUES_SENT_MAX)
        return peers

    def _result(self, query: Query, asked: Asked) -> Result:
        method = self._methods.get(query.method or b"")
        if query.arguments is None or query.method is None:
            return PROTOCOL_ERROR, "missing field"
        if method is None:
            return None
        node_id = query.arguments.get(b"id")
        if not isinstance(node_id, bytes) or len(node_id) != ID_SIZE:
            return PROTOCOL_ERROR, "invalid id"
        return method(query.arguments, asked)

    def _find_node(self, arguments: Fields, asked: Asked) -> Result:
        target = arguments.get(b"target")
        if not isinstance(target, bytes) or len(target) != ID_SIZE:
            return PROTOCOL_ERROR, "invalid target"
        return {b"nodes": self._nodes(target)}

    def _get_peers(self, arguments: Fields, asked: Asked) -> Result:
        name = name_of(arguments)
        if name is None:
            return PROTOCOL_ERROR, "invalid info_hash"
        peers = self.peers_of(name, asked.host, asked.now)
        result: Fields = {b"values": peers} if peers else {b"nodes": self._nodes(name)}
        result[b"token"] = self.tokens.give(asked.host, name, asked.now)
        return result

    def _announce_peer(self, arguments: Fields, asked: Asked) -> Result:
        name = name_of(arguments)
        if name is None:
            return PROTOCOL_ERROR, "invalid info_hash"
        if not self._accepts(arguments, name, asked):
            return PROTOCOL_ERROR, "bad token"
        port = asked.port if arguments.get(b"implied_port") == 1 else arguments.get(b"port")
        if not isinstance(port, int) or not 0 < port < 65536:
            return None
        packed = pack_address((asked.host, port))
        kept = self.peers.put(
            name, packed, None, asked.now, self.peer_life, size=len(name) + len(packed)
        )
        return {} if kept else (GENERIC_ERROR, "no room")

    def _get(self, arguments: Fields, asked: Asked) -> Result:
        target = arguments.get(b"target")
        if not isinstance(target, bytes) or len(target) != ID_SIZE:
            return PROTOCOL_ERROR, "invalid target"
        item = self.values.get(target)
        result = {b"nodes": self._nodes(target)} if item is None else to_fields(item)
        result[b"token"] = self.tokens.give(asked.host, target, asked.now)
        return result

    def _put(self, arguments: Fields, asked: Asked) -> Result:
        salt = arguments.get(b"salt", b"")
        try:
            item = from_fields(arguments, salt if isinstance(salt, bytes) else b"")
        except ProtocolError as error:
            return PROTOCOL_ERROR, str(error)
        if item is None:
            return PROTOCOL_ERROR, "missing v"
        if not self._accepts(arguments, item.key, asked):
            return PROTOCOL_ERROR, "bad token"
        fault = self.values.put(item, arguments.get(b"cas"))
        return fault or {}

    def _nodes(self, key: bytes) -> bytes:
        """Whom we name.  While we know few, all of them, in an order of each bucket's own."""
        table = self.engine.table
        if table.version != self._named_at:
            self._named_at = table.version
            self._named.clear()
        position = self.engine.position_of(key)
        bucket = (self.engine.own ^ position).bit_length()
        nodes = self._named.get(bucket)
        if nodes is None:
            nodes = pack_nodes(self.engine.closest(position))
            if len(table) <= self.engine.parameters.k:
                self._named[bucket] = nodes
        return nodes

    def _accepts(self, arguments: Fields, key: bytes, asked: Asked) -> bool:
        token: Any = arguments.get(b"token")
        return isinstance(token, bytes) and self.tokens.accepts(token, asked.host, key, asked.now)


def name_of(arguments: Fields) -> bytes | None:
    name = arguments.get(b"info_hash")
    return name if isinstance(name, bytes) and 0 < len(name) <= NAME_MAX else None
