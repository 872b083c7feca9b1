"""Identify messages are read as every stack writes them."""

from random import Random

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.codec import varint
from shoal.errors import ProtocolError
from shoal.net.identify import MESSAGE_MAX, MESSAGES_MAX, OURS_MAX, Identity, describe, read
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey, PublicKey
from shoal.peer.multiaddr import Multiaddr

KEY = bytes.fromhex("080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")
VECTOR = bytes.fromhex(
    "630a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    "1208047f000001060fa11a102f697066732f70696e672f312e302e302208047f00000106c000"
    "2a0a697066732f302e312e30320973686f616c2f302e31"
)
LISTEN = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
OBSERVED = Multiaddr.parse("/ip4/127.0.0.1/tcp/49152")
PING = "/ipfs/ping/1.0.0"


def test_the_vector() -> None:
    key = PublicKey.decode(KEY)
    assert describe(key, [LISTEN], [PING], OBSERVED, agent="shoal/0.1") == VECTOR
    identity = read(VECTOR)
    identity.check(PeerId.of(key))
    assert identity.listening(PeerId.of(key)) == [LISTEN]
    assert (identity.protocols, identity.agent) == ([PING], "shoal/0.1")
    assert identity.observed == OBSERVED.bytes


def test_several_messages_are_merged() -> None:
    second = varint.encode_frame(Identity(record=b"sealed").encode())
    identity = read(VECTOR + second)
    assert (identity.record, identity.agent) == (b"sealed", "shoal/0.1")


def test_anothers_key_is_refused() -> None:
    stranger = PeerId.of(PrivateKey.generate(Random(1)).public)
    with pytest.raises(ProtocolError):
        read(VECTOR).check(stranger)


def test_addresses_of_others_and_of_unknown_transports_are_left_out() -> None:
    me = PeerId.of(PublicKey.decode(KEY))
    other = PeerId.of(PrivateKey.generate(Random(1)).public)
    mine, theirs = LISTEN.with_peer(me), LISTEN.with_peer(other)
    identity = Identity(addresses=[mine.bytes, theirs.bytes, b"\xff\xff\x03", LISTEN.bytes])
    assert identity.listening(me) == [LISTEN]


def test_ours_stays_short() -> None:
    many = [Multiaddr.of("10.0.0.1", port) for port in range(1, 2000)]
    assert len(describe(PublicKey.decode(KEY), many, [PING], None, agent="x")) <= OURS_MAX + 2


@pytest.mark.parametrize(
    "data",
    [
        varint.encode(MESSAGE_MAX + 1) + bytes(MESSAGE_MAX + 1),
        bytes(MESSAGES_MAX + 1),
        VECTOR[:-1],
    ],
)
def test_too_long_too_many_and_cut_short(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error(data: bytes) -> None:
    peer = PeerId.of(PublicKey.decode(KEY))
    found = attempt(lambda: read(data).listening(peer))
    assert found is None or all(address.peer in (None, peer) for address in found)
