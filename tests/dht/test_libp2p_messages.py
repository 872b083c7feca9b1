"""What goes over the wire, byte for byte, and what may not."""

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.codec import multihash
from shoal.codec.varint import encode_frame
from shoal.dht.libp2p import messages
from shoal.dht.libp2p.core import position_of
from shoal.dht.libp2p.messages import KadMessage, PeerMessage, RecordMessage, decode, encode
from shoal.errors import ProtocolError

PUBLIC = bytes.fromhex("080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
PEER = b"\x00\x24" + PUBLIC
PK = b"/pk/" + PEER
HELLO = multihash.sha256(b"hello")
LOCAL = bytes.fromhex("047f000001060fa1")  # /ip4/127.0.0.1/tcp/4001

# Messages that js-libp2p and go-libp2p answered.
VECTORS = {
    "FIND_NODE": (KadMessage(messages.FIND_NODE, PEER), f"2a08041226{PEER.hex()}"),
    "PUT_VALUE": (
        KadMessage(messages.PUT_VALUE, PK, RecordMessage(PK, PUBLIC)),
        f"82010800122a{PK.hex()}1a520a2a{PK.hex()}1224{PUBLIC.hex()}",
    ),
    "ADD_PROVIDER": (
        KadMessage(messages.ADD_PROVIDER, HELLO, providers=[PeerMessage(PEER, [LOCAL])]),
        f"5a08021222{HELLO.hex()}4a320a26{PEER.hex()}1208{LOCAL.hex()}",
    ),
}
POSITIONS = {
    PEER: "2ea99e04b7226ebb09856fdd2c3df7aad5dbc53dbcbb110d5e1ff64b7626122e",
    HELLO: "8303f770736d5856a269f713c6ed79ed1217ee0bf60fd0d7547a2b8dbc0baa9a",
    PK: "5038507adcfc76dad9a6e45c82f28d96409ae32e380d1bf03a618ff0eae598c7",
}


@pytest.mark.parametrize("name", VECTORS)
def test_messages_are_those_of_the_vectors(name: str) -> None:
    message, expected = VECTORS[name]
    assert encode(message).hex() == expected
    assert decode(message.encode()) == message
    assert encode_frame(message.encode()) == encode(message)


@pytest.mark.parametrize("key", POSITIONS)
def test_a_key_lies_at_its_sha_256(key: bytes) -> None:
    assert position_of(key) == int(POSITIONS[key], 16)


def test_type_zero_may_be_left_out_and_unknown_fields_are_skipped() -> None:
    assert decode(b"\x12\x01k").type == messages.PUT_VALUE
    assert decode(b"\x08\x05\x50\x01\x9a\x06\x01x").type == messages.PING


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x06",  # an unknown type
        b"\x12\x05k",  # cut short
        KadMessage(4, bytes(messages.KEY_MAX + 1)).encode(),
        KadMessage(4, b"k", closer=[PeerMessage(PEER)] * (messages.CLOSER_MAX + 1)).encode(),
        KadMessage(3, b"k", providers=[PeerMessage()] * (messages.PROVIDERS_MAX + 1)).encode(),
        KadMessage(
            4, b"k", closer=[PeerMessage(PEER, [LOCAL] * (messages.ADDRESSES_MAX + 1))]
        ).encode(),
    ],
)
def test_what_is_beyond_a_limit_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


PEERS = st.builds(
    PeerMessage, st.binary(max_size=40), st.lists(st.binary(max_size=10), max_size=3), st.just(1)
)
MESSAGES = st.builds(
    KadMessage,
    st.integers(0, 5),
    st.binary(max_size=100),
    st.none() | st.builds(RecordMessage, st.binary(max_size=40), st.binary(max_size=40)),
    st.lists(PEERS, max_size=4),
    st.lists(PEERS, max_size=4),
)


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message: KadMessage) -> None:
    assert decode(memoryview(message.encode())) == message


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    message = attempt(decode, data)
    assert message is None or decode(message.encode()) == message
