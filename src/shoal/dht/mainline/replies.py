"""What a mainline node says when it is asked.

Each method turns arguments into a result or a refusal.  Nobody is trusted:
keys and ids have their length or the query is refused, storing needs a token,
and a reply that would be much longer than its query is cut to size.

BEP 5 (ping, find_node, get_peers, announce_peer), BEP 32 (want), BEP 44 (get,
put), BEP 51 (sample_infohashes).  The texts and codes for broken queries are
those that libtorrent sends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoal.dht.guard import AMPLIFICATION_MAX, Guard, Tokens
from shoal.dht.kademlia import Kademlia
from shoal.dht.krpc import (
    CAS_MISMATCH,
    GENERIC_ERROR,
    ID_SIZE,
    PROTOCOL_ERROR,
    SEQUENCE_OLD,
    UNKNOWN_METHOD,
    Address,
    Fields,
    Query,
    Refusal,
    Response,
    encode_refusal,
    encode_response,
    pack_address,
    pack_host,
    pack_nodes,
)
from shoal.dht.mainline.items import Item, fault_of, from_fields, to_fields
from shoal.dht.mainline.node_id import group_of
from shoal.dht.store import Record, Store
from shoal.errors import ProtocolError

VERSION = b"SH\0\1"  # the `v` of our messages: who wrote this, and its version
VALUES_MAX = 100  # peers in one reply to somebody who is known to be at its address
SAMPLES_MAX = 20  # keys in one sample
SAMPLE_INTERVAL = 21_600  # seconds after which asking for another sample is worth it (BEP 51)
PEER_LIFE = 2700.0  # seconds that an announced peer is kept; clients announce every 15 to 30 min
ITEM_LIFE = 7200.0  # seconds that a value is kept; BEP 44 has it stored anew each hour
NODES = {b"n4": (b"nodes", 6), b"n6": (b"nodes6", 18)}  # family -> key, bytes of an address

Result = Fields | tuple[int, str]


@dataclass(slots=True)
class Asked:
    """Who asks, and when."""

    host: str
    port: int
    known: bool  # it has answered us at this address before
    now: float


class Replies:
    """The answering half of a node."""

    def __init__(
        self,
        engine: Kademlia,
        guard: Guard,
        tokens: Tokens,
        *,
        family: bytes = b"n4",
        peers: Store | None = None,
        items: Store | None = None,
    ) -> None:
        self.engine = engine
        self.guard = guard
        self.tokens = tokens
        self.family = family
        self.peers = Store() if peers is None else peers  # an empty one is false
        self.items = Store(per_key_max=1) if items is None else items
        self.other_family: Callable[[int], bytes] | None = None  # nodes of our twin (BEP 32)
        self._methods: dict[bytes, Callable[[Fields, Asked], Result]] = {
            b"ping": self._ping,
            b"find_node": self._find_node,
            b"get_peers": self._get_peers,
            b"announce_peer": self._announce_peer,
            b"get": self._get,
            b"put": self._put,
            b"sample_infohashes": self._sample,
        }

    def reply(self, query: Query, address: Address, size: int, known: bool, now: float) -> bytes:
        """The datagram that answers a query of `size` bytes; empty if there is to be none."""
        asked = Asked(address[0], address[1], known, now)
        result = self._result(query, asked)
        if isinstance(result, tuple):
            refusal = encode_refusal(Refusal(query.transaction, *result), VERSION)
            return refusal if self.guard.may_send(asked.host, size, len(refusal)) else b""
        result[b"id"] = self.engine.id
        response = Response(query.transaction, result, pack_address(address))
        reply = encode_response(response, VERSION)
        if known or len(reply) <= size * AMPLIFICATION_MAX:
            return reply
        _fewer_values(result, len(reply) - size * AMPLIFICATION_MAX)
        reply = encode_response(response, VERSION)
        if self.guard.may_send(asked.host, size, len(reply)):
            return reply
        _fewer_nodes(result, len(reply) - size * AMPLIFICATION_MAX)
        reply = encode_response(response, VERSION)
        return reply if len(reply) <= size * AMPLIFICATION_MAX else b""

    def nodes(self, target: int) -> bytes:
        return pack_nodes(self.engine.closest(target))

    def _result(self, query: Query, asked: Asked) -> Result:
        arguments = query.arguments
        if arguments is None:
            return PROTOCOL_ERROR, "missing 'a' key"
        if query.method is None:
            return PROTOCOL_ERROR, "missing 'q' key"
        fault = _fault_of_id(arguments, b"id")
        if fault:
            return fault
        method = self._methods.get(query.method)
        if method is None:  # BEP 5's way forward: whoever names a target wants nodes near it
            if not (b"target" in arguments or b"info_hash" in arguments):
                return UNKNOWN_METHOD, "unknown message"
            method = self._find_node
        return method(arguments, asked)

    def _ping(self, arguments: Fields, asked: Asked) -> Result:
        return {}

    def _find_node(self, arguments: Fields, asked: Asked) -> Result:
        name = b"target" if b"target" in arguments else b"info_hash"
        return _fault_of_id(arguments, name) or self._near(arguments, arguments[name])

    def _get_peers(self, arguments: Fields, asked: Asked) -> Result:
        fault = _fault_of_id(arguments, b"info_hash")
        if fault:
            return fault
        key = arguments[b"info_hash"]
        result = self._near(arguments, key)
        result[b"token"] = self.tokens.give(asked.host, key, asked.now)
        values = list(self.peers.get(key, asked.now))
        if len(values) > VALUES_MAX:
            values = self.engine.rng.sample(values, VALUES_MAX)
        if values:
            result[b"values"] = values
        return result

    def _announce_peer(self, arguments: Fields, asked: Asked) -> Result:
        fault = _fault_of_id(arguments, b"info_hash")
        if fault:
            return fault
        key = arguments[b"info_hash"]
        fault = self._fault_of_token(arguments, key, asked)
        if fault:
            return fault
        port = asked.port if arguments.get(b"implied_port") == 1 else arguments.get(b"port")
        if not isinstance(port, int) or not 0 < port < 65536:
            return PROTOCOL_ERROR, "invalid port"
        peer = pack_address((asked.host, port))
        kept = self.peers.put(
            key,
            peer,
            None,
            asked.now,
            PEER_LIFE,
            size=len(peer),
            group=group_of(pack_host(asked.host)),
        )
        return {} if kept else (GENERIC_ERROR, "no room")

    def _get(self, arguments: Fields, asked: Asked) -> Result:
        fault = _fault_of_id(arguments, b"target")
        if fault:
            return fault
        key = arguments[b"target"]
        result = self._near(arguments, key)
        result[b"token"] = self.tokens.give(asked.host, key, asked.now)
        item = self.item(key, asked.now)
        if item is not None:
            sequence = arguments.get(b"seq")
            old = isinstance(sequence, int) and item.public_key and sequence >= item.sequence
            result |= {b"seq": item.sequence} if old else to_fields(item)
        return result

    def _put(self, arguments: Fields, asked: Asked) -> Result:
        salt = arguments.get(b"salt", b"")
        try:
            item = from_fields(arguments, salt if isinstance(salt, bytes) else b"")
        except ProtocolError as error:
            return PROTOCOL_ERROR, str(error)
        if item is None:
            return PROTOCOL_ERROR, "missing 'v' key"
        key = item.key
        fault = self._fault_of_token(arguments, key, asked) or fault_of(item)
        fault = fault or self._conflict(item, key, arguments.get(b"cas"), asked.now)
        if fault:
            return fault
        kept = self.items.put(
            key,
            None,
            item,
            asked.now,
            ITEM_LIFE,
            size=len(item.encoded),
            group=group_of(pack_host(asked.host)),
        )
        return {} if kept else (GENERIC_ERROR, "no room")

    def _sample(self, arguments: Fields, asked: Asked) -> Result:
        fault = _fault_of_id(arguments, b"target")
        if fault:
            return fault
        self.peers.expire(asked.now)
        keys = [key for key in self.peers.keys() if len(key) == ID_SIZE]  # noqa: SIM118
        sample = self.engine.rng.sample(keys, min(len(keys), SAMPLES_MAX))
        result = self._near(arguments, arguments[b"target"])
        return result | {
            b"interval": SAMPLE_INTERVAL,
            b"num": len(keys),
            b"samples": b"".join(sample),
        }

    def _near(self, arguments: Fields, key: bytes) -> Fields:
        """Nodes of the families that were asked for; of our own if none was."""
        target = self.engine.position_of(key)
        want = arguments.get(b"want")
        families = [self.family]
        if isinstance(want, list):
            families = [family for family in NODES if family in want] or families
        result: Fields = {}
        for family in families:
            name, _ = NODES[family]
            if family == self.family:
                result[name] = self.nodes(target)
            elif self.other_family is not None:
                result[name] = self.other_family(target)
        return result

    def item(self, key: bytes, now: float) -> Item | None:
        record: Record | None = self.items.get(key, now).get(None)
        return record.value if record else None

    def _conflict(self, item: Item, key: bytes, cas: Any, now: float) -> tuple[int, str] | None:
        """Why a mutable item may not take the place of the one that is there."""
        stored = self.item(key, now)
        if stored is None or not item.public_key:
            return None
        if isinstance(cas, int) and cas != stored.sequence:
            return CAS_MISMATCH, "cas does not match the sequence number"
        if item.sequence < stored.sequence:
            return SEQUENCE_OLD, "sequence number is less than the current one"
        return None

    def _fault_of_token(
        self, arguments: Fields, key: bytes, asked: Asked
    ) -> tuple[int, str] | None:
        token = arguments.get(b"token")
        if isinstance(token, bytes) and self.tokens.accepts(token, asked.host, key, asked.now):
            return None
        return PROTOCOL_ERROR, "invalid token"


def _fault_of_id(arguments: Fields, name: bytes) -> tuple[int, str] | None:
    value = arguments.get(name)
    if isinstance(value, bytes) and len(value) == ID_SIZE:
        return None
    text = name.decode()
    missing = name not in arguments
    return PROTOCOL_ERROR, f"missing '{text}' key" if missing else f"invalid value for '{text}'"


def _fewer_values(result: Fields, excess: int) -> None:
    """Peers and samples first: of those every node has others."""
    values = result.get(b"values")
    if values:
        size = len(values[0]) + 3
        keep = max(len(values) - -(-excess // size), 1)
        result[b"values"] = values[:keep]
    elif b"samples" in result:
        keep = max(len(result[b"samples"]) - excess, 0) // ID_SIZE
        result[b"samples"] = result[b"samples"][: keep * ID_SIZE]


def _fewer_nodes(result: Fields, excess: int) -> None:
    """Then the value, then nodes of the family that was asked for beside ours, then others."""
    for name in (b"v", b"k", b"sig"):
        value = result.pop(name, b"")
        excess -= len(value) if isinstance(value, bytes) else 0
    for name, size in ((b"nodes6", ID_SIZE + 18), (b"nodes", ID_SIZE + 6)):
        nodes = result.get(name, b"")
        if nodes and excess > 0:
            keep = max(len(nodes) - excess, 0) // size * size
            result[name] = nodes[:keep]
            excess -= len(nodes) - keep
