"""mplex carries streams for old peers, and resets a reader who is too slow."""

import random

import pytest
from hypothesis import given, strategies as st
from tests.attempts import attempt
from tests.net.mux.pair import Recorder

from shoal.codec import varint
from shoal.errors import ClosedError, LimitError, ProtocolError, ResetError, ShoalError
from shoal.net.mux.mplex import (
    DATA_MAX,
    LINGER,
    MESSAGE_MAX,
    NAME_MAX,
    REFUSALS_MAX,
    REFUSALS_PERIOD,
    Channel,
    Mplex,
    MplexSettings,
)


def frame(number: int, flag: int, data: bytes = b"") -> bytes:
    return varint.encode(number << 3 | flag) + varint.encode(len(data)) + data


class End:
    """One core, and a recorder for each stream that the other side opens."""

    def __init__(self, settings: MplexSettings | None = None) -> None:
        self.mux = Mplex(True, 0.0, settings, self._accept)
        self.accepted: list[tuple[Channel, Recorder]] = []

    def _accept(self, channel: Channel) -> Recorder:
        recorder = Recorder()
        self.accepted.append((channel, recorder))
        return recorder

    def take(self) -> bytes:
        sent = b"".join(self.mux.out)
        self.mux.out.clear()
        return sent

    def give(self, data: bytes, now: float = 0.0) -> None:
        assert self.mux.receive(memoryview(data), now) == len(data)


def pump(a: End, b: End) -> None:
    while a.mux.out or b.mux.out:
        b.give(a.take())
        a.give(b.take())


def test_writes_the_bytes_of_the_specification() -> None:
    end = End()
    end.mux.open_stream(Recorder())
    channel = end.mux.open_stream(Recorder())
    end.take()
    end.mux.send(channel, b"hello")
    end.mux.end(channel, "write")
    end.mux.end(channel, "reset")
    assert end.take() == b"\x0a\x05hello" + b"\x0c\x00" + b"\x0e\x00"
    end.give(b"\x88\x01\x03i17" + b"\x8a\x01\x02hi")  # js opens stream 17
    [(inbound, recorder)] = end.accepted
    assert recorder.data == b"hi"
    end.mux.send(inbound, b"ok")
    end.mux.end(inbound, "write")
    end.mux.end(inbound, "reset")
    assert end.take() == b"\x89\x01\x02ok" + b"\x8b\x01\x00" + b"\x8d\x01\x00"


def test_both_sides_count_from_zero_and_streams_stay_apart() -> None:
    a, b = End(), End()
    heard = Recorder(), Recorder()
    ours, theirs = a.mux.open_stream(heard[0]), b.mux.open_stream(heard[1])
    assert ours.id == theirs.id == 0
    a.mux.send(ours, b"from a")
    b.mux.send(theirs, b"from b")
    a.mux.end(ours, "write")
    pump(a, b)
    assert b.accepted[0][1].data == b"from a"
    assert b.accepted[0][1].ends == [None]
    assert a.accepted[0][1].data == b"from b"
    b.mux.send(b.accepted[0][0], b"answer")
    b.mux.end(b.accepted[0][0], "write")
    pump(a, b)
    assert heard[0].data == b"answer"
    assert heard[0].ends == [None]
    assert [*a.mux.channels] == [(0, False)]
    assert b.mux.inbound == 0


def test_byte_at_a_time_equals_all_at_once() -> None:
    data = random.Random(1).randbytes(500)
    wire = frame(300, 0, b"name") + frame(300, 2, data) + frame(300, 2, b"") + frame(300, 4)
    whole, slow = End(), End()
    whole.give(wire)
    for byte in wire:
        slow.give(bytes([byte]))
    for end in (whole, slow):
        [(channel, recorder)] = end.accepted
        assert channel.id == 300
        assert recorder.data == data
        assert recorder.ends == [None]


def test_a_large_write_is_cut_into_messages_of_one_record() -> None:
    a, b = End(), End()
    channel = a.mux.open_stream(Recorder())
    data = random.Random(2).randbytes(3 * DATA_MAX + 1)
    assert a.mux.send(channel, data) == len(data)
    assert max(map(len, a.mux.out)) == DATA_MAX
    pump(a, b)
    assert b.accepted[0][1].data == data


def test_a_reader_who_is_too_slow_loses_the_stream() -> None:
    a, b = End(), End(MplexSettings(stream_unread_max=10, unread_max=15))
    recorder = Recorder()
    channel = a.mux.open_stream(recorder)
    a.mux.send(channel, bytes(10))
    pump(a, b)
    reader, heard = b.accepted[0]
    b.mux.consumed(reader, 4)
    a.mux.send(channel, bytes(4))
    pump(a, b)
    other = a.mux.open_stream(Recorder())
    a.mux.send(other, bytes(6))  # too much for all streams together
    a.mux.send(channel, b"x")  # too much for this one
    pump(a, b)
    assert len(heard.data) == 14
    assert isinstance(heard.ends[0], LimitError)
    assert isinstance(b.accepted[1][1].ends[0], LimitError)
    assert isinstance(recorder.ends[0], ResetError)
    assert b.mux.unread == 0
    b.mux.consumed(reader, 10)
    with pytest.raises(ClosedError):
        b.mux.send(reader, b"y")
    b.mux.end(reader, "close")


