"""Two sides agree on a protocol, whatever the pace of the bytes."""

import contextlib

import pytest
from hypothesis import given, strategies as st

from shoal.errors import NotFoundError, ProtocolError, UsageError
from shoal.net.multistream import (
    HEADER,
    MESSAGE_MAX,
    PROPOSALS_MAX,
    Dialer,
    Listener,
    decode,
    encode,
)

GREETING = encode(HEADER)


def take(side: Dialer | Listener) -> bytes:
    parts, side.out = side.out, []
    return b"".join(parts)


def test_writes_the_bytes_which_others_write() -> None:
    greeting = b"\x13/multistream/1.0.0\n"
    assert take(Dialer(["/noise"])) == greeting + b"\x07/noise\n"
    assert take(Listener({"/noise"})) == greeting


@given(st.text(max_size=255))
def test_a_message_survives_the_round_trip(text: str) -> None:
    wire = encode(text)
    assert decode(wire) == (text, len(wire))
    assert decode(b"xx" + wire, 2) == (text, len(wire) + 2)
    assert all(decode(wire[:end]) is None for end in range(len(wire)))


def test_the_first_common_protocol_is_agreed_on() -> None:
    dialer, listener = Dialer(["/a", "/b", "/c"]), Listener({"/c", "/b"})
    while not dialer.done:
        sent = take(dialer)
        assert listener.receive(sent) == len(sent)
        sent = take(listener)
        assert dialer.receive(sent) == len(sent)
    assert (dialer.protocol, listener.protocol, listener.done) == ("/b", "/b", True)


def test_a_lazy_dialer_sends_data_behind_its_proposal_and_none_of_it_is_taken() -> None:
    dialer, listener = Dialer(["/echo"]), Listener(["/echo"])
    assert dialer.protocol == "/echo"
    sent = take(dialer) + b"\x05data"
    assert listener.receive(sent) == len(sent) - 5
    answer = take(listener) + b"more"
    assert dialer.receive(answer) == len(answer) - 4
    assert dialer.done


def test_byte_at_a_time_equals_all_at_once() -> None:
    listener = Listener({"/b"})
    wire = GREETING + encode("/" + "a" * 200) + encode("/b") + b"rest"
    used = 0
    while not listener.done:
        used += listener.receive(wire[used : used + 1])
    assert wire[used:] == b"rest"
    assert take(listener) == GREETING + encode("na") + encode("/b")


def test_a_dialer_learns_that_nothing_is_spoken() -> None:
    dialer = Dialer(["/a", "/b"])
    dialer.receive(GREETING + encode("na"))
    assert take(dialer) == GREETING + encode("/a") + encode("/b")
    with pytest.raises(NotFoundError, match="/a, /b"):
        dialer.receive(encode("na"))


@pytest.mark.parametrize(
    "wire",
    [
        b"\x00",
        b"\x83\x80\x00",
        b"\x81\x00",
        b"\x81\x08",
        b"\x80\x80\x01",
        b"\x03abc",
        b"\x02\xff\n",
        encode("/http/1.0"),
    ],
)
def test_what_is_no_multistream_is_refused(wire: bytes) -> None:
    for side in (Dialer(["/a"]), Listener({"/a"})):
        with pytest.raises(ProtocolError):
            side.receive(wire)


def test_a_message_of_1024_bytes_is_answered_and_a_longer_one_refused() -> None:
    listener = Listener({"/a"})
    wire = GREETING + encode("x" * (MESSAGE_MAX - 1))
    assert listener.receive(wire) == len(wire)
    assert take(listener) == GREETING + encode("na")
    with pytest.raises(UsageError):
        encode("x" * MESSAGE_MAX)


def test_a_listener_is_not_asked_for_ever() -> None:
    listener = Listener({"/a"})
    listener.receive(GREETING + encode("ls") * PROPOSALS_MAX)
    with pytest.raises(ProtocolError):
        listener.receive(encode("/a"))


def test_a_dialer_is_not_agreed_with_about_something_else() -> None:
    with pytest.raises(ProtocolError):
        Dialer(["/a"]).receive(GREETING + encode("/b"))


def test_a_dialer_needs_a_proposal() -> None:
    with pytest.raises(UsageError):
        Dialer([])


@given(st.binary(max_size=100))
def test_garbage_raises_protocol_errors_only(data: bytes) -> None:
    for side in (Dialer(["/a"]), Listener({"/a"})):
        with contextlib.suppress(ProtocolError, NotFoundError):
            side.receive(GREETING + data)
