"""A Grape answers datagrams as the original does, survives any, and keeps within its limits."""

import random

import pytest
from hypothesis import given, strategies as st

from shoal.codec import bencode
from shoal.dht.grape.core import CALL_EVERY, Grape, position_of
from shoal.dht.grape.replies import NAME_MAX, PEER_LIFE, VALUES_SENT_MAX
from shoal.dht.grape.values import Values
from shoal.dht.guard import Guard
from shoal.dht.krpc import Address, Query, decode, encode_query, unpack_nodes
from shoal.dht.mainline.items import Item
from shoal.dht.questions import Verb

ASKER = b"abcdefghij0123456789"
HERE: Address = ("10.0.0.9", 999)
NOW = 1000.0


def make(seed: int = 1, **settings: object) -> Grape:
    return Grape(random.Random(seed), NOW, **settings)  # type: ignore[arg-type]


def query(method: bytes, **arguments: object) -> bytes:
    fields = {name.encode(): value for name, value in arguments.items()}
    return encode_query(Query(b"\0\1", method, {b"id": ASKER, **fields}))


def ask(
    grape: Grape, data: bytes, now: float = NOW, address: Address = HERE
) -> dict[bytes, object]:
    """The reply to a datagram, decoded; empty if there is none. Questions are dropped."""
    grape.receive(data, address, now)
    replies = [bencode.decode(sent) for sent, to in grape.out if to == address]
    grape.out.clear()
    answers = [reply for reply in replies if isinstance(reply, dict) and reply[b"y"] != b"q"]
    assert len(answers) <= 1
    return answers[0] if answers else {}


def result(
    grape: Grape, method: bytes, now: float = NOW, **arguments: object
) -> dict[bytes, object]:
    found = ask(grape, query(method, **arguments), now).get(b"r", {})
    assert isinstance(found, dict)
    return found


def error(grape: Grape, method: bytes, **arguments: object) -> list[object]:
    found = ask(grape, query(method, **arguments)).get(b"e", [])
    assert isinstance(found, list)
    return found


def test_only_what_the_original_sends_is_sent() -> None:
    grape = make()
    assert ask(grape, query(b"ping")) == {b"t": b"\0\1", b"y": b"r", b"r": {b"id": grape.id}}
    assert set(result(grape, b"find_node", target=ASKER)) == {b"id", b"nodes"}
    grape.join(NOW, [HERE])
    (data, address), *_ = grape.out
    sent = bencode.decode(data)
    assert isinstance(sent, dict)
    assert (address, set(sent), set(sent[b"a"])) == (
        HERE,
        {b"a", b"q", b"t", b"y"},
        {b"id", b"target"},
    )


@pytest.mark.parametrize("name", [b"a", b"rest:util:net", b"x" * 20, b"y" * NAME_MAX])
def test_a_name_of_any_length_is_announced_and_found(name: bytes) -> None:
    grape = make()
    before = result(grape, b"get_peers", info_hash=name)
    assert set(before) == {b"id", b"token", b"nodes"}
    token = before[b"token"]
    assert set(result(grape, b"announce_peer", info_hash=name, port=80, token=token)) == {b"id"}
    after = result(grape, b"get_peers", info_hash=name)
    assert after[b"values"] == [bytes([10, 0, 0, 9, 0, 80])]
    assert b"nodes" not in after
    assert result(grape, b"get_peers", NOW + PEER_LIFE - 0.1, info_hash=name)[b"values"]
    assert b"values" not in result(grape, b"get_peers", NOW + PEER_LIFE, info_hash=name)


def test_an_implied_port_is_that_of_the_datagram() -> None:
    grape = make()
    token = result(grape, b"get_peers", info_hash=b"n")[b"token"]
    result(grape, b"announce_peer", info_hash=b"n", implied_port=1, port=80, token=token)
    values = result(grape, b"get_peers", info_hash=b"n")[b"values"]
    assert values == [bytes([10, 0, 0, 9]) + (999).to_bytes(2)]


