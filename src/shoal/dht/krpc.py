"""KRPC: questions and answers as bencoded dictionaries, one in a datagram.

A message has a transaction `t` that its answer repeats, a kind `y` and, by
kind, a method `q` with arguments `a`, a result `r`, or an error `e`.  Nodes
and peers travel in compact form: an id of 20 bytes, an address of 4 or 16,
a port of 2.

Mainline and Grenache speak it.  BEP 5; BEP 32 for IPv6; BEP 42 for `ip`;
BEP 43 for `ro`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from shoal.codec import bencode
from shoal.dht.table import Contact
from shoal.errors import ProtocolError

ID_SIZE = 20
PORT_SIZE = 2
NO_PORT = b"\0\0"
NODES_MAX = 512  # contacts in one answer; a Grape names every node that it knows
VALUES_MAX = 512  # peers in one answer
DATAGRAM_MAX = 65_535  # bytes
CACHE = 16_384  # hosts and addresses to remember: a node meets the same ones again and again

GENERIC_ERROR, SERVER_ERROR, PROTOCOL_ERROR, UNKNOWN_METHOD = 201, 202, 203, 204  # BEP 5
TOO_BIG, BAD_SIGNATURE, SALT_TOO_BIG, CAS_MISMATCH, SEQUENCE_OLD = 205, 206, 207, 301, 302  # BEP 44

Address = tuple[str, int]  # host as text, port
Fields = dict[bytes, Any]


@dataclass(slots=True)
class Query:
    """A question; what it lacks is empty, for the answer says so."""

    transaction: bytes
    method: bytes | None
    arguments: Fields | None
    read_only: bool = False  # whoever asks answers nobody (BEP 43)


@dataclass(slots=True)
class Response:
    """The result of a question."""

    transaction: bytes
    result: Fields
    seen_as: bytes = b""  # our compact address as the other side sees it (BEP 42)


@dataclass(slots=True)
class Refusal:
    """An error in place of a result."""

    transaction: bytes
    code: int
    text: str = ""


Message = Query | Response | Refusal


def encode_query(query: Query, version: bytes = b"") -> bytes:
    message: Fields = {b"a": query.arguments, b"q": query.method, b"t": query.transaction}
    message[b"y"] = b"q"
    if query.read_only:
        message[b"ro"] = 1
    if version:
        message[b"v"] = version
    return bencode.encode(message)


def encode_response(response: Response, version: bytes = b"") -> bytes:
    message: Fields = {b"r": response.result, b"t": response.transaction, b"y": b"r"}
    if response.seen_as:
        message[b"ip"] = response.seen_as
    if version:
        message[b"v"] = version
    return bencode.encode(message)


def encode_refusal(refusal: Refusal, version: bytes = b"") -> bytes:
    text = refusal.text.encode()
    message: Fields = {b"e": [refusal.code, text], b"t": refusal.transaction, b"y": b"e"}
    if version:
        message[b"v"] = version
    return bencode.encode(message)


def decode(data: bytes) -> Message:
    """A message. Lenient where programs in the field are; ProtocolError if it is none."""
    if data[:1] != b"d" or len(data) > DATAGRAM_MAX:
        raise ProtocolError("datagram is no KRPC message")
    message = bencode.decode(data, lenient=True)
    if not isinstance(message, dict):
        raise ProtocolError("datagram is no KRPC message")
    kind = message.get(b"y")
    transaction = _bytes(message.get(b"t"))
    if kind == b"q":
        arguments = message.get(b"a")
        method = message.get(b"q")
        return Query(
            transaction,
            method if isinstance(method, bytes) else None,
            arguments if isinstance(arguments, dict) else None,
            read_only=message.get(b"ro") == 1,
        )
    if kind == b"r":
        result = message.get(b"r")
        if not isinstance(result, dict):
            raise ProtocolError("KRPC response has no result")
        return Response(transaction, result, _bytes(message.get(b"ip")))
    if kind == b"e":
        return _refusal(transaction, message.get(b"e"))
    raise ProtocolError("KRPC message is of no kind")


def _refusal(transaction: bytes, error: Any) -> Refusal:
    if not isinstance(error, list) or not error or not isinstance(error[0], int):
        return Refusal(transaction, GENERIC_ERROR)
    text = _bytes(error[1]) if len(error) > 1 else b""
    return Refusal(transaction, error[0], text.decode(errors="replace"))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


@lru_cache(CACHE)
def pack_host(host: str) -> bytes:
    """Text to 4 or 16 bytes; IPv4 inside IPv6 counts as IPv4. ProtocolError if it is neither."""
    try:
        if ":" not in host:
            return IPv4Address(host).packed
        address = IPv6Address(host.partition("%")[0])  # without the zone of a link
    except AddressValueError as error:
        raise ProtocolError(f"no IP address: {host}") from error
    return address.ipv4_mapped.packed if address.ipv4_mapped else address.packed


def unpack_host(packed: bytes) -> str:
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return str(IPv6Address(packed))


@lru_cache(CACHE)
def pack_address(address: Address) -> bytes:
    return pack_host(address[0]) + address[1].to_bytes(PORT_SIZE)


def unpack_address(packed: bytes) -> Address:
    """ProtocolError if it is neither 6 nor 18 bytes, or the port is 0."""
    if len(packed) not in (6, 18):
        raise ProtocolError("compact address is neither 6 nor 18 bytes")
    port = int.from_bytes(packed[-PORT_SIZE:])
    if not port:
        raise ProtocolError("port 0 cannot be reached")
    return unpack_host(packed[:-PORT_SIZE]), port


def pack_nodes(contacts: Iterable[Contact]) -> bytes:
    return b"".join(contact.id + pack_address(contact.address) for contact in contacts)


def unpack_nodes(data: Any, address_size: int) -> Iterator[tuple[bytes, Address]]:
    """Ids and addresses; those that cannot be reached are left out, and so is a cut-off end."""
    for node in split_nodes(data, address_size):
        yield node[:ID_SIZE], unpack_address(node[ID_SIZE:])


def split_nodes(data: Any, address_size: int) -> list[bytes]:
    """The same ones, each still packed."""
    size = ID_SIZE + address_size
    if not isinstance(data, bytes):
        return []
    whole = min(len(data) // size, NODES_MAX) * size
    nodes = [data[start : start + size] for start in range(0, whole, size)]
    return [node for node in nodes if node[-PORT_SIZE:] != NO_PORT]


def unpack_values(values: Any) -> list[Address]:
    """The peers of a get_peers answer, each once; what is no address is left out."""
    if not isinstance(values, list):
        return []
    found: dict[bytes, Address] = {}
    for packed in values[:VALUES_MAX]:
        if isinstance(packed, bytes) and len(packed) in (6, 18) and packed[-PORT_SIZE:] != NO_PORT:
            found.setdefault(packed, unpack_address(packed))
    return list(found.values())


@dataclass(slots=True)
class Seen:
    """Votes of others on the address that they see us at."""

    enough: int
    votes: dict[str, dict[Any, None]] = field(default_factory=dict)  # host -> who says so

    def vote(self, host: str, voter: Any) -> str | None:
        """The host that more than half of at least `enough` voters agree on."""
        for voters in self.votes.values():
            voters.pop(voter, None)
        self.votes.setdefault(host, {})[voter] = None
        self.votes = {host: voters for host, voters in self.votes.items() if voters}
        total = sum(map(len, self.votes.values()))
        if total < self.enough:
            return None
        if total > 4 * self.enough:  # the oldest opinions go
            for voters in self.votes.values():
                for old in list(voters)[: len(voters) // 2]:
                    del voters[old]
        best = max(self.votes, key=lambda candidate: len(self.votes[candidate]))
        return best if 2 * len(self.votes[best]) > total else None
