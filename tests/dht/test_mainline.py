"""A mainline node answers as BEP 5, 32, 42, 43, 44 and 51 say."""

import random
from hashlib import sha1

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.dht.mainline_world import ASKER, TARGET, Wires, ask, network, query

from shoal.codec import bencode
from shoal.dht.kademlia import Parameters
from shoal.dht.krpc import Address, pack_address
from shoal.dht.mainline.core import Mainline
from shoal.dht.mainline.items import make_mutable, to_fields
from shoal.dht.mainline.node_id import bound_id, is_bound
from shoal.dht.mainline.words import Announced, MainlineWords
from shoal.dht.questions import Answer, Verb
from shoal.dht.store import Store
from shoal.errors import ProtocolError

KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
HOST: Address = ("9.9.9.9", 999)


def alone() -> Mainline:
    return Wires().add("10.0.0.1")


def test_ping_names_us_and_the_address_that_asked() -> None:
    core = alone()
    reply = ask(core, query(b"ping", b"xy"))
    assert reply[b"t"] == b"xy"
    assert reply[b"r"] == {b"id": core.id}
    assert reply[b"ip"] == pack_address(HOST)


def test_find_node_names_the_closest() -> None:
    core = next(iter(network(30).cores.values()))
    result = ask(core, query(b"find_node", target=TARGET))[b"r"]
    assert len(result[b"nodes"]) == 8 * 26
    ids = {result[b"nodes"][start : start + 20] for start in range(0, 208, 26)}
    closest = core.engine.table.closest(int.from_bytes(TARGET), 8)
    assert ids == {contact.id for contact in closest}


def test_an_announced_peer_is_found_by_others() -> None:
    core = alone()
    token = ask(core, query(b"get_peers", info_hash=TARGET))[b"r"][b"token"]
    announce = query(b"announce_peer", info_hash=TARGET, port=6881, token=token)
    assert ask(core, announce)[b"r"] == {b"id": core.id}
    implied = query(b"announce_peer", info_hash=TARGET, port=1, implied_port=1, token=token)
    ask(core, implied)
    found = ask(core, query(b"get_peers", info_hash=TARGET), ("8.8.8.8", 8))[b"r"]
    assert found[b"values"] == [pack_address(("9.9.9.9", 6881)), pack_address(HOST)]
    assert b"nodes" in found
    late = ask(core, query(b"get_peers", info_hash=TARGET), ("8.8.8.8", 8), 1000.0 + 3000.0)
    assert b"values" not in late[b"r"]


@pytest.mark.parametrize("port", [0, -1, 65536, 70_000, b"6881", None])
def test_a_port_that_cannot_be_is_refused(port: object) -> None:
    core = alone()
    token = ask(core, query(b"get_peers", info_hash=TARGET))[b"r"][b"token"]
    arguments = {"info_hash": TARGET, "token": token} | ({} if port is None else {"port": port})
    assert ask(core, query(b"announce_peer", **arguments))[b"e"][0] == 203


def test_forged_borrowed_and_old_tokens_are_refused() -> None:
    core = alone()
    token = ask(core, query(b"get_peers", info_hash=TARGET))[b"r"][b"token"]

    def announce(
        token: object, key: bytes = TARGET, host: str = "9.9.9.9", now: float = 1000.0
    ) -> object:
        data = query(b"announce_peer", info_hash=key, port=1, token=token)
        return ask(core, data, (host, 999), now).get(b"e")

    for forged in (b"", bytes(8), token[:-1], token * 2, 7):
        assert announce(forged)[0] == 203
    assert announce(token, key=ASKER)[0] == 203  # asked for about another key
    assert announce(token, host="9.9.9.8")[0] == 203
    assert announce(token) is None
    assert announce(token, now=2000.0)[0] == 203


QUIRKS = [  # a query, and the code of the refusal (0: a normal reply, None: silence)
    (b"d1:t2:aa1:y1:qe", 203),
    (b"d1:ale1:q4:ping1:t2:aa1:y1:qe", 203),
    (b"d1:ad2:id20:" + ASKER + b"e1:t2:aa1:y1:qe", 203),
    (b"d1:ad2:id20:" + ASKER + b"e1:qi4e1:t2:aa1:y1:qe", 203),
    (b"d1:ade1:q4:ping1:t2:aa1:y1:qe", 203),
    (b"d1:ad2:id19:" + ASKER[:19] + b"e1:q4:ping1:t2:aa1:y1:qe", 203),
    (b"d1:ad2:idi7ee1:q4:ping1:t2:aa1:y1:qe", 203),
    (query(b"find_node"), 203),
    (query(b"find_node", target=b"short"), 203),
    (query(b"get_peers", info_hash=b"x" * 32), 203),
    (query(b"get_peers", info_hash=5), 203),
    (query(b"unheard of"), 204),
    (query(b"unheard of", target=TARGET), 0),
    (query(b"unheard of", info_hash=TARGET), 0),
    (query(b"announce_peer", info_hash=TARGET, port=1), 203),
    (query(b"put", v=b"x"), 203),
    (query(b"get", target=b"x"), 203),
    (query(b"ping", b""), 0),
    (query(b"ping", b"x" * 20), 0),
    (b"d1:y1:q1:t2:aa1:ad2:id20:" + ASKER + b"e1:q4:pinge", 0),  # keys in another order
    (b"d1:ad2:id20:" + ASKER + b"1:xi00ee1:q4:ping1:t2:aa1:y1:qe", 0),
    (b"d1:ad2:id20:" + ASKER + b"e1:q4:ping1:ti5e1:y1:qe", 0),
    (query(b"ping") + b"x", None),
    (b"l" + query(b"ping") + b"e", None),
    (b"d1:y1:ze", None),
    (b"d1:ad2:id20:" + ASKER + b"e1:q4:ping1:t2:aae", None),
    (b"", None),
    (b"d", None),
    (b"d" * 1000, None),
]


