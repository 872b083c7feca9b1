"""Messages are declared once; what is written is deterministic, what is read is bounded."""

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.codec import protobuf
from shoal.codec.protobuf import Message, field
from shoal.errors import ProtocolError, UsageError


class Key(Message):
    type: int = field(1, always=True)
    data: bytes = field(2, always=True)


class Tree(Message):
    name: str = field(1)
    branches: list["Tree"] = field(2, most=3)
    trunk: "Tree | None" = field(3)


class Everything(Message):
    number: int = field(1)
    delta: int = field(2, signed=True)
    flag: bool = field(3)
    blob: bytes = field(4)
    text: str = field(5)
    key: Key | None = field(6)
    maybe: int | None = field(7)
    blobs: list[bytes] = field(8)
    numbers: list[int] = field(9)
    deltas: list[int] = field(10, signed=True)
    keys: list[Key] = field(2000)


U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
KEYS = st.builds(Key, type=U64, data=st.binary())
EVERYTHING = st.builds(
    Everything,
    number=U64,
    delta=I64,
    flag=st.booleans(),
    blob=st.binary(),
    text=st.text(),
    key=st.none() | KEYS,
    maybe=st.none() | U64,
    blobs=st.lists(st.binary()),
    numbers=st.lists(U64),
    deltas=st.lists(I64),
    keys=st.lists(KEYS),
)


def test_the_examples_of_the_documentation_hold() -> None:
    assert Everything(number=150).encode() == bytes.fromhex("089601")
    assert Everything(text="testing").encode() == bytes.fromhex("2a0774657374696e67")
    assert Everything(delta=-2).encode() == bytes.fromhex("10feffffffffffffffff01")
    assert Everything(numbers=[1, 2]).encode() == bytes.fromhex("48014802")
    assert Everything.decode(bytes.fromhex("4a06038e029ea705")).numbers == [3, 270, 86942]


@given(message=EVERYTHING)
def test_every_message_makes_a_round_trip(message: Everything) -> None:
    assert Everything.decode(memoryview(message.encode())) == message


def test_zero_is_not_written_unless_the_message_says_so() -> None:
    assert Everything().encode() == b""
    assert Key().encode() == bytes.fromhex("08001200")
    assert Everything(maybe=0).encode() == bytes.fromhex("3800")
    assert Everything(key=Key()).encode() == bytes.fromhex("320408001200")
    assert Everything(blobs=[b""], numbers=[0]).encode() == bytes.fromhex("42004800")


def test_what_is_absent_is_zero_or_none() -> None:
    message = Everything.decode(b"")
    assert message == Everything()
    assert (message.number, message.text, message.key, message.maybe) == (0, "", None, None)
    assert message.blobs is not Everything.decode(b"").blobs


def test_unknown_fields_are_skipped() -> None:
    unknown = bytes.fromhex("a006 ff01 a106 0011223344556677 a206 03 616263 a506 00112233")
    known = Everything(number=7).encode()
    assert Everything.decode(unknown + known + unknown) == Everything(number=7)


def test_a_field_of_another_wire_type_is_skipped_like_an_unknown_one() -> None:
    assert Everything.decode(bytes.fromhex("0a0161 2005 0d00000000")) == Everything()


def test_messages_merge() -> None:
    message = Everything(number=1, blobs=[b"a"], key=Key(type=1, data=b"x"))
    message.merge(
        Everything(number=2, text="b", blobs=[b"c"]).encode() + bytes.fromhex("3203120179")
    )
    assert message.number == 2
    assert message.text == "b"
    assert message.blobs == [b"a", b"c"]
    assert message.key == Key(type=1, data=b"y")


def test_nested_messages_merge_field_by_field() -> None:
    message = Tree.decode(Tree(trunk=Tree(name="a")).encode())
    message.merge(Tree(trunk=Tree(branches=[Tree(name="b")])).encode())
    assert message.trunk == Tree(name="a", branches=[Tree(name="b")])


@pytest.mark.slow
@given(message=EVERYTHING)
def test_a_message_that_is_cut_short_is_refused_or_ends_between_fields(message: Everything) -> None:
    data = message.encode()
    for end in range(len(data)):
        found = attempt(Everything.decode, data[:end])
        assert found is None or Everything.decode(found.encode()) == found


@pytest.mark.parametrize(
    "data",
    [
        "08",
        "0880",
        "08ffffffffffffffffffff01",
        "08ffffffffffffffffff02",
        "22",
        "2205616263",
        "22ffffffffffffffff7f",
        "2a02c328",
        "00",
        "0000",
        "0b",
        "0c",
        "0e",
        "0f",
        "a30600a406",
        "8080808080808080800100",
        "80808080800100",
        "a106001122",
        "a506001122",
        "3203080112",
        "4a0180",
        "4a0500",
    ],
)
def test_what_is_no_message_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        Everything.decode(bytes.fromhex(data))


def test_longer_forms_of_varints_are_read() -> None:
    assert Everything.decode(bytes.fromhex("088100")).number == 1


def test_packed_numbers_for_a_single_field_are_skipped() -> None:
    assert Everything.decode(bytes.fromhex("0a0101")) == Everything()


def test_a_list_is_bounded() -> None:
    three = Tree(branches=[Tree(), Tree(), Tree()]).encode()
    assert len(Tree.decode(three).branches) == 3
    with pytest.raises(ProtocolError, match="more than 3 of branches"):
        Tree.decode(three + b"\x12\x00")


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        tree = Tree()
        for _ in range(depth):
            tree = Tree(trunk=tree)
        return tree.encode()

    Tree.decode(nested(protobuf.DEPTH_MAX))
    with pytest.raises(ProtocolError, match="levels deep"):
        Tree.decode(nested(protobuf.DEPTH_MAX + 1))


@pytest.mark.parametrize("data", [b"\x42\x00", b"\x48\x00", b"\xa0\x06\x01"])
def test_the_number_of_fields_is_bounded(data: bytes) -> None:
    Everything.decode(data * protobuf.FIELDS_MAX)
    with pytest.raises(ProtocolError, match="more than"):
        Everything.decode(data * (protobuf.FIELDS_MAX + 1))


def test_the_number_of_packed_values_is_bounded() -> None:
    run = b"\x4a" + protobuf._encode_varint(protobuf.FIELDS_MAX) + bytes(protobuf.FIELDS_MAX)
    with pytest.raises(ProtocolError, match="more than"):
        Everything.decode(run)


def test_length_is_bounded() -> None:
    with pytest.raises(ProtocolError, match="at most"):
        Everything.decode(bytes(protobuf.LENGTH_MAX + 1))


@pytest.mark.parametrize("message", [Everything(number=-1), Everything(delta=2**63)])
def test_a_number_that_does_not_fit_is_our_mistake(message: Everything) -> None:
    with pytest.raises(UsageError):
        message.encode()


def test_a_wrong_declaration_is_our_mistake() -> None:
    with pytest.raises(UsageError):
        field(0)
    with pytest.raises(UsageError, match="cannot be"):

        class Wrong(Message):
            ratio: float = field(1)

    with pytest.raises(UsageError, match="taken"):

        class Twice(Message):
            first: int = field(1)
            second: int = field(1)
