"""Presence as libp2p has it: we understand others, and others us."""

from itertools import pairwise
from random import Random

import pytest
from tests.discovery.neighbours import PEER

from shoal.discovery import dns, mdns
from shoal.discovery.dns import Message, Record
from shoal.discovery.lan import Found, Gone
from shoal.discovery.mdns import (
    ADDRESS_MAX,
    ADDRESSES_MAX,
    PEERS,
    SERVICES,
    SIZE_MAX,
    TTL,
    Mdns,
    topic_of,
)
from shoal.errors import ProtocolError, UsageError

QUERY = bytes.fromhex("000000000001000000000000045f703270045f756470056c6f63616c00000c0001")
ADDRESS = f"/ip4/192.168.1.5/tcp/4001/p2p/{PEER}"
THEM = "192.168.1.5"


def node_of(seed: int = 1) -> Mdns:
    return Mdns(Random(seed))


def run(node: Mdns, until: float) -> list[bytes]:
    """All that it says by then."""
    while (now := node.deadline) <= until:
        node.tick(now)
    out, node.out = node.out, []
    return out


def announcing(*addresses: str, topic: str = PEERS, seed: int = 1) -> tuple[Mdns, bytes]:
    """A node that has said what it had to say, and its first datagram."""
    node = node_of(seed)
    node.offer(topic, list(addresses), 0.0)
    first, second = run(node, 10)
    assert first == second
    return node, first


def seeking(topic: str = PEERS) -> Mdns:
    node = node_of(seed=2)
    node.seek(topic, 0.0)
    node.tick(node.deadline)
    node.out.clear()
    return node


# DNS


def test_the_query_is_the_specifications() -> None:
    assert dns.encode_query(PEERS) == QUERY
    assert dns.decode(QUERY) == Message(False, [(PEERS, dns.PTR)], [])


def test_records_come_back_as_they_were() -> None:
    records = [
        Record("a.local", dns.PTR, 120, "b.local"),
        Record("a.local", dns.TXT, 1, texts=(b"x=1", b"y" * 255)),
        Record("a.local", dns.SRV, 2, "c.local", 4001),
        Record("c.local", dns.A, 3, "1.2.3.4"),
        Record("c.local", dns.AAAA, 2**32 - 1, "::1"),
    ]
    data = dns.encode_response(records[:2], records[2:])
    assert dns.decode(data) == Message(True, [], records)
    for size in range(len(data)):
        with pytest.raises(ProtocolError):
            dns.decode(data[:size])


def message(body: bytes, *counts: int) -> bytes:
    return b"".join(count.to_bytes(2, "big") for count in (0, 0x8400, *counts)) + body


POINTER_RECORD = b"\1a\0\0\x0c\0\1\0\0\0x"  # a. PTR IN 120; the name stands at 12


def test_compressed_names_are_read() -> None:
    found = dns.decode(message(POINTER_RECORD + b"\0\4\1b\xc0\x0c", 0, 1, 0, 0))
    assert found.records == [Record("a", dns.PTR, 120, "b.a")]


def test_names_are_compared_in_small_letters() -> None:
    assert dns.decode(QUERY.replace(b"local", b"LoCaL")).questions == [(PEERS, dns.PTR)]


@pytest.mark.parametrize(
    "body",
    [
        POINTER_RECORD + b"\0\2\xc0\x19",  # at itself
        POINTER_RECORD + b"\0\2\xc0\x1a",  # forward
        POINTER_RECORD + b"\0\4\1b\xc0\x19",  # at its own beginning
        POINTER_RECORD + b"\0\2\x41b",  # a kind of label that does not exist
        POINTER_RECORD + b"\0\5\1b\0\0\0",  # a name that is over before its record
        POINTER_RECORD + b"\0\1\1b\0",  # and one that goes on after it
        (b"\x3f" + b"a" * 63) * 4 + b"\0\0\x0c\0\1\0\0\0x\0\2\xc0\x0c",  # 257 bytes
        b"\1a\0\0\x10\0\1\0\0\0x\0\2\5b",  # a text that is longer than its record
        b"\1a\0\0\x10\0\1\0\0\0x" + (130).to_bytes(2, "big") + b"\1b" * 65,  # 65 texts
        b"\1a\0\0\x21\0\1\0\0\0x\0\2\0\0",  # half a service
    ],
)
def test_records_that_lie_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        dns.decode(message(body, 0, 1, 0, 0))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(9001),
        message(b"\0\0\x0c\0\1" * 65, 65, 0, 0, 0),
        message(b"\0\0\x0c\0\1\0\0\0x\0\1\0" * 513, 0, 200, 200, 113),
    ],
)
def test_messages_beyond_the_limits_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        dns.decode(data)


