"""What a peer may not do to yamux, and how long it may be silent."""

import pytest
from hypothesis import given, settings, strategies as st
from tests.net.mux.pair import End, connected, pump

from shoal.errors import ClosedError, LimitError, ProtocolError, ShoalError
from shoal.net.mux import yamux
from shoal.net.mux.channel import WINDOW
from shoal.net.mux.frames import ACK, DATA, FIN, GO_AWAY, HEADER, PING, RST, SYN, WINDOW_UPDATE
from shoal.net.mux.yamux import ANSWERS_MAX, LINGER, PROTOCOL_ERROR, RESOURCES, YamuxSettings


def frame(kind: int, flags: int, number: int, length: int, data: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, number, length) + data


OPEN = frame(WINDOW_UPDATE, SYN, 1, 0)
VIOLATIONS = {
    "version": b"\x01" + frame(PING, SYN, 0, 0)[1:],
    "type": frame(7, 0, 1, 0),
    "stream 0": frame(DATA, 0, 0, 1),
    "opened stream 0": frame(WINDOW_UPDATE, SYN, 0, 0),
    "wrong parity": frame(WINDOW_UPDATE, SYN, 2, 0),
    "opened twice": OPEN + OPEN,
    "window exceeded": OPEN + frame(DATA, 0, 1, WINDOW + 1),
    "window exceeded in parts": OPEN
    + frame(DATA, 0, 1, WINDOW, bytes(WINDOW))
    + frame(DATA, 0, 1, 1),
    "window beyond 32 bits": OPEN + frame(WINDOW_UPDATE, 0, 1, 2**32 - 1),
    "ping on a stream": frame(PING, SYN, 1, 0),
    "go-away on a stream": frame(GO_AWAY, 0, 1, 0),
    "pings": frame(PING, SYN, 0, 0) * (ANSWERS_MAX + 1),
}


@pytest.mark.parametrize("wire", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_violation_is_answered_by_a_go_away_and_raised(wire: bytes) -> None:
    end = End(False)
    with pytest.raises(ProtocolError):
        end.give(wire)
    assert end.frames()[-1] == (GO_AWAY, 0, 0, PROTOCOL_ERROR, b"")


@given(st.binary(max_size=200))
def test_garbage_raises_protocol_errors_only(data: bytes) -> None:
    end = End(False)
    try:
        end.give(OPEN + data)
    except ClosedError:
        assert end.mux.gone_away
    except ProtocolError:
        pass


FIELDS = st.tuples(
    st.sampled_from([DATA, WINDOW_UPDATE, PING, GO_AWAY]),
    st.integers(0, 15),
    st.integers(0, 5),
    st.integers(0, 3),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(FIELDS, max_size=30))
def test_any_order_of_frames_keeps_the_books(fields: list[tuple[int, int, int, int]]) -> None:
    end = End(False)
    end.open()
    try:
        for kind, flags, number, length in fields:
            end.give(frame(kind, flags, number, length, bytes(length if kind == DATA else 0)))
    except ShoalError as error:
        end.mux.closed(error)
        assert not end.mux.channels
    channels = end.mux.channels.values()
    assert end.mux.inbound == sum(channel.inbound for channel in channels)
    assert end.mux.unread == sum(channel.unread for channel in channels)


def test_streams_beyond_the_limit_are_refused_and_the_others_go_on() -> None:
    end = End(False, settings=YamuxSettings(streams_max=2))
    end.take()
    for number in (1, 3, 5):
        end.give(frame(WINDOW_UPDATE, SYN, number, 0))
    assert end.frames()[-1] == (WINDOW_UPDATE, RST, 5, RESOURCES, b"")
    end.give(frame(WINDOW_UPDATE, RST, 1, 0) + frame(DATA, SYN, 7, 1, b"x"))
    assert end.accepted[-1][1].data == b"x"


def test_a_stream_is_reset_when_too_much_waits_to_be_read() -> None:
    end = End(False, settings=YamuxSettings(unread_max=3))
    end.give(frame(DATA, SYN, 1, 3, b"abc") + frame(DATA, SYN, 3, 1, b"d"))
    assert end.frames()[-1] == (WINDOW_UPDATE, RST, 3, RESOURCES, b"")
    assert isinstance(end.accepted[1][1].ends[0], LimitError)
    assert not end.accepted[1][1].data
    end.mux.consumed(end.accepted[0][0], 3)
    end.give(frame(DATA, SYN | FIN, 5, 3, b"efg"))
    assert end.accepted[2][1].data == b"efg"


def test_many_pings_over_a_long_time_are_no_flood() -> None:
    end = End(False)
    for now in (0.0, yamux.ANSWERS_PERIOD):
        end.give(frame(PING, SYN, 0, 0) * ANSWERS_MAX, now)
        answers = [each for each in end.frames() if each[:2] == (PING, ACK)]
        assert len(answers) == ANSWERS_MAX


def test_an_idle_connection_is_pinged_and_the_round_trip_measured() -> None:
    a, b = End(True), End(False)
    pump(a, b, 0.2)
    assert a.mux.round_trip == pytest.approx(0.2)
    assert a.mux.deadline == 30.0
    a.mux.tick(29.0)
    assert not a.mux.out
    a.mux.tick(30.0)
    assert a.frames() == [(PING, SYN, 0, 1, b"")]
    a.give(frame(PING, ACK, 0, 5), 30.1)  # not the answer
    a.give(frame(PING, ACK, 0, 1), 30.4)
    a.give(frame(PING, ACK, 0, 1), 30.9)  # again
    assert a.mux.round_trip == pytest.approx(0.3)
    assert a.mux.deadline == 60.0


def test_a_peer_is_dead_when_no_byte_follows_a_ping() -> None:
    a = End(True)
    a.give(frame(WINDOW_UPDATE, 0, 9, 0), 20.0)  # a sign of life, if not an answer
    assert a.mux.deadline == 50.0
    a.mux.tick(49.0)
    with pytest.raises(ClosedError, match="silent"):
        a.mux.tick(50.0)


def test_a_peer_that_never_ends_a_closed_stream_is_not_waited_for() -> None:
    a, b = connected()
    for now in (0.0, 1.0):
        channel, _ = a.open()
        pump(a, b, now)
        a.mux.end(channel, "close")
    a.give(frame(PING, SYN, 0, 0), 2.0)
    a.take()
    a.mux._pinged = None
    a.mux._ping_at = 1000.0
    assert a.mux.deadline == LINGER
    a.mux.tick(LINGER)
    assert a.frames() == [(WINDOW_UPDATE, RST, 1, 0, b"")]
    assert list(a.mux.channels) == [3]


def test_a_reader_who_pauses_for_an_hour_loses_nothing() -> None:
    a, b = connected()
    channel, waiting = a.open()
    data = bytes(range(256)) * 1500
    sent = a.mux.send(channel, data)
    now = 0.0
    pump(a, b, now)
    for _ in range(120):
        now += 30.0
        a.mux.tick(now)
        b.mux.tick(now)
        pump(a, b, now)
        assert a.mux.send(channel, data[sent:]) == 0
    other, heard = b.accepted[0]
    b.mux.consumed(other, sent, now)
    pump(a, b, now)
    assert waiting.writable_calls == 1
    assert a.mux.send(channel, data[sent:]) == len(data) - sent
    pump(a, b, now)
    assert heard.data == data
