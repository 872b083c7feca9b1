"""Native messages read back in any pieces, garbage is an error, records prove themselves."""

import random

import msgspec
import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt

from shoal.codec import varint
from shoal.errors import ProtocolError, UsageError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.rpc import native, record
from shoal.rpc.native import Ask, Call, Cancel, Code, Failure, Frames, Result, Told
from shoal.rpc.record import Offer, ServiceRecord

MESSAGES = [
    Call(1, "sum", [1, 2.5, b"x", "ü", None, {"a": [True]}]),
    Result(1, {"b": b"\x00"}),
    Failure(2, Code.BUSY, "later"),
    Cancel(3),
    Ask(4),
    Told(5, b"record"),
    Call(6, "big", [b"x" * 1000]),
]


@given(size=st.integers(1, 40))
def test_messages_read_back_in_pieces_of_any_size(size: int) -> None:
    data = b"".join(map(native.encode, MESSAGES))
    frames, found = Frames(), []
    for start in range(0, len(data), size):
        found += frames.receive(data[start : start + size])
    assert found == MESSAGES


@given(data=st.binary(max_size=60))
def test_garbage_is_a_protocol_error_or_waits_for_more(data: bytes) -> None:
    assert isinstance(attempt(Frames().receive, data), list | None)
    assert attempt(ServiceRecord.open, data) is None  # nobody signed it
    message = attempt(native.decode, data)
    assert message is None or attempt(native.decode, data) == message


@pytest.mark.parametrize(
    "body", [[0, -1, "x", []], [0, 1 << 62, "x", []], [9, 1], [0, 1, 2, []], [], {}, 5]
)
def test_messages_of_no_kind_are_refused(body: object) -> None:
    with pytest.raises(ProtocolError):
        native.decode(msgspec.msgpack.encode(body))
    with pytest.raises(ProtocolError):
        native.decode(b"\x93\x01\x01" + b"\x91" * 100_000)


def test_a_message_that_is_too_long_is_refused_by_both_sides() -> None:
    with pytest.raises(ProtocolError):
        Frames().receive(varint.encode(native.MESSAGE_MAX + 1))
    with pytest.raises(UsageError):
        native.encode(Result(1, b"x" * native.MESSAGE_MAX))
    with pytest.raises(UsageError):
        native.encode(Result(1, object()))


def test_a_record_is_verified_and_names_its_peer() -> None:
    key = PrivateKey.generate(random.Random(1))
    offers = (Offer("sum", "1.0", 3), Offer("ill", well=False))
    sealed = ServiceRecord.seal(key, offers, 7)
    opened = ServiceRecord.open(sealed)
    assert opened == ServiceRecord(PeerId.of(key.public), 7, offers)
    assert opened.offer("sum") == offers[0]
    assert opened.offer("none") is None
    with pytest.raises(ProtocolError):
        ServiceRecord.open(sealed[:-1] + bytes([sealed[-1] ^ 1]))


@pytest.mark.parametrize(
    "offers",
    [
        [Offer("")],
        [Offer("x" * (record.NAME_MAX + 1))],
        [Offer("x", "v" * (record.VERSION_MAX + 1))],
        [Offer("x", load=-1)],
        [Offer("x")] * (record.OFFERS_MAX + 1),
    ],
)
def test_a_record_that_asks_too_much_is_refused(offers: list[Offer]) -> None:
    key = PrivateKey.generate(random.Random(1))
    with pytest.raises(ProtocolError):
        ServiceRecord.open(ServiceRecord.seal(key, offers, 1))


def test_a_record_of_ours_fits_its_envelope() -> None:
    key = PrivateKey.generate(random.Random(1))
    with pytest.raises(UsageError):
        ServiceRecord.seal(key, [Offer("x" * 900)] * 100, 1)
