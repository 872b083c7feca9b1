"""A peer id is one name of one key, in two texts."""

import random

import pytest
from hypothesis import given, strategies as st
from tests.peer.keys import A_ID, A_PUBLIC, A_TEXT, B_ID, B_TEXT, A, B
from tests.peer.test_key import ECDSA_PUBLIC, SECP256K1_PUBLIC

from shoal.codec import multibase, multihash
from shoal.errors import ProtocolError
from shoal.peer.id import TEXT_MAX, PeerId
from shoal.peer.key import PrivateKey, PublicKey

VECTORS = [  # (public key, peer id as text): ours, confirmed by another program
    (A_PUBLIC.hex(), A_TEXT),
    (B.public.encode().hex(), B_TEXT),
    (SECP256K1_PUBLIC, "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi"),
    (ECDSA_PUBLIC, "QmUPX5B1j28iUCxqj6B9daKm7QVQkt7VTGL5Sfe378gcYi"),
    (  # and those of peer-ids.md
        "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
    ),
    (
        "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99",
        "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
    ),
    (
        "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83ab"
        "ab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c"
        "409e62",
        "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk",
    ),
]


@pytest.mark.parametrize(("key", "text"), VECTORS)
def test_the_id_of_a_key_is_that_of_the_vectors(key: str, text: str) -> None:
    public = PublicKey.decode(bytes.fromhex(key))
    peer = PeerId.of(public)
    assert str(peer) == text
    assert PeerId.parse(text) == peer == PeerId(memoryview(peer.bytes))
    assert peer.belongs_to(public)
    assert not peer.belongs_to(PrivateKey("secp256k1", b"\2" * 32).public)


def test_an_rsa_key_is_hashed() -> None:
    key = PrivateKey.generate(random.Random(1), "rsa").public
    assert PeerId.of(key).bytes == multihash.sha256(key.encode())
    assert PeerId.of(key).public_key is None


def test_the_key_is_read_out_of_a_short_id() -> None:
    assert A_ID.bytes.hex() == "0024" + A_PUBLIC.hex()
    assert A_ID.public_key == A.public


@pytest.mark.parametrize(
    "text",
    [
        "bafzaajaiaejcbcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324",
        "k51qzi5uqu5djmw2yvf8kk5cdjc1ddc00o4d5sjwi6f79xzcay9j3gkddw5uu4",
    ],
)
def test_the_cid_form_is_read_and_can_be_written(text: str) -> None:
    assert PeerId.parse(text) == A_ID
    assert text in (A_ID.cid(), A_ID.cid("base36"))
    assert PeerId.parse(A_ID.cid("base16")) == A_ID


def test_ids_are_compared_by_their_bytes() -> None:
    assert len({A_ID, PeerId.parse(A_TEXT), B_ID}) == 2
    assert sorted([A_ID, B_ID]) == sorted([B_ID, A_ID], key=lambda peer: peer.bytes)
    assert A_ID != A_TEXT
    assert repr(A_ID) == f"PeerId({A_TEXT})"


@pytest.mark.parametrize(
    "data",
    [
        "",
        "0000",
        "002b" + "00" * 43,
        "1114" + "00" * 20,
        "1210" + "00" * 16,
        "0024" + "00" * 35,
        "1220" + "00" * 33,
    ],
)
def test_bytes_that_are_no_id_are_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        PeerId(bytes.fromhex(data))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "Qm",
        "QmX",
        "12D3KooW",
        A_TEXT[:-1],
        A_TEXT + "1",
        A_TEXT.replace("K", "0"),
        "bafkqaaa",
        multibase.encode(b"\x01\x55" + A_ID.bytes),
        "f" + "0" * TEXT_MAX,
    ],
)
def test_text_that_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        PeerId.parse(text)


@given(data=st.binary(max_size=80))
def test_an_id_of_any_bytes_is_refused_or_makes_a_round_trip(data: bytes) -> None:
    try:
        peer = PeerId(data)
    except ProtocolError:
        return
    assert PeerId.parse(str(peer)) == peer


def test_an_inlined_text_that_is_no_key_is_refused_when_the_key_is_needed() -> None:
    peer = PeerId(multihash.encode(multihash.IDENTITY, b"no key"))
    with pytest.raises(ProtocolError):
        _ = peer.public_key