@pytest.mark.parametrize(("data", "code"), QUIRKS)
def test_broken_queries_are_refused_or_ignored(data: bytes, code: int | None) -> None:
    core = alone()
    reply = ask(core, data)
    if code is None:
        assert reply == {}
    elif code:
        assert reply[b"e"][0] == code
    else:
        assert reply[b"r"][b"id"] == core.id
    assert ask(core, query(b"ping"))  # and it goes on


def test_want_chooses_the_families_and_a_twin_gives_the_other() -> None:
    wires = Wires()
    four, six = wires.add("10.0.0.1"), wires.add("fd00::1", family=b"n6")
    four.twin(six)
    six.engine.table.answered(six.contact(ASKER, ("2001:db8::5", 5)), 0.0)
    four.engine.table.answered(four.contact(TARGET, ("7.7.7.7", 5)), 0.0)
    nodes6 = ASKER + pack_address(("2001:db8::5", 5))
    nodes = TARGET + pack_address(("7.7.7.7", 5))
    wants = [([b"n4"], {b"nodes": nodes}), ([b"n6"], {b"nodes6": nodes6})]
    wants += [([b"n4", b"n6"], {b"nodes": nodes, b"nodes6": nodes6}), (None, {b"nodes": nodes})]
    wants += [(b"n6", {b"nodes": nodes}), ([b"n5"], {b"nodes": nodes})]
    for want, expected in wants:
        arguments = {"target": TARGET} | ({} if want is None else {"want": want})
        result = ask(four, query(b"find_node", **arguments))[b"r"]
        assert {name: result[name] for name in result if name != b"id"} == expected
    assert ask(six, query(b"find_node", target=TARGET), ("fd00::9", 9))[b"r"][b"nodes6"] == nodes6


def put(core: Mainline, address: Address = HOST, **fields: object) -> object:
    given = {name.encode(): value for name, value in fields.items()}
    key = given.pop(b"key")
    token = ask(core, query(b"get", target=key), address)[b"r"][b"token"]
    reply = ask(core, query(b"put", **fields | {"token": token, "key": b""}), address)
    return reply[b"e"][0] if b"e" in reply else None


def put_item(core: Mainline, value: object, sequence: int, **more: object) -> object:
    item = make_mutable(value, PUBLIC, KEY.sign, sequence=sequence)
    fields = {name.decode(): value for name, value in to_fields(item).items()}
    return put(core, key=item.key, **fields | more)


def test_an_immutable_value_is_stored_under_its_hash() -> None:
    core = alone()
    key = sha1(b"12:Hello World!").digest()
    assert put(core, key=key, v=b"Hello World!") is None
    assert ask(core, query(b"get", target=key))[b"r"][b"v"] == b"Hello World!"
    assert put(core, key=key, v=b"poison") == 203  # its hash is another: the token is not for it


def test_a_mutable_value_follows_its_sequence() -> None:
    core = alone()
    assert put_item(core, b"one", 1) is None
    assert put_item(core, b"three", 3) is None
    assert put_item(core, b"two", 2) == 302
    assert put_item(core, b"four", 4, cas=1) == 301
    assert put_item(core, b"four", 4, cas=3) is None
    assert put_item(core, b"five", 5, sig=bytes(64)) == 206
    assert put_item(core, b"five", 5, salt=b"s" * 65) == 203  # salted, it lies under another key
    key = sha1(PUBLIC).digest()
    result = ask(core, query(b"get", target=key))[b"r"]
    assert (result[b"v"], result[b"seq"], result[b"k"]) == (b"four", 4, PUBLIC)
    fresh = ask(core, query(b"get", target=key, seq=4))[b"r"]
    assert b"v" not in fresh
    assert fresh[b"seq"] == 4
    assert b"v" in ask(core, query(b"get", target=key, seq=3))[b"r"]


def test_values_have_a_size() -> None:
    core = alone()
    big = b"x" * 997
    assert put(core, key=sha1(bencode.encode(big)).digest(), v=big) == 205
    assert put(core, key=sha1(b"996:" + big[:-1]).digest(), v=big[:-1]) is None