@pytest.mark.parametrize("pointers", [dns.POINTERS_MAX, dns.POINTERS_MAX + 1])
def test_a_chain_of_pointers_ends(pointers: int) -> None:
    """Each points at the one before; were it as long as a datagram, each record could walk it."""
    start = 12 + 1 + 10  # where the body of a first record of an unknown kind begins
    places = [start, *range(start + 3, start + 3 + 2 * (pointers - 2), 2)]
    links = b"".join((0xC000 + place).to_bytes(2, "big") for place in places)
    first = b"\0\0\xff\0\1\0\0\0x" + (3 + len(links)).to_bytes(2, "big") + b"\1a\0" + links
    second = (0xC000 + places[-1] + 2).to_bytes(2, "big") + b"\0\x0c\0\1\0\0\0x\0\3\1b\0"
    data = message(first + second, 0, 2, 0, 0)
    if pointers > dns.POINTERS_MAX:
        with pytest.raises(ProtocolError):
            dns.decode(data)
    else:
        assert dns.decode(data).records == [Record("a", dns.PTR, 120, "b")]


def test_texts_are_read_once_however_many_point_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(mdns, "_addresses_of", lambda texts: read.append(len(texts)) or ())
    node = node_of()
    node.seek(PEERS, 0.0)
    pointers = [Record(PEERS, dns.PTR, ttl, "them") for ttl in range(1, 100)]
    texts = [Record("them", dns.TXT, TTL, texts=(b"dnsaddr=x",) * 9)] * 2
    node.receive(dns.encode_response(pointers, texts), THEM, 0.0)
    assert read == [18]


def test_a_question_that_is_put_many_times_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = node_of()
    node.seek(PEERS, 0.0)
    looked: list[object] = []
    monkeypatch.setattr(node.lan, "fresh", lambda topic, now: looked.append(topic) or [])
    head = QUERY[:5] + bytes([64]) + QUERY[6:12]
    node.receive(head + QUERY[12:] * 64, THEM, 1.0)
    assert looked == [PEERS]


def test_what_says_nothing_here_is_passed_over() -> None:
    nsec = b"\1a\0\0\x2f\0\1\0\0\0x\0\3abc"
    chaos = b"\1a\0\0\x0c\0\3\0\0\0x\0\3\1b\0"
    short = b"\1a\0\0\1\0\1\0\0\0x\0\3abc"
    found = dns.decode(message(nsec + chaos + short + POINTER_RECORD + b"\0\3\1b\0", 0, 4, 0, 0))
    assert found.records == [Record("a", dns.PTR, 120, "b")]


# Peers


def test_an_announcement_has_what_the_specification_asks() -> None:
    _, data = announcing(ADDRESS)
    pointer, texts, service, address = dns.decode(data).records
    label = pointer.target.partition(".")[0]
    assert (pointer.name, pointer.kind, pointer.ttl) == (PEERS, dns.PTR, TTL)
    assert pointer.target == f"{label}.{PEERS}"
    assert len(label) == 32
    assert texts == Record(pointer.target, dns.TXT, TTL, texts=(b"dnsaddr=" + ADDRESS.encode(),))
    assert service == Record(pointer.target, dns.SRV, TTL, f"{label}.local", 4001)
    assert address == Record(f"{label}.local", dns.A, TTL, "192.168.1.5")


def test_who_seeks_understands_it_and_who_does_not_seek_ignores_it() -> None:
    _, data = announcing(ADDRESS)
    (found,) = seeking().receive(data, THEM, 1.0)
    assert isinstance(found, Found)
    assert (found.topic, found.texts) == (PEERS, (ADDRESS,))
    assert node_of().receive(data, THEM, 1.0) == []


def test_addresses_in_records_of_their_own_or_numbered_are_understood() -> None:
    name = f"x.{PEERS}"
    answers = [Record(PEERS, dns.PTR, TTL, name)]
    for number, text in enumerate((b"dnsaddr=a", b"dnsaddr2=b", b"id=c", b"DNSADDR=d", b"dnsaddr")):
        answers.append(Record(name, dns.TXT, TTL, texts=(text, bytes([number + 33]))))
    (found,) = seeking().receive(dns.encode_response(answers, []), THEM, 1.0)
    assert found == Found(PEERS, name, ("a", "b", "d", ""))


def test_characters_that_a_terminal_obeys_are_left_out() -> None:
    name = f"x.{PEERS}"
    texts = (b"dnsaddr=\x1b[2J", b"dnsaddr=\xff", b"dnsaddr=fine")
    more = [Record(name, dns.TXT, TTL, texts=texts)]
    data = dns.encode_response([Record(PEERS, dns.PTR, TTL, name)], more)
    assert seeking().receive(data, THEM, 1.0) == [Found(PEERS, name, ("fine",))]


def test_our_own_words_are_no_news() -> None:
    node, data = announcing(ADDRESS)
    node.seek(PEERS, 20.0)
    assert node.receive(data, THEM, 21.0) == []


def test_a_goodbye_is_said_and_heard() -> None:
    node, data = announcing(ADDRESS)
    other = seeking()
    (found,) = other.receive(data, THEM, 1.0)
    node.withdraw(PEERS)
    (goodbye,) = node.out
    assert other.receive(goodbye, THEM, 2.0) == [Gone(PEERS, found.name)]
    node.withdraw(PEERS)
    assert len(node.out) == 1


