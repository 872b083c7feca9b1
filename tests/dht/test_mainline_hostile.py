"""What strangers send never stops a mainline node, nor makes it a weapon."""

import random
from hashlib import sha1

import pytest
from hypothesis import given, settings, strategies as st
from tests.dht.mainline_world import ASKER, TARGET, Wires, ask, neighbour, network, query

from shoal.codec import bencode
from shoal.dht.guard import AMPLIFICATION_MAX, WINDOW, Guard
from shoal.dht.krpc import Address, Response, decode, encode_response, pack_address
from shoal.dht.mainline.core import Mainline
from shoal.dht.questions import Verb

HOST: Address = ("9.9.9.9", 999)
METHODS = [b"ping", b"find_node", b"get_peers", b"announce_peer", b"get", b"put"]
METHODS += [b"sample_infohashes", b"vote"]
Bencodable = st.recursive(
    st.integers(-(2**70), 2**70) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=4), inner),
    max_leaves=8,
)
NAMES = [b"id", b"target", b"info_hash", b"token", b"port", b"implied_port", b"want", b"v", b"k"]
NAMES += [b"sig", b"seq", b"salt", b"cas", b"nodes", b"nodes6", b"values", b"samples"]


def with_table() -> Mainline:
    core = Wires().add("10.0.0.1")
    rng = random.Random(5)
    for number in range(200):
        contact = core.contact(rng.randbytes(20), (f"{number + 1}.1.1.1", 5))
        core.engine.table.answered(contact, 0.0)
    return core


def loaded() -> Mainline:
    """A node that has much to say: peers, values and a full table."""
    core = with_table()
    for number in range(300):
        peer = pack_address((f"3.3.{number >> 8}.{number & 255}", 5))
        core.replies.peers.put(TARGET, peer, None, 1000.0, 1e6)
        core.replies.peers.put(number.to_bytes(20), peer, None, 1000.0, 1e6)
    token = ask(core, query(b"get", target=VALUE_KEY))[b"r"][b"token"]
    assert b"r" in ask(core, query(b"put", v=VALUE, token=token))
    return core


VALUE = b"v" * 900
VALUE_KEY = sha1(b"900:" + VALUE).digest()


@given(data=st.binary(max_size=400))
def test_random_bytes_stop_nobody(data: bytes) -> None:
    core = with_table()
    for attempt in (data, b"d" + data, query(b"ping")[: len(data)] + data):
        ask(core, attempt)
    assert ask(core, query(b"ping"))


@pytest.mark.slow
@settings(max_examples=200)
@given(
    method=st.sampled_from(METHODS),
    arguments=st.dictionaries(st.sampled_from(NAMES), Bencodable),
    good_id=st.booleans(),
)
def test_arguments_of_any_kind_stop_nobody(
    method: bytes, arguments: dict[bytes, object], good_id: bool
) -> None:
    core = with_table()
    fields = {**arguments, b"id": ASKER} if good_id else arguments
    ask(core, bencode.encode({b"a": fields, b"q": method, b"t": b"aa", b"y": b"q"}))  # type: ignore[dict-item]
    assert ask(core, query(b"ping"))


@pytest.mark.slow
@settings(max_examples=200)
@given(
    verb=st.sampled_from([Verb.PING, Verb.FIND_NODE, Verb.GET_PROVIDERS, Verb.GET_VALUE]),
    result=st.dictionaries(st.sampled_from(NAMES), Bencodable),
    good_id=st.booleans(),
    seen_as=st.binary(max_size=20),
)
def test_results_of_any_kind_stop_nobody(
    verb: Verb, result: dict[bytes, object], good_id: bool, seen_as: bytes
) -> None:
    core = with_table()
    core.engine.ask(core.contact(ASKER, HOST), verb, 1000.0, TARGET)
    core.flush()
    question = decode(core.out.pop()[0])
    if good_id:
        result = {**result, b"id": ASKER}
    core.receive(encode_response(Response(question.transaction, result, seen_as)), HOST, 1000.1)
    assert len(core.engine.questions) <= 3
    core.out.clear()
    assert ask(core, query(b"ping"))


def test_answers_from_elsewhere_or_with_another_number_are_ignored() -> None:
    core = with_table()
    heard: list[object] = []
    core.engine.ask(core.contact(ASKER, HOST), Verb.PING, 1000.0, listener=heard.append)
    core.flush()
    transaction = decode(core.out.pop()[0]).transaction
    good = encode_response(Response(transaction, {b"id": ASKER}))
    core.receive(good, ("9.9.9.9", 1000), 1000.1)
    core.receive(good, ("9.9.9.8", 999), 1000.1)
    for forged in (b"", transaction[:3], transaction + b"x", bytes(4)):
        core.receive(encode_response(Response(forged, {b"id": ASKER})), HOST, 1000.1)
    assert heard == []
    core.receive(good, HOST, 1000.1)
    assert len(heard) == 1