def test_a_closed_stream_drops_what_comes_and_is_forgotten_in_the_end() -> None:
    end = End()
    for number in (1, 2, 3):
        end.give(frame(number, 0) + frame(number, 2, b"unread"))
        end.mux.end(end.accepted[-1][0], "close")
        end.mux.end(end.accepted[-1][0], "close")
        assert end.mux.unread == 0
    end.give(frame(1, 2, b"more") + frame(1, 4) + frame(1, 4), now=1.0)
    assert end.accepted[0][1].data == b"unread"
    end.give(frame(9, 0), now=1.0)
    end.mux.end(end.accepted[-1][0], "close")
    end.take()
    assert end.mux.deadline == LINGER
    end.mux.tick(LINGER)
    assert end.take() == frame(2, 5) + frame(3, 5)
    assert [*end.mux.channels] == [(9, False)]


def test_what_comes_after_the_end_is_dropped() -> None:
    end = End()
    end.give(frame(1, 0) + frame(1, 4) + frame(1, 2, b"late") + frame(1, 4))
    channel, recorder = end.accepted[0]
    assert not recorder.data
    assert recorder.ends == [None]
    end.mux.end(channel, "write")
    assert not end.mux.channels


def test_a_stream_may_be_reset_by_its_sink_in_the_middle_of_a_message() -> None:
    end = End()
    wire = frame(1, 0) + frame(1, 2, b"abcdef")
    end.give(wire[:-3])
    channel, recorder = end.accepted[0]
    end.mux.end(channel, "reset")
    end.give(wire[-3:] + frame(2, 0))
    assert recorder.data == b"abc"
    assert len(end.accepted) == 2


def test_messages_for_unknown_streams_are_dropped() -> None:
    end = End()
    end.give(frame(7, 2, b"abc") + frame(7, 6) + frame(8, 0))
    assert len(end.accepted) == 1
    assert not end.mux.out


def test_a_lost_connection_ends_every_stream() -> None:
    end = End()
    recorder = Recorder()
    end.mux.open_stream(recorder)
    end.mux.closed()
    end.mux.closed(ProtocolError("too late"))
    assert [type(error) for error in recorder.ends] == [ClosedError]
    assert end.mux.deadline is None
    with pytest.raises(ClosedError):
        end.mux.open_stream(recorder)


def test_streams_beyond_the_limit_and_after_a_go_away_are_refused() -> None:
    end = End(MplexSettings(streams_max=1))
    end.give(frame(1, 0) + frame(2, 0) + frame(1, 6) + frame(3, 0))
    assert end.take() == frame(2, 5)
    end.mux.go_away()
    end.give(frame(3, 6) + frame(4, 0))
    assert end.take() == frame(4, 5)
    with pytest.raises(ClosedError):
        end.mux.open_stream(Recorder())
    assert len(end.accepted) == 2


def test_nothing_is_accepted_without_a_handler() -> None:
    mux = Mplex(False, 0.0)
    mux.receive(memoryview(frame(1, 0, b"name")), 0.0)
    assert mux.out == [frame(1, 5)]


def test_a_flood_of_refused_streams_ends_the_connection() -> None:
    end = End(MplexSettings(streams_max=0))
    for now in (0.0, REFUSALS_PERIOD):
        end.give(frame(1, 0) * REFUSALS_MAX, now)
    with pytest.raises(ProtocolError, match="flood"):
        end.give(frame(1, 0), REFUSALS_PERIOD)


@pytest.mark.parametrize(
    "wire",
    [
        frame(1, 7),
        frame(1, 0) + frame(1, 0),
        varint.encode(1 << 3) + varint.encode(NAME_MAX + 1),
        varint.encode(1 << 3 | 2) + varint.encode(MESSAGE_MAX + 1),
        b"\xff" * 9,
        b"\x08\x80\x00",
    ],
)
def test_a_violation_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        End().give(wire)


def test_a_message_of_the_greatest_length_is_taken() -> None:
    end = End()
    end.give(frame(1, 0) + frame(1, 2, bytes(MESSAGE_MAX)))
    assert len(end.accepted[0][1].data) == MESSAGE_MAX


@given(st.binary(max_size=200))
def test_garbage_raises_protocol_errors_only(data: bytes) -> None:
    end = End()
    _ = attempt(end.give, frame(0, 0) + data)
    assert end.mux.unread == sum(channel.unread for channel in end.mux.channels.values())


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.binary(max_size=3))))
def test_any_order_of_messages_keeps_the_books(steps: list[tuple[int, int, bytes]]) -> None:
    end = End(MplexSettings(streams_max=2, stream_unread_max=6))
    end.mux.open_stream(Recorder())
    try:
        for number, flag, data in steps:
            end.give(frame(number, flag, data))
    except ShoalError as error:
        end.mux.closed(error)
        assert not end.mux.channels
    channels = end.mux.channels.values()
    assert end.mux.inbound == sum(not channel.ours for channel in channels)
    assert end.mux.unread == sum(channel.unread for channel in channels)
