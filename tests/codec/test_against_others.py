"""Independent libraries read what we write and write what we read."""

import base58
import bencode2
import bencodepy
import multihash as py_multihash
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import DecodeError
from hypothesis import given, strategies as st
from multiformats import multibase as other_multibase, varint as other_varint
from multiformats.multihash import digest as other_digest
from multiformats.varint import decode_raw

from shoal.codec import bencode, multibase, multihash, varint
from shoal.codec.protobuf import Message, field
from shoal.errors import ProtocolError

VALUES = st.recursive(
    st.binary(max_size=120) | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.binary(max_size=12), inner),
)
NAMES = {  # code -> its name in the multicodec table
    multihash.IDENTITY: "identity",
    multihash.SHA1: "sha1",
    multihash.SHA2_256: "sha2-256",
    multihash.SHA2_384: "sha2-384",
    multihash.SHA2_512: "sha2-512",
    multihash.SHA3_256: "sha3-256",
    multihash.SHA3_512: "sha3-512",
    multihash.BLAKE2B_256: "blake2b-256",
}


@pytest.mark.slow
@given(value=VALUES)
def test_bencoding_is_that_of_bencode2_and_bencode_py(value: bencode.Value) -> None:
    data = bencode.encode(value)
    assert data == bencode2.bencode(value) == bencodepy.encode(value)
    assert bencode.decode(data) == bencode2.bdecode(data) == bencodepy.decode(data)


@pytest.mark.slow
@given(value=VALUES, at=st.integers(0, 10_000), byte=st.binary(min_size=1, max_size=1))
def test_what_we_read_after_a_change_bencode2_reads_alike(
    value: bencode.Value, at: int, byte: bytes
) -> None:
    data = bytearray(bencode.encode(value))
    data[at % len(data) : at % len(data) + 1] = byte
    try:
        ours = bencode.decode(bytes(data))
    except ProtocolError:
        return
    assert bencode2.bdecode(bytes(data)) == ours
    assert bencode.encode(ours) == data


@pytest.mark.parametrize("name", multibase._BASES)
@given(data=st.binary(max_size=100))
def test_every_base_is_that_of_multiformats(name: str, data: bytes) -> None:
    text = multibase.encode(data, name)
    assert text == other_multibase.encode(data, name)
    assert multibase.decode(text) == data


@given(data=st.binary(max_size=100))
def test_base_58_is_that_of_base58(data: bytes) -> None:
    text = multibase.encode_base58(data)
    assert text == base58.b58encode(data).decode()
    assert multibase.decode_base58(text) == base58.b58decode(text) == data


@given(number=st.integers(0, 2**63 - 1))
def test_varints_are_those_of_multiformats(number: int) -> None:
    data = varint.encode(number)
    assert data == other_varint.encode(number)
    assert varint.decode(data)[0] == other_varint.decode(data) == number


@given(data=st.binary(max_size=11))
def test_varints_that_multiformats_refuses_we_refuse(data: bytes) -> None:
    try:
        theirs, length, _ = decode_raw(data)
    except ValueError:
        with pytest.raises(ProtocolError):
            varint.decode(data)
        return
    assert varint.decode(data) == (theirs, length)


@pytest.mark.parametrize(("code", "name"), NAMES.items())
def test_multihashes_are_those_of_multiformats_and_py_multihash(code: int, name: str) -> None:
    assert set(NAMES) == set(multihash._HASHES)
    for data in (b"", b"hello", bytes(100)):
        ours = multihash.digest(code, data)
        assert ours == other_digest(data, name)
        if data or code != multihash.IDENTITY:
            theirs = py_multihash.decode(ours)
            assert (theirs.code, theirs.digest) == multihash.decode(ours)


class Inner(Message):
    key: bytes = field(1)
    inner: "Inner | None" = field(2)