def test_replies_never_amplify() -> None:
    core = loaded()
    queries = [
        query(b"ping"),
        query(b"find_node", target=TARGET),
        query(b"find_node", target=TARGET, want=[b"n4", b"n6"]),
        query(b"get_peers", info_hash=TARGET),
        query(b"sample_infohashes", target=TARGET),
        query(b"get", target=VALUE_KEY),
        query(b"nonsense"),
        b"d1:y1:qe",
        b"d1:q1:x1:y1:qe",
        b"d1:ad2:id0:e1:q0:1:y1:qe",
    ]
    sent = received = 0
    for number in range(200):
        for data in queries:
            now = 1000.0 + number / 100
            core.receive(data, ("9.9.9.9", number + 1), now)
            received += len(data)
    sent = sum(len(data) for data, to in core.out if to[0] == "9.9.9.9")
    assert sent <= AMPLIFICATION_MAX * received
    for data in queries:
        core.out.clear()
        core.receive(data, ("9.9.9.9", 77), 1003.0)  # by now the allowance is spent
        assert sum(len(reply) for reply, _ in core.out) <= AMPLIFICATION_MAX * len(data)


def test_who_is_known_at_its_address_gets_the_whole_answer() -> None:
    core = loaded()
    core.engine.table.answered(core.contact(neighbour(core), HOST), 1000.0)
    data = query(b"get_peers", info_hash=TARGET).replace(ASKER, neighbour(core))
    assert len(ask(core, data)[b"r"][b"values"]) == 100


def test_a_flood_is_not_answered_and_others_are() -> None:
    core = with_table()
    core.guard = core.replies.guard = Guard(1000.0, rate=20.0)
    for number in range(10_000):
        core.receive(query(b"ping"), ("9.9.9.9", 1 + number % 1000), 1000.0)
    answered = [to for data, to in core.out if data.startswith(b"d2:ip")]
    assert len(answered) == 20 * WINDOW
    assert len(core.out) <= 20 * WINDOW + 16  # and the strangers whom we ask back
    core.out.clear()
    assert ask(core, query(b"ping"), ("8.8.8.8", 8))


def test_spoofed_ids_do_not_enter_the_table() -> None:
    core = with_table()
    before = len(core.engine.table)
    for number in range(500):
        spoofed = query(b"ping").replace(ASKER, number.to_bytes(20))
        core.receive(spoofed, (f"66.{number % 250}.1.1", 5), 1000.0)
    core.out.clear()
    for second in range(30):
        core.tick(1000.0 + second)
    assert len(core.engine.table) <= before


def test_an_eclipse_from_one_slash_16_gets_a_quarter_of_any_bucket() -> None:
    core = with_table()
    rng = random.Random(9)
    now = 1000.0
    for number in range(3000):
        now += 0.5
        node_id = (int.from_bytes(core.id) ^ rng.getrandbits(rng.randint(1, 160))).to_bytes(20)
        address = (f"66.6.{number >> 8}.{number & 255}", 6)
        core.receive(query(b"ping").replace(ASKER, node_id), address, now)
        for data, to in core.out:
            if to == address and data.startswith(b"d1:a"):
                number_ = decode(data).transaction
                core.receive(encode_response(Response(number_, {b"id": node_id})), address, now)
        core.out.clear()
    for index, bucket in core.engine.table._buckets.items():
        evil = sum(entry.contact.group == bytes([66, 6]) for entry in bucket.entries)
        assert evil <= 2, index
    assert sum(contact.group == bytes([66, 6]) for contact in core.engine.table) <= 8


def test_poisoned_values_are_never_reported() -> None:
    wires = network(20)
    cores = list(wires.cores.values())
    for core in cores[1:]:  # everybody else holds a wrong value under the key
        core.replies.items.put(TARGET, None, _Poison(), wires.now, 1e6)
    found: list[object] = []
    cores[0].engine.walk(
        Verb.GET_VALUE, TARGET, wires.now, listener=lambda answer: found.extend(answer.values)
    )
    cores[0].flush()
    wires.run()
    assert found == []


class _Poison:
    value = b"poison"
    public_key = b""
    sequence = 0
