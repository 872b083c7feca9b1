"""A reply from a template is, byte for byte, the one that the long way would have sent."""

import random

from hypothesis import given, settings, strategies as st
from tests.dht.mainline_world import ASKER, Wires, neighbour, query

from shoal.dht.krpc import Address, Query, decode, encode_query
from shoal.dht.mainline.core import Mainline

HOSTS = ["9.9.9.9", "127.0.0.1", "200.1.2.3"]


def core_with(size: int, seed: int) -> Mainline:
    core = Wires(seed).add("10.0.0.1")
    rng = random.Random(seed)
    for number in range(size):
        address = (f"{number % 200 + 1}.{number // 200}.1.1", number + 1)
        core.engine.table.answered(core.contact(rng.randbytes(20), address), 1000.0)
    return core


def usual(core: Mainline, *parts: bytes, **arguments: object) -> bytes:
    return query(*parts, **arguments).replace(ASKER, neighbour(core))


def long_way(core: Mainline, data: bytes, address: Address, known: bool) -> bytes:
    message = decode(data)
    assert isinstance(message, Query)
    return core.replies.reply(message, address, len(data), known, 1000.0)


@settings(max_examples=150)
@given(
    size=st.sampled_from([0, 5, 60, 300]),
    seed=st.integers(0, 5),
    method=st.sampled_from(["ping", "find_node", "get_peers"]),
    key=st.binary(min_size=20, max_size=20),
    node_id=st.binary(min_size=20, max_size=20),
    transaction=st.binary(max_size=9),
    version=st.sampled_from([b"", b"LT\2\1", b"odd"]),
    host=st.sampled_from(HOSTS),
    known=st.booleans(),
)
def test_templates_say_what_the_long_way_says(
    size: int, seed: int, method: str, key: bytes, node_id: bytes,
    transaction: bytes, version: bytes, host: str, known: bool,
) -> None:  # fmt: skip
    core = core_with(size, seed)
    address = (host, 999)
    arguments = {b"id": node_id}
    if method != "ping":
        arguments[b"target" if method == "find_node" else b"info_hash"] = key
    data = encode_query(Query(transaction, method.encode(), arguments), version)
    if known:
        known = core.engine.table.answered(core.contact(node_id, address), 1000.0)
    for _ in range(2):  # a stranger is asked back at first, and recognised then
        short = core.templates.reply(data, address, 1000.0)
        if short is not None:
            assert short == long_way(core, data, address, known)
        core.receive(data, address, 1000.0)


def test_the_usual_queries_are_recognised() -> None:
    core = core_with(300, 1)
    address = ("9.9.9.9", 999)
    core.engine.table.answered(core.contact(neighbour(core), address), 1000.0)
    far = bytes([core.id[0] ^ 0x80]) + core.id[1:]
    for data in (
        usual(core, b"ping"),
        usual(core, b"find_node", target=far),
        usual(core, b"get_peers", info_hash=far),
        usual(core, b"ping", b"1234"),
    ):
        assert core.templates.reply(data, address, 1000.0)


def test_what_only_the_long_way_can_decide_goes_there() -> None:
    core = core_with(300, 1)
    address = ("9.9.9.9", 999)
    core.engine.table.answered(core.contact(neighbour(core), address), 1000.0)
    far = bytes([core.id[0] ^ 0x80]) + core.id[1:]
    core.replies.peers.put(far, b"123456", None, 1000.0, 100.0)
    assert core.templates.reply(usual(core, b"get_peers", info_hash=far), address, 1000.0) is None
    stranger = query(b"ping").replace(ASKER, core.id[:-1] + bytes([core.id[-1] ^ 2]))
    assert core.templates.reply(stranger, ("8.8.8.8", 8), 1000.0) is None


def test_a_template_follows_the_table() -> None:
    core = core_with(300, 1)
    address = ("9.9.9.9", 999)
    core.engine.table.answered(core.contact(neighbour(core), address), 1000.0)
    far = bytes([core.id[0] ^ 0x80]) + core.id[1:]
    data = usual(core, b"find_node", target=far)
    for contact in core.engine.table.closest(int.from_bytes(far), 8):
        before = core.templates.reply(data, address, 1000.0)
        assert before == long_way(core, data, address, True)
        core.engine.table.failed(contact.address)
        core.engine.table.failed(contact.address)
    after = core.templates.reply(data, address, 1000.0)
    assert after in (None, long_way(core, data, address, True))