class Outer(Message):
    number: int = field(1)
    delta: int = field(2, signed=True)
    flag: bool = field(3)
    blob: bytes = field(4)
    text: str = field(5)
    inner: Inner | None = field(6)
    maybe: int | None = field(7)
    numbers: list[int] = field(9)
    texts: list[str] = field(10)
    inners: list[Inner] = field(2000)


INNERS = st.recursive(
    st.builds(Inner, key=st.binary()), lambda inner: st.builds(Inner, inner=inner), max_leaves=4
)
OUTERS = st.builds(
    Outer,
    number=st.integers(0, 2**64 - 1),
    delta=st.integers(-(2**63), 2**63 - 1),
    flag=st.booleans(),
    blob=st.binary(),
    text=st.text(),
    inner=st.none() | INNERS,
    maybe=st.none() | st.integers(0, 2**64 - 1),
    numbers=st.lists(st.integers(0, 2**64 - 1)),
    texts=st.lists(st.text()),
    inners=st.lists(INNERS),
)


def google_class(packed: bool) -> type:
    """Outer, declared to Google's library; proto2 as libp2p's messages mostly are."""
    wire = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="outer.proto", syntax="proto2")
    inner, outer = file.message_type.add(name="Inner"), file.message_type.add(name="Outer")

    def declare(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
        many = name.endswith("s")
        added = message.field.add(
            name=name,
            number=number,
            label=wire.LABEL_REPEATED if many else wire.LABEL_OPTIONAL,
            type=wire.Type.Value(f"TYPE_{kind}"),
            type_name=".Inner" if kind == "MESSAGE" else None,
        )
        added.options.packed = many and packed and kind == "UINT64"

    declare(inner, "key", 1, "BYTES")
    declare(inner, "inner", 2, "MESSAGE")
    kinds = ["UINT64", "INT64", "BOOL", "BYTES", "STRING", "MESSAGE", "UINT64"]
    kinds += ["UINT64", "STRING", "MESSAGE"]
    for known, kind in zip(Outer._fields.values(), kinds, strict=True):
        declare(outer, known.name, known.key >> 3, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Outer"))


GOOGLE = google_class(packed=False)
PACKED = google_class(packed=True)


@pytest.mark.slow
@given(message=OUTERS)
def test_messages_are_those_of_googles_library(message: Outer) -> None:
    data = message.encode()
    theirs = GOOGLE.FromString(data)
    assert theirs.SerializeToString(deterministic=True) == data
    assert list(theirs.texts) == message.texts
    assert (theirs.delta, theirs.flag, theirs.text) == (message.delta, message.flag, message.text)
    assert Outer.decode(theirs.SerializeToString(deterministic=True)) == message


@given(message=OUTERS)
def test_packed_numbers_are_read(message: Outer) -> None:
    packed = PACKED.FromString(message.encode()).SerializeToString()
    assert Outer.decode(packed) == message


@pytest.mark.slow
@given(first=OUTERS, second=OUTERS)
def test_messages_merge_as_in_googles_library(first: Outer, second: Outer) -> None:
    theirs = GOOGLE.FromString(first.encode())
    theirs.MergeFromString(second.encode())
    first.merge(second.encode())
    ours = GOOGLE.FromString(first.encode())
    assert json_format.MessageToDict(ours) == json_format.MessageToDict(theirs)


@given(message=OUTERS, at=st.integers(0, 10_000), byte=st.binary(min_size=1, max_size=2))
def test_what_google_refuses_after_a_change_we_refuse(message: Outer, at: int, byte: bytes) -> None:
    data = bytearray(message.encode())
    data[at % (len(data) + 1) : at % (len(data) + 1) + 1] = byte
    try:
        ours = Outer.decode(bytes(data))
    except ProtocolError:
        return
    try:
        theirs = GOOGLE.FromString(bytes(data))
    except DecodeError:
        pytest.fail(f"we read {ours} where Google's library refuses")
    theirs.DiscardUnknownFields()
    assert json_format.MessageToDict(theirs) == json_format.MessageToDict(
        GOOGLE.FromString(ours.encode())
    )