@pytest.mark.parametrize("port", [0, -1, 65536, b"80"])
def test_a_port_that_cannot_be_is_met_with_silence(port: object) -> None:
    grape = make()
    token = result(grape, b"get_peers", info_hash=b"n")[b"token"]
    assert ask(grape, query(b"announce_peer", info_hash=b"n", port=port, token=token)) == {}


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (b"get_peers", {}),
        (b"get_peers", {"info_hash": 7}),
        (b"get_peers", {"info_hash": b""}),
        (b"get_peers", {"info_hash": b"x" * (NAME_MAX + 1)}),
        (b"announce_peer", {"info_hash": 7, "port": 1, "token": b"x"}),
        (b"announce_peer", {"info_hash": b"n", "port": 1, "token": b"x"}),
        (b"announce_peer", {"info_hash": b"n", "port": 1, "token": 5}),
        (b"announce_peer", {"info_hash": b"n", "port": 1}),
        (b"find_node", {"target": 7}),
        (b"find_node", {"target": b"short"}),
        (b"get", {"target": 7}),
        (b"get", {}),
        (b"put", {"v": b"x"}),
        (b"put", {"token": b"x"}),
        (b"put", {"v": b"x", "token": 7}),
        (b"put", {"v": b"x", "k": 7, "seq": 1, "sig": b"", "token": b"x"}),
        (b"ping", {"id": 7}),
    ],
)
def test_what_lacks_something_is_answered_203(method: bytes, arguments: dict[str, object]) -> None:
    assert error(make(), method, **arguments)[:1] == [203]


def test_an_unknown_method_is_met_with_silence() -> None:
    assert ask(make(), query(b"sample_infohashes", target=ASKER)) == {}
    assert ask(make(), b"d1:q4:ping1:t2:aa1:y1:qe")[b"e"]


def test_values_are_kept_with_a_token_and_grow_only() -> None:
    grape = make()
    key = Item(b"hello").key
    token = result(grape, b"get", target=key)[b"token"]
    assert set(result(grape, b"put", v=b"hello", token=token)) == {b"id"}
    assert set(result(grape, b"get", target=key)) == {b"id", b"token", b"v"}
    assert error(grape, b"put", v=b"other", token=token)[:1] == [203]
    forged = {"k": bytes(32), "seq": 1, "sig": bytes(64)}
    own = Item(b"x", bytes(32)).key
    token = result(grape, b"get", target=own)[b"token"]
    assert error(grape, b"put", v=b"x", token=token, **forged)[:1] == [206]
    assert error(grape, b"put", v=b"x" * 1001, token=token, **forged)[:1] == [205]
    key = Item(b"y" * 1000).key
    token = result(grape, b"get", target=key)[b"token"]
    assert set(result(grape, b"put", v=b"y" * 1000, token=token)) == {b"id"}


def test_the_value_least_recently_used_goes() -> None:
    values = Values(most=2)
    items = [Item(b"%d" % number) for number in range(3)]
    for item in items[:2]:
        assert values.put(item) is None
    assert values.get(items[0].key)
    assert values.put(items[2]) is None
    assert [values.get(item.key) is not None for item in items] == [True, False, True]


def test_a_crowded_name_is_answered_in_one_packet() -> None:
    grape = make()
    for number in range(300):
        address = (f"10.1.{number // 250}.{number % 250}", 999)
        reply = ask(grape, query(b"get_peers", info_hash=b"n"), address=address)[b"r"]
        assert isinstance(reply, dict)
        data = query(b"announce_peer", info_hash=b"n", port=80, token=reply[b"token"])
        assert ask(grape, data, address=address)[b"r"]
    values = result(grape, b"get_peers", info_hash=b"n")[b"values"]
    assert isinstance(values, list)
    assert len(set(values)) == VALUES_SENT_MAX


