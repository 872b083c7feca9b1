"""Records carry a stream of bytes: nothing is lost, added or changed."""

import random

import pytest
from hypothesis import given, strategies as st

from shoal.errors import LimitError, ProtocolError
from shoal.net.secure import record
from shoal.net.secure.record import PLAIN_MAX, Session

KEYS = bytes(32), b"\x01" * 32


def pair() -> tuple[Session, Session]:
    return Session(*KEYS), Session(*KEYS[::-1])


def sealed(session: Session, *parts: bytes) -> bytearray:
    [buffer] = session.seal(list(parts))
    return bytearray(buffer)


def sizes(wire: bytes) -> list[int]:
    """What each record carries."""
    found = []
    at = 0
    while at < len(wire):
        size = int.from_bytes(wire[at : at + 2])
        found.append(size - 16)
        at += 2 + size
    return found


@pytest.mark.slow
@given(st.lists(st.integers(0, 70_000), max_size=6), st.integers(1, 90_000))
def test_what_is_sealed_is_opened_however_it_is_cut(lengths: list[int], chunk: int) -> None:
    sender, receiver = pair()
    chance = random.Random(1)
    parts = [chance.randbytes(length) for length in lengths]
    wire = sealed(sender, *parts)
    assert all(size == PLAIN_MAX for size in sizes(wire)[:-1])
    heard = bytearray()
    waiting = bytearray()
    for start in range(0, len(wire), chunk):
        waiting += wire[start : start + chunk]
        plain, used = receiver.open(memoryview(waiting))
        heard += b"".join(plain)
        waiting = waiting[used:]
    assert heard == b"".join(parts)
    assert not waiting


def test_byte_at_a_time_equals_all_at_once() -> None:
    sender, receiver = pair()
    wire = sealed(sender, b"hello", b"", b"world")
    assert len(wire) == 10 + sender.overhead
    for end in range(len(wire)):
        assert receiver.open(memoryview(wire)[:end]) == ([], 0)
    plain, used = receiver.open(memoryview(wire))
    assert [bytes(part) for part in plain] == [b"helloworld"]
    assert used == len(wire)


def test_opening_happens_in_the_buffer_itself() -> None:
    sender, receiver = pair()
    wire = sealed(sender, b"hello")
    receiver.open(memoryview(wire))
    assert wire[2:7] == b"hello"


def test_many_parts_share_one_record_and_a_large_one_has_several() -> None:
    sender, _ = pair()
    assert sizes(sealed(sender, *[b"x" * 100] * 50)) == [5000]
    assert sizes(sealed(sender, b"y" * 12, bytes(65_507))) == [PLAIN_MAX]
    assert sizes(sealed(sender, b"y" * 12, memoryview(bytes(65_508)))) == [PLAIN_MAX, 1]
    assert sizes(sealed(sender, bytes(3 * PLAIN_MAX))) == [PLAIN_MAX] * 3


def test_an_empty_record_is_legal() -> None:
    sender, receiver = pair()
    wire = sealed(sender) + sealed(sender, b"x")
    plain, used = receiver.open(memoryview(wire))
    assert ([bytes(part) for part in plain], used) == ([b"x"], len(wire))


@pytest.mark.parametrize("size", range(16))
def test_a_record_shorter_than_its_tag_is_refused(size: int) -> None:
    _, receiver = pair()
    with pytest.raises(ProtocolError):
        receiver.open(memoryview(bytearray(size.to_bytes(2) + bytes(size))))


def test_a_damaged_repeated_or_reordered_record_is_refused() -> None:
    sender, receiver = pair()
    first, second = sealed(sender, b"1"), sealed(sender, b"2")
    with pytest.raises(ProtocolError):
        pair()[1].open(memoryview(second))
    receiver.open(memoryview(bytearray(first)))
    with pytest.raises(ProtocolError):
        receiver.open(memoryview(bytearray(first)))
    for position in range(2, len(first)):
        damaged = bytearray(first)
        damaged[position] ^= 0x80
        with pytest.raises(ProtocolError):
            pair()[1].open(memoryview(damaged))


@given(st.binary(max_size=200))
def test_garbage_raises_protocol_errors_only(data: bytes) -> None:
    _, receiver = pair()
    try:
        plain, _ = receiver.open(memoryview(bytearray(data)))
        assert not plain
    except ProtocolError:
        pass


def test_nonces_are_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RECORDS_MAX", 2)
    sender, receiver = pair()
    wire = sealed(sender, bytes(PLAIN_MAX + 1))
    with pytest.raises(LimitError):
        sender.seal([b"x"])
    receiver.open(memoryview(wire))
