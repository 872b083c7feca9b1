"""What strangers may do to a node of libp2p's DHT: little, and not for long."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt
from tests.dht.libp2p_nodes import TODAY, host_of, one

from shoal.codec import multihash
from shoal.codec.varint import encode_frame
from shoal.dht.libp2p import carrier, messages, places, replies
from shoal.dht.libp2p.core import GUESSES, Core, Value
from shoal.dht.libp2p.messages import KadMessage, PeerMessage, RecordMessage, decode
from shoal.dht.libp2p.replies import Asker
from shoal.dht.libp2p.service import NAMESPACES, Libp2pDht
from shoal.dht.libp2p.validators import Validators
from shoal.dht.questions import Question, Verb
from shoal.dht.store import Store
from shoal.errors import ClosedError, LimitError, ProtocolError
from shoal.net.stream import Stream
from shoal.peer.book import Book
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.peer.multiaddr import Multiaddr

HELLO = multihash.sha256(b"hello")
HERE = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
LAN = Multiaddr.parse("/ip4/192.168.1.2/tcp/4001")
FAR = Multiaddr.parse("/ip4/8.8.8.8/tcp/4001")
KEYS = [PrivateKey.generate(Random(seed)).public for seed in range(4)]
OWN, PEER, OTHER, THIRD = map(PeerId.of, KEYS)
PK = b"/pk/" + PEER.bytes


def make_core(**options: Any) -> Core:
    return Core(
        OWN,
        Random(1),
        0.0,
        book=options.pop("book", Book()),
        validators=Validators(NAMESPACES),
        own_addresses=lambda: [HERE, LAN, FAR],
        connected=lambda peer: False,
        today=lambda: TODAY,
        **options,
    )


def ask(core: Core, message: KadMessage, remote: Multiaddr = HERE, now: float = 1.0) -> Any:
    reply = core.serve(message.encode(), Asker(PEER, remote), now)
    return None if reply is None else decode(reply[2:] if reply[0] > 127 else reply[1:])


def question(verb: Verb, key: bytes = HELLO) -> Question:
    contact = make_core().contact(PEER, [HERE])
    return Question(1, contact, verb, key, None, 0.0)


def announce(peer: PeerId, *addresses: Multiaddr, key: bytes = HELLO) -> KadMessage:
    named = PeerMessage(peer.bytes, [address.bytes for address in addresses])
    return KadMessage(messages.ADD_PROVIDER, key, providers=[named])


@pytest.mark.parametrize(
    "message",
    [
        KadMessage(messages.FIND_NODE),
        KadMessage(messages.GET_PROVIDERS, bytes(81)),
        KadMessage(messages.ADD_PROVIDER, bytes(81)),
        KadMessage(messages.ADD_PROVIDER, HELLO),
        announce(OTHER, HERE),
        announce(PEER),
        KadMessage(messages.PUT_VALUE, PK),
        KadMessage(messages.PUT_VALUE, PK, RecordMessage(b"/pk/other", KEYS[1].encode())),
        KadMessage(messages.PUT_VALUE, PK, RecordMessage(PK, KEYS[2].encode())),
        KadMessage(messages.PUT_VALUE, b"/x/y", RecordMessage(b"/x/y", b"z")),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(message: KadMessage) -> None:
    core = make_core()
    with pytest.raises(ProtocolError):
        ask(core, message)
    assert not len(core.replies.providers)
    assert not len(core.replies.values)


def test_a_provider_announces_itself_with_few_addresses_that_reach_as_far_as_it_is() -> None:
    core = make_core()
    many = [Multiaddr.of("127.0.0.1", port) for port in range(1, 41)]
    ask(core, announce(PEER, *many))
    (record,) = core.replies.providers.get(HELLO, 2.0).values()
    assert record.value.addresses == tuple(many[: places.TOLD_MAX])
    with pytest.raises(ProtocolError):
        ask(core, announce(PEER, HERE, LAN), FAR)
    ask(core, announce(PEER, HERE, LAN, FAR), FAR)
    (record,) = core.replies.providers.get(HELLO, 2.0).values()
    assert record.value.addresses == (FAR,)


def test_an_asker_far_away_is_not_told_of_addresses_near_us() -> None:
    core = make_core()
    (told,) = ask(core, KadMessage(messages.FIND_NODE, OWN.bytes), FAR).closer
    assert told.addresses == [FAR.bytes]
    (told,) = ask(core, KadMessage(messages.FIND_NODE, OWN.bytes), LAN).closer
    assert told.addresses == [LAN.bytes, FAR.bytes]


def test_an_answer_from_far_away_does_not_send_us_to_our_neighbours() -> None:
    book = Book()
    core = make_core(book=book)
    named = [PeerMessage(OTHER.bytes, [HERE.bytes, LAN.bytes]), PeerMessage(THIRD.bytes)]
    data = KadMessage(messages.FIND_NODE, HELLO, closer=named).encode()
    assert core.read(question(Verb.FIND_NODE), data, FAR, 1.0).closer == []
    assert not len(book)
    found = core.read(question(Verb.FIND_NODE), data, HERE, 1.0).closer
    assert [contact.address for contact in found] == [OTHER]
    assert book.addresses(OTHER, 2.0)
    assert not book.addresses(OTHER, 1000.0)  # hearsay does not last


def test_an_answer_is_believed_no_further_than_it_proves() -> None:
    core = make_core()
    for record in (
        RecordMessage(PK, KEYS[2].encode()),
        RecordMessage(b"/pk/x", KEYS[1].encode()),
        None,
    ):
        data = KadMessage(messages.GET_VALUE, PK, record).encode()
        assert core.read(question(Verb.GET_VALUE, PK), data, HERE, 1.0).values == []
    good = KadMessage(messages.GET_VALUE, PK, RecordMessage(PK, KEYS[1].encode())).encode()
    assert core.read(question(Verb.GET_VALUE, PK), good, HERE, 1.0).values == [
        Value(PK, KEYS[1].encode())
    ]
    with pytest.raises(ProtocolError):
        core.read(question(Verb.FIND_NODE), good, HERE, 1.0)
    rubbish = [PeerMessage(b"?", [b"?"]), PeerMessage(OWN.bytes, [HERE.bytes])]
    data = KadMessage(messages.GET_PROVIDERS, HELLO, closer=rubbish, providers=rubbish).encode()
    answer = core.read(question(Verb.GET_PROVIDERS), data, HERE, 1.0)
    assert answer.closer == []
    assert answer.values == [OWN]


def test_stores_have_bounds_and_records_end() -> None:
    core = make_core(
        providers=Store(keys_max=2, per_key_max=2), values=Store(keys_max=1, per_key_max=1)
    )
    for peer in (OWN, OTHER, THIRD):
        core.replies.keep_provider(HELLO, peer, [HERE], 1.0)
    assert list(core.replies.providers.get(HELLO, 2.0)) == [OTHER, THIRD]
    core.replies.keep_provider(b"2", OWN, [HERE], 1.0)
    with pytest.raises(LimitError):
        core.replies.keep_provider(b"3", OWN, [HERE], 1.0)
    put = KadMessage(messages.PUT_VALUE, PK, RecordMessage(PK, KEYS[1].encode()))
    assert ask(core, put) == put
    with pytest.raises(LimitError):
        core.replies.keep_value(b"/pk/" + OTHER.bytes, KEYS[2].encode(), 1.0)
    later = 2.0 + replies.VALUE_LIFE
    assert ask(core, KadMessage(messages.GET_VALUE, PK)).record
    assert ask(core, KadMessage(messages.GET_VALUE, PK), now=later).record is None
    assert not ask(core, KadMessage(messages.GET_PROVIDERS, HELLO), now=later).providers


def test_an_answer_names_at_most_a_hundred_providers_and_twenty_peers() -> None:
    book = Book()
    core = make_core(book=book)
    for seed in range(150):
        peer = PeerId(multihash.sha256(b"%d" % seed))
        book.add(peer, [HERE], 0.0, 1000.0)
        core.engine.table.answered(core.contact(peer), 0.0)
        core.replies.keep_provider(HELLO, peer, [HERE], 0.0)
    reply = core.serve(KadMessage(messages.GET_PROVIDERS, HELLO).encode(), Asker(PEER, HERE), 1.0)
    assert reply
    answer = decode(reply[3:] if reply[2] < 128 and reply[1] > 127 else reply[2:])
    assert len(answer.providers) == replies.PROVIDERS_TOLD_MAX
    assert len(answer.closer) == 20


def test_a_key_for_a_bucket_is_a_peer_id_that_lies_in_it() -> None:
    core = make_core()
    for bucket in range(246, 257):
        position = core.engine.table.inside(bucket, Random(bucket))
        key = core.engine.key_at(position)
        assert PeerId(key)
        assert (core.engine.position_of(key) ^ core.engine.own).bit_length() == bucket
    assert GUESSES <= 4096
    assert PeerId(core.engine.key_at(core.engine.own))  # as near as a few tries give


@given(st.binary(max_size=300))
def test_garbage_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    core = make_core()
    for verb in (Verb.FIND_NODE, Verb.GET_VALUE, Verb.GET_PROVIDERS):
        answer = attempt(core.read, question(verb), data, HERE, 1.0)
        assert answer is None or answer.contact.id == PEER.bytes
    with suppress(LimitError):
        _ = attempt(core.serve, data, Asker(PEER, HERE), 1.0)
    assert ask(core, KadMessage(messages.FIND_NODE, HELLO)).type == messages.FIND_NODE


# Over real streams.


def run(test: Callable[[Libp2pDht, Libp2pDht], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(15), one(1, **options) as node, one(2, mode="client") as other:
            await test(node, other)

    asyncio.run(main())


async def open_stream(other: Libp2pDht, node: Libp2pDht) -> Stream:
    return await host_of(other).open(host_of(node).addresses[0], messages.PROTOCOL)


@pytest.mark.parametrize(
    "data",
    [
        encode_frame(b"\xff" * 20),
        encode_frame(KadMessage(messages.FIND_NODE).encode()),
        encode_frame(bytes(messages.REQUEST_MAX + 1)),
        b"\xff" * 20,
    ],
)
def test_a_stream_of_nonsense_is_reset_and_the_node_goes_on(data: bytes) -> None:
    async def test(node: Libp2pDht, other: Libp2pDht) -> None:
        async with await open_stream(other, node) as stream:
            await stream.write(data)
            with pytest.raises(ClosedError):
                await stream.read_message()
        async with await open_stream(other, node) as stream:
            await stream.write_message(KadMessage(messages.PING).encode())
            assert decode(await stream.read_message()).type == messages.PING

    run(test)


def test_one_peer_has_so_many_streams_and_no_more() -> None:
    async def test(node: Libp2pDht, other: Libp2pDht) -> None:
        streams = [await open_stream(other, node) for _ in range(carrier.SERVED_MAX + 1)]
        with pytest.raises(ClosedError):
            await streams[-1].read_message()
        await streams[0].write_message(KadMessage(messages.PING).encode())
        assert await streams[0].read_message()
        for stream in streams:
            stream.reset()

    run(test)


async def ping_often(stream: Stream) -> None:
    for _ in range(4):
        await stream.write_message(KadMessage(messages.PING).encode())
        await stream.read_message()


def test_a_network_that_asks_too_often_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "reach_of", lambda address: places.PUBLIC)

    async def test(node: Libp2pDht, other: Libp2pDht) -> None:
        node.carrier._guard.queries_max = 3
        stream = await open_stream(other, node)
        with pytest.raises(ClosedError):
            await ping_often(stream)

    run(test)
