"""What may be stored: public keys under their ids, names signed by their owners, no more."""

from random import Random

import pytest
from hypothesis import given, strategies as st

from shoal.dht.libp2p import ipns
from shoal.dht.libp2p.ipns import IPNS, EntryMessage, Names, decode_map, encode_map, seal
from shoal.dht.libp2p.service import NAMESPACES
from shoal.dht.libp2p.validators import VALUE_MAX, Validators
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

RNG = Random(7)
KEY = PrivateKey.generate(RNG)
OTHER = PrivateKey.generate(RNG)
RSA = PrivateKey.generate(RNG, "rsa")
TODAY = 1_800_000_000.0
RULES = Validators(NAMESPACES)


def pk(key: PrivateKey) -> bytes:
    return b"/pk/" + PeerId.of(key.public).bytes


@pytest.mark.parametrize("key", [KEY, RSA])
def test_a_public_key_lies_under_its_id(key: PrivateKey) -> None:
    RULES.check(pk(key), key.public.encode(), TODAY)
    assert not RULES.better(pk(key), key.public.encode(), key.public.encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (pk(KEY), OTHER.public.encode()),
        (pk(KEY), b""),
        (pk(KEY), b"no key"),
        (b"/pk/", KEY.public.encode()),
        (b"/pk/nobody", KEY.public.encode()),
        (b"/other/x", b"x"),
        (b"/pk", b"x"),
        (b"pk/x", b"x"),
        (b"", b"x"),
        (pk(KEY), bytes(VALUE_MAX + 1)),
    ],
)
def test_anything_else_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(ProtocolError):
        RULES.check(key, value, TODAY)
    assert not RULES.allows(key, value, TODAY)


def test_a_namespace_is_known_only_if_it_was_given() -> None:
    assert RULES.knows(b"/ipns/x")
    assert not Validators({}).knows(b"/ipns/x")


@pytest.mark.parametrize("owner", [KEY, RSA])
def test_a_name_says_what_its_owner_signed_until_it_ends(owner: PrivateKey) -> None:
    key, record = seal(owner, b"/ipfs/x", sequence=3, ends=TODAY + 60)
    name = ipns.read(key, record)
    assert (name.value, name.sequence, name.ends) == (b"/ipfs/x", 3, TODAY + 60)
    assert name.validity == b"2027-01-15T08:01:00.000000000Z"
    RULES.check(key, record, TODAY)
    with pytest.raises(ProtocolError, match="expired"):
        RULES.check(key, record, TODAY + 60)


def test_the_higher_sequence_is_better_then_the_later_end() -> None:
    first, longer, second = (
        seal(KEY, b"v", sequence=sequence, ends=TODAY + ends)[1]
        for sequence, ends in ((1, 60), (1, 90), (2, 30))
    )
    names = Names()
    assert names.better(longer, first)
    assert names.better(second, longer)
    assert not names.better(first, longer)
    assert not names.better(first, first)


def test_a_name_that_was_changed_is_refused() -> None:
    key, record = seal(KEY, b"v", sequence=1, ends=TODAY + 60)
    _, foreign = seal(OTHER, b"v", sequence=1, ends=TODAY + 60)
    changed = []
    for field, value in {
        "value": b"w",
        "sequence": 2,
        "validity": b"2099-01-01T00:00:00.000000000Z",
        "ttl": 5,
        "validity_type": 1,
        "signature": bytes(64),
        "data": encode_map({"Value": b"v"}),
        "public_key": OTHER.public.encode(),
    }.items():
        entry = EntryMessage.decode(record)
        setattr(entry, field, value)
        changed.append(entry.encode())
    for bad in (*changed, foreign, b"", record + bytes(ipns.RECORD_MAX)):
        with pytest.raises(ProtocolError):
            RULES.check(key, bad, TODAY)


def test_a_name_whose_id_is_a_digest_must_bring_its_key() -> None:
    key, record = seal(RSA, b"v", sequence=1, ends=TODAY + 60)
    entry = EntryMessage.decode(record)
    entry.public_key = b""
    with pytest.raises(ProtocolError, match="lacks the key"):
        ipns.read(key, entry.encode())


def test_a_map_is_in_the_order_of_dag_cbor() -> None:
    data = encode_map({"Value": b"v", "TTL": 300, "Sequence": 2**40})
    names = b"\x63TTL", b"\x65Value", b"\x68Sequence"
    values = "19012c", "4176", "1b0000010000000000"
    entries = [name + bytes.fromhex(value) for name, value in zip(names, values, strict=True)]
    assert data == b"\xa3" + b"".join(entries)
    assert decode_map(data) == {"TTL": 300, "Value": b"v", "Sequence": 2**40}


@pytest.mark.parametrize("text", ["", "80", "a1", "a16141", "a1614101ff", "bf", "b841", "a16161a0"])
def test_other_cbor_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode_map(bytes.fromhex(text))


@given(st.dictionaries(st.text("abcd", max_size=5), st.binary(max_size=30) | st.integers(0, 2**63)))
def test_every_map_comes_back(entries: dict[str, int | bytes]) -> None:
    assert decode_map(encode_map(entries)) == entries


@given(st.binary(max_size=100), st.binary(max_size=20))
def test_garbage_is_a_protocol_error_and_nothing_else(value: bytes, rest: bytes) -> None:
    for key in (IPNS + rest, b"/pk/" + rest, IPNS + PeerId.of(KEY.public).bytes):
        assert not RULES.allows(key, value, TODAY)
    try:
        decode_map(value)
    except ProtocolError:
        return