def test_who_asks_is_answered_and_who_knows_is_not() -> None:
    node, data = announcing(ADDRESS)
    name = dns.decode(data).records[0].target
    node.receive(QUERY, THEM, 20.0)
    assert run(node, 30) == [data]
    node.receive(dns.encode_query(PEERS, [name]), THEM, 40.0)
    assert run(node, 50) == []
    node.receive(dns.encode_query(name), THEM, 60.0)  # it wants our own records
    assert run(node, 70) == [data]


def test_who_lists_services_hears_of_ours() -> None:
    node, _ = announcing(ADDRESS)
    node.receive(dns.encode_query(SERVICES), THEM, 20.0)
    (answer,) = run(node, 30)
    assert dns.decode(answer).records == [Record(SERVICES, dns.PTR, TTL, PEERS)]
    node.withdraw(PEERS)
    node.out.clear()
    node.receive(dns.encode_query(SERVICES), THEM, 40.0)
    assert run(node, 50) == []


def test_a_question_names_those_whom_we_know() -> None:
    node = node_of(seed=2)
    node.seek(PEERS, 0.0)
    assert run(node, 0.5) == [QUERY]
    _, data = announcing(ADDRESS)
    (found,) = node.receive(data, THEM, 0.6)
    (question,) = run(node, 1.5)
    assert dns.decode(question).records == [Record(PEERS, dns.PTR, TTL // 2, found.name)]


def test_a_question_stays_small_however_many_we_know() -> None:
    node = seeking()
    for number in range(200):
        _, data = announcing(ADDRESS, seed=number)
        node.receive(data, f"10.0.0.{number}", 1.0)
    (question,) = run(node, 2.0)
    assert SIZE_MAX - 100 < len(question) <= SIZE_MAX
    assert len(dns.decode(question).records) >= 27


def test_anothers_question_is_ours_unless_it_knows_whom_we_do_not() -> None:
    for names, waits in (([], True), ([f"x.{PEERS}"], False)):
        node = node_of(seed=2)
        node.seek(PEERS, 0.0)
        node.receive(dns.encode_query(PEERS, names), THEM, 0.01)
        assert (node.deadline > 1.0) == waits


def test_an_offer_that_did_not_change_is_not_said_anew() -> None:
    node, data = announcing(ADDRESS)
    node.offer(PEERS, [ADDRESS], 20.0)
    assert run(node, 30) == []
    node.offer(PEERS, [ADDRESS, "/ip6/::1/tcp/1"], 40.0)
    first, second = run(node, 50)
    assert first == second != data


def test_many_addresses_fit_in_a_packet() -> None:
    many = [f"/dns4/{number:0>200}/tcp/4001" for number in range(30)]
    _, data = announcing("x" * (ADDRESS_MAX + 1), *many)
    assert len(data) <= SIZE_MAX
    (found,) = seeking().receive(data, THEM, 1.0)
    assert isinstance(found, Found)
    assert 0 < len(found.texts) <= ADDRESSES_MAX
    assert list(found.texts) == many[: len(found.texts)]


# Numbers


def test_a_number_is_asked_for_by_name_and_answered_by_that_name_alone() -> None:
    topic = topic_of(7042)
    assert topic == "_7042._sub._shoal-send._udp.local"
    node, data = announcing("here", topic=topic)
    pointer = dns.decode(data).records[0]
    assert pointer.name == topic
    assert pointer.target.endswith("._shoal-send._udp.local")
    assert "_sub" not in pointer.target
    node.receive(dns.encode_query(topic_of(7043)), THEM, 20.0)
    node.receive(QUERY, THEM, 20.0)
    assert run(node, 30) == []
    (found,) = seeking(topic).receive(data, THEM, 1.0)
    assert isinstance(found, Found)
    assert found.texts == ("here",)


@pytest.mark.parametrize("number", [-1, 10**9])
def test_numbers_have_a_range(number: int) -> None:
    with pytest.raises(UsageError):
        topic_of(number)


# Hostile


def test_garbage_costs_nothing_but_its_reading() -> None:
    node, data = announcing(ADDRESS)
    node.seek(PEERS, 20.0)
    rng = Random(3)
    for number in range(2000):
        broken = bytearray(data)
        for _ in range(3):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        node.receive(bytes(broken), f"10.0.{number % 9}.1", 20.0 + number)
    assert node.malformed > 100
    assert len(node.lan.present(PEERS)) < 2000


def test_a_storm_of_questions_makes_no_storm_of_answers() -> None:
    node, _ = announcing(ADDRESS)
    times = []
    for number in range(1000):
        now = 20.0 + number / 100
        node.receive(QUERY, f"10.0.0.{number % 50}", now)
        times += [now] * len(run(node, now))
    assert len(times) <= 11
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(times))
