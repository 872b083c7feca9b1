"""What strangers can say to the DHTs."""

from itertools import count

from tests.dht.mainline_world import ASKER, TARGET, Wires, query

from shoal.dht import krpc
from shoal.dht.krpc import Refusal, Response, encode_refusal, encode_response, pack_address
from shoal.dht.questions import Verb

Bytes = bytes | memoryview

_ADDRESS = pack_address(("1.2.3.4", 5))
_RESULT = {b"id": ASKER, b"nodes": ASKER + _ADDRESS, b"token": b"tk", b"values": [_ADDRESS]}
KRPC = (
    query(b"ping"),
    query(b"find_node", target=TARGET, want=[b"n4", b"n6"]),
    query(b"get_peers", info_hash=TARGET),
    query(b"announce_peer", info_hash=TARGET, port=5, token=b"tk", implied_port=1),
    query(b"put", v=[b"x", 5], k=bytes(32), sig=bytes(64), seq=1, salt=b"s", token=b"tk"),
    encode_response(Response(b"aaaa", _RESULT, _ADDRESS)),
    encode_refusal(Refusal(b"aaaa", 203, "no")),
)


def decode(data: Bytes) -> None:
    krpc.decode(bytes(data))


def node(data: Bytes) -> None:
    """A whole node, which never complains: one question of its own waits for this very answer."""
    core = Wires().add("10.0.0.1")
    numbers = count(int.from_bytes(b"aaaa"))
    core.rng.getrandbits = lambda bits: next(numbers)  # type: ignore[method-assign]
    verb = (Verb.GET_PROVIDERS, Verb.GET_VALUE, Verb.SAMPLE)[len(data) % 3]
    core.engine.ask(core.contact(ASKER, ("9.9.9.9", 9)), verb, 1000.0, TARGET)
    core.flush()
    core.receive(bytes(data), ("9.9.9.9", 9), 1000.0)