def test_who_asks_too_often_gets_nothing() -> None:
    grape = make(guard=Guard(NOW, rate=2.0))
    answers = [ask(grape, query(b"ping")) for _ in range(20)]
    assert sum(map(bool, answers)) == 10


@given(data=st.binary(max_size=100))
def test_any_datagram_is_survived(data: bytes) -> None:
    grape = make()
    for datagram in (data, b"d" + data + b"e", b"d1:a" + data, query(b"get_peers", info_hash=data)):
        grape.receive(datagram, HERE, NOW)
    grape.out.clear()
    assert ask(grape, query(b"ping"))


@pytest.mark.parametrize("value", [7, [], {}, b"", b"x" * 3, [7], [b"x"]])
@pytest.mark.parametrize("field", [b"id", b"nodes", b"values", b"token", b"v", b"k"])
def test_any_answer_is_survived(field: bytes, value: object) -> None:
    grape = make()
    grape.join(NOW, [HERE])
    sent = bencode.decode(grape.out.pop()[0])
    assert isinstance(sent, dict)
    reply = {b"id": ASKER, b"token": b"t", b"nodes": b"", field: value}
    grape.receive(bencode.encode({b"r": reply, b"t": sent[b"t"], b"y": b"r"}), HERE, NOW)
    grape.receive(bencode.encode({b"e": value, b"t": sent[b"t"], b"y": b"e"}), HERE, NOW)
    assert grape.engine.table.find(HERE) or field == b"id"


def test_a_list_of_nodes_longer_than_ours_is_taken() -> None:
    """The original names every node that it knows, here 40."""
    grape = make()
    grape.join(NOW, [HERE])
    sent = bencode.decode(grape.out.pop()[0])
    assert isinstance(sent, dict)
    rng = random.Random(2)
    nodes = b"".join(
        rng.randbytes(20) + bytes([10, 2, 0, number]) + (1000).to_bytes(2) for number in range(40)
    )
    assert len(list(unpack_nodes(nodes, 6))) == 40
    reply = {b"id": ASKER, b"nodes": nodes}
    grape.receive(bencode.encode({b"r": reply, b"t": sent[b"t"], b"y": b"r"}), HERE, NOW)
    assert len(grape.out) == 16


@pytest.mark.parametrize("name", [b"a", b"rest:util:net", b"y" * NAME_MAX])
def test_the_question_for_a_name_is_bencoded_as_any_other(name: bytes) -> None:
    grape = make()
    grape.engine.ask(grape.contact(ASKER, HERE), Verb.GET_PROVIDERS, NOW, name)
    grape.flush()
    (data, _), *_ = grape.out
    message = decode(data)
    assert isinstance(message, Query)
    assert message.arguments == {b"id": grape.id, b"info_hash": name}
    assert data == encode_query(message)


def test_a_slow_node_is_asked_once_more() -> None:
    grape = make()
    grape.join(NOW, [HERE])
    sent = grape.out.copy()
    grape.out.clear()
    now = NOW
    for _ in range(10):
        now = grape.deadline
        grape.tick(now)
        if now > NOW + 6:
            break
    assert [datagram for datagram in grape.out if datagram in sent] == sent


def test_bootstrap_nodes_are_called_until_they_answer() -> None:
    grape = make()
    grape.join(NOW, [HERE])
    now, calls = NOW, 0
    while now < NOW + 6 * CALL_EVERY:
        now = max(grape.deadline, now + 0.01)
        grape.tick(now)
        calls += len(grape.out)
        grape.out.clear()
    assert calls >= 4
    walk = grape.engine.walk(Verb.GET_PROVIDERS, b"name", now)
    assert walk.done  # nobody waits for one that is dead


def test_a_name_lies_where_its_first_bytes_do() -> None:
    assert position_of(b"ab") == position_of(b"ab" + bytes(18))
    assert position_of(b"x" * 30) == position_of(b"x" * 20)