def test_sample_infohashes_shows_what_we_hold() -> None:
    core = alone()
    for number in range(30):
        key = bytes([number]) * 20
        token = ask(core, query(b"get_peers", info_hash=key))[b"r"][b"token"]
        ask(core, query(b"announce_peer", info_hash=key, port=1, token=token))
    long_query = query(b"sample_infohashes", b"x" * 100, target=TARGET)
    result = ask(core, long_query)[b"r"]
    assert (result[b"num"], result[b"interval"]) == (30, 21_600)
    assert len(result[b"samples"]) == 20 * 20


def test_a_read_only_node_is_answered_and_not_remembered() -> None:
    core = alone()
    core.receive(b"d1:ad2:id20:" + ASKER + b"e1:q4:ping2:roi1e1:t2:aa1:y1:qe", HOST, 0.0)
    assert len(core.out) == 1  # the reply, and no question back


def test_a_client_answers_nobody_and_says_so() -> None:
    wires = network(10)
    client = wires.add("10.9.9.9", parameters=Parameters(k=8, server=False))
    client.join(wires.now, [("10.0.0.1", 6881)])
    assert b"2:roi1e" in client.out[0][0]
    wires.run()
    assert len(client.engine.table) >= 8
    assert ask(client, query(b"ping")) == {}
    assert all(core.engine.table.find(("10.9.9.9", 6881)) is None for core in wires.cores.values())


def test_our_id_is_bound_to_the_address_that_others_see() -> None:
    wires = Wires()
    for number in range(12):
        wires.add(f"30.{number}.0.1").join(wires.now, [("30.0.0.1", 6881)] if number else [])
        wires.run()
    told: list[str] = []
    late = wires.add("124.31.75.21")
    late.moved = told.append
    late.join(wires.now, [("30.0.0.1", 6881)])
    wires.run()
    assert late.external == "124.31.75.21"
    assert told == ["124.31.75.21"]
    assert is_bound(late.id, bytes([124, 31, 75, 21]))
    assert len(late.engine.table) >= 8


def test_ids_that_are_not_bound_can_be_left_out() -> None:
    core = Wires().add("10.0.0.1", enforce_ids=True)
    core.receive(query(b"ping"), ("124.31.75.21", 1), 0.0)
    assert len(core.out) == 1
    bound = bound_id(bytes([124, 31, 75, 21]), random.Random(1))
    core.receive(query(b"ping").replace(ASKER, bound), ("124.31.75.21", 1), 0.0)
    assert len(core.out) == 3  # two replies and a question back


def test_an_empty_store_that_is_handed_in_is_used() -> None:
    peers, items = Store(), Store(per_key_max=1)
    node = Mainline(random.Random(1), 0.0, peers=peers, items=items)
    assert node.replies.peers is peers
    assert node.replies.items is items


@pytest.mark.slow
def test_a_table_survives_a_restart() -> None:
    wires = network(20)
    address, core = list(wires.cores.items())[5]
    saved = core.dump()
    again = wires.add(*address)
    again.load(saved, wires.now)
    assert again.id == core.id
    assert list(again.engine.table) == list(core.engine.table)
    wires.wait(2000.0)
    assert len(again.engine.table) > 8
    for broken in (b"", b"le", b"d2:idi5ee", b"d5:nodes3:abce"):
        try:
            again.load(broken, wires.now)
        except ProtocolError:
            continue


def test_words_ask_for_what_they_need() -> None:
    core = alone()
    words = MainlineWords()
    contact = core.contact(ASKER, HOST)
    assert words.providing(Answer(contact), Announced(5)) is None
    fields = words.providing(Answer(contact, token=b"tk"), Announced(0, seed=True))
    assert fields == {b"token": b"tk", b"port": 1, b"implied_port": 1, b"seed": 1}


def test_a_whole_network_keeps_what_was_announced() -> None:
    wires = network(40, seed=3)
    cores = list(wires.cores.values())
    ended: list[object] = []
    publisher = cores[7]
    walk = publisher.engine.walk(
        Verb.GET_PROVIDERS, TARGET, wires.now, finished=lambda walk, _: ended.append(walk)
    )
    publisher.flush()
    wires.run()
    assert ended == [walk]
    words = MainlineWords()
    for contact in walk.closest:
        argument = words.providing(walk.answers[contact.address], Announced(6881))
        publisher.engine.ask(contact, Verb.ADD_PROVIDER, wires.now, TARGET, argument=argument)
    publisher.flush()
    wires.run()
    for seeker in cores[::5]:
        found: list[Answer] = []
        seeker.engine.walk(
            Verb.GET_PROVIDERS,
            TARGET,
            wires.now,
            listener=found.append,
        )
        seeker.flush()
        wires.run()
        assert any(("10.0.0.8", 6881) in answer.values for answer in found)
