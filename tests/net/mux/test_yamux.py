"""Yamux opens, carries, half-closes and kills streams."""

import random

import pytest
from tests.net.mux.pair import End, connected, pump, split

from shoal.errors import ClosedError, LimitError, ProtocolError, ResetError
from shoal.net.mux import yamux
from shoal.net.mux.channel import WINDOW, Channel
from shoal.net.mux.frames import (
    ACK,
    DATA,
    FIN,
    FRAME_DATA,
    GO_AWAY,
    HEADER,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
)
from shoal.net.mux.sink import Deaf
from shoal.net.mux.yamux import BACKLOG, RESOURCES, Yamux, YamuxSettings


def frame(kind: int, flags: int, number: int, length: int, data: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, number, length) + data


def listener() -> End:
    end = End(False)
    end.take()
    return end


def test_writes_the_bytes_of_the_vectors() -> None:
    end = End(True)
    assert end.take().hex() == "000200010000000000000000"
    channel, _ = end.open()
    assert end.mux.send(channel, b"hello") == 5
    end.mux.end(channel, "write")
    opened, data, fin = (
        "000100010000000100000000",
        "000000000000000100000005",
        "000100040000000100000000",
    )
    assert end.take().hex() == opened + data + b"hello".hex() + fin
    end.give(bytes.fromhex("000200010000000000000000"))
    assert end.take().hex() == "000200020000000000000000"
    end.mux.go_away()
    end.mux.go_away()
    assert end.take().hex() == "000300000000000000000000"


def test_a_stream_carries_bytes_both_ways_and_ends() -> None:
    a, b = connected()
    channel, heard = a.open()
    a.mux.send(channel, b"question")
    a.mux.end(channel, "write")
    pump(a, b)
    [(other, asked)] = b.accepted
    assert asked.data == b"question"
    assert asked.ends == [None]
    assert b.mux.send(other, b"answer") == 6
    b.mux.end(other, "write")
    pump(a, b)
    assert heard.data == b"answer"
    assert heard.ends == [None]
    assert not a.mux.channels
    assert not b.mux.channels
    assert b.mux.inbound == 0


def test_byte_at_a_time_equals_all_at_once() -> None:
    chance = random.Random(1)
    data = chance.randbytes(3000)
    wire = frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, 0, 1, 3000, data)
    wire += frame(PING, SYN, 0, 7) + frame(DATA, FIN, 1, 3, b"end") + frame(GO_AWAY, 0, 0, 0)
    whole, slow = listener(), listener()
    whole.give(wire)
    for byte in wire:
        slow.give(bytes([byte]))
    for end in (whole, slow):
        [(_, recorder)] = end.accepted
        assert recorder.data == data + b"end"
        assert recorder.ends == [None]
        assert end.mux.gone_away == 0
    assert whole.take() == slow.take()


def test_a_stream_is_accepted_at_once_and_data_may_come_with_its_opening() -> None:
    end = listener()
    end.give(frame(DATA, SYN | FIN, 1, 2, b"hi"))
    [(channel, recorder)] = end.accepted
    assert recorder.data == b"hi"
    assert recorder.ends == [None]
    assert end.frames() == [(WINDOW_UPDATE, ACK, 1, 0, b"")]
    assert end.mux.send(channel, b"ok") == 2


def test_a_frame_as_large_as_the_window_is_delivered_as_it_arrives() -> None:
    end = listener()
    end.give(frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, 0, 1, WINDOW, b"x" * 1000))
    [(_, recorder)] = end.accepted
    assert len(recorder.data) == 1000
    end.give(b"x" * (WINDOW - 1000))
    assert len(recorder.data) == WINDOW


def test_an_opening_may_grant_more_than_the_first_window() -> None:
    end = listener()
    end.give(frame(WINDOW_UPDATE, SYN, 1, 100))
    channel, _ = end.accepted[0]
    assert end.mux.send(channel, bytes(2 * WINDOW)) == WINDOW + 100


def sizes(end: End) -> list[int]:
    return [length for kind, _, _, length, _ in end.frames() if kind == DATA]


def test_a_write_leaves_no_crumb() -> None:
    a, _ = connected()
    channel, _ = a.open()
    a.mux.send(channel, bytes(64 * 1024))
    assert sizes(a) == [32768, 32768]
    a.mux.send(channel, bytes(2 * FRAME_DATA + 1))
    assert sizes(a) == [FRAME_DATA, (FRAME_DATA + 1) // 2, (FRAME_DATA + 1) // 2]


def test_a_run_of_writes_fills_every_frame() -> None:
    a, b = connected()
    channel, _ = a.open()
    data = random.Random(5).randbytes(FRAME_DATA * 4)
    for start in range(0, len(data), 64 * 1024):
        a.mux.send(channel, data[start : start + 64 * 1024])
    sent = a.take()
    b.give(sent)
    assert b.accepted[0][1].data == data
    assert [length for kind, _, _, length, _ in split(sent) if kind == DATA] == [FRAME_DATA] * 4


def test_small_writes_share_a_frame_until_it_has_left() -> None:
    a, _ = connected()
    channel, _ = a.open()
    a.mux.send(channel, bytes(64 * 1024))
    a.take()
    a.mux.send(channel, b"one")
    a.mux.send(channel, b"two")
    assert a.frames() == [(DATA, 0, 1, 6, b"onetwo")]


def test_what_has_left_is_not_held_until_the_next_write() -> None:
    a, _ = connected()
    channel, _ = a.open()
    data = bytearray(100_000)
    a.mux.send(channel, data)
    with pytest.raises(BufferError):
        data.clear()
    a.take()
    a.mux.tick(30.0)
    data.clear()


def test_a_full_frame_or_another_frame_is_never_extended() -> None:
    a, _ = connected()
    first, _ = a.open()
    second, _ = a.open()
    a.take()
    a.mux.send(first, bytes(FRAME_DATA))
    a.mux.send(first, b"1")
    a.mux.send(second, b"2")
    a.mux.send(first, b"3")
    a.mux.go_away()
    a.mux.send(first, b"4")
    assert [(number, length) for _, _, number, length, _ in a.frames()] == [
        (1, FRAME_DATA), (1, 1), (3, 1), (1, 1), (0, 0), (1, 1),
    ]  # fmt: skip
    a.mux.send(first, b"5")
    assert a.frames() == [(DATA, 0, 1, 1, b"5")]


def test_what_a_window_does_not_take_is_called_for_when_it_opens() -> None:
    a, b = connected()
    channel, recorder = a.open()
    data = random.Random(2).randbytes(WINDOW + 100)
    assert a.mux.send(channel, data) == WINDOW
    assert a.mux.send(channel, data[WINDOW:]) == 0
    pump(a, b)
    other, heard = b.accepted[0]
    assert recorder.writable_calls == 0
    b.mux.consumed(other, WINDOW // 2 - 1, 5.0)
    assert not b.mux.out
    b.mux.consumed(other, 1, 5.0)
    assert split(b"".join(b.mux.out)) == [(WINDOW_UPDATE, 0, 1, WINDOW // 2, b"")]
    pump(a, b)
    assert recorder.writable_calls == 1
    assert a.mux.send(channel, memoryview(data)[WINDOW:]) == 100
    pump(a, b)
    assert heard.data == data


def test_a_window_grows_while_it_is_read_within_four_round_trips() -> None:
    settings = YamuxSettings(window_max=4 * WINDOW, growth_max=4 * WINDOW)
    end = End(False, 0.0, settings)
    end.give(frame(PING, ACK, 0, 0), now=0.1)
    assert end.mux.round_trip == pytest.approx(0.1)
    end.give(frame(WINDOW_UPDATE, SYN, 1, 0) + frame(WINDOW_UPDATE, SYN, 3, 0), now=1.0)
    one, three = (channel for channel, _ in end.accepted)
    now = 1.0

    def fill_and_read(channel: Channel, pause: float) -> int:
        nonlocal now
        size = channel.granted
        end.take()
        end.give(frame(DATA, 0, channel.id, size, bytes(size)), now)
        now += pause
        end.mux.consumed(channel, size, now)
        return sum(length for _, _, _, length, _ in end.frames())

    assert fill_and_read(one, 0.5) == WINDOW  # slow
    assert fill_and_read(one, 0.3) == 2 * WINDOW  # fast: doubled
    assert fill_and_read(one, 0.3) == 4 * WINDOW
    assert fill_and_read(one, 0.3) == 4 * WINDOW  # the most for one stream
    now += 1.0
    assert fill_and_read(three, 0.0) == WINDOW
    assert fill_and_read(three, 0.3) == 2 * WINDOW  # all that is left for the connection
    assert fill_and_read(three, 0.3) == 2 * WINDOW
    end.give(frame(WINDOW_UPDATE, RST, 1, 0), now)
    assert fill_and_read(three, 0.3) == 4 * WINDOW  # the dead stream gave its share back


def test_no_window_grows_before_a_round_trip_was_measured() -> None:
    end = End(False)
    end.give(frame(DATA, SYN, 1, WINDOW, bytes(WINDOW)))
    end.mux.consumed(end.accepted[0][0], WINDOW, 0.0)
    assert end.accepted[0][0].window == WINDOW


def test_a_round_trip_too_short_for_the_clock_still_lets_windows_grow() -> None:
    end = End(False)
    end.give(frame(PING, ACK, 0, 0))
    assert end.mux.round_trip == 0.0
    end.give(frame(DATA, SYN, 1, WINDOW, bytes(WINDOW)))
    end.mux.consumed(end.accepted[0][0], WINDOW, 0.003)
    assert end.accepted[0][0].window == 2 * WINDOW


def test_a_reset_names_its_code_and_grants_nothing() -> None:
    a, b = connected()
    channel, recorder = a.open()
    a.mux.send(channel, bytes(2 * WINDOW))
    pump(a, b)
    b.mux.end(b.accepted[0][0], "reset", RESOURCES)
    pump(a, b)
    [error] = recorder.ends
    assert isinstance(error, ResetError)
    assert "0x1002" in str(error)
    assert recorder.writable_calls == 0
    assert not a.mux.channels
    a.mux.end(channel, "reset")
    with pytest.raises(ClosedError):
        a.mux.send(channel, b"more")
    assert not a.mux.out


def test_a_reset_on_a_data_frame_kills_and_drops_its_bytes() -> None:
    end = listener()
    end.give(frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, RST, 1, 3, b"abc"))
    [(_, recorder)] = end.accepted
    assert not recorder.data
    assert isinstance(recorder.ends[0], ResetError)


def test_frames_for_unknown_streams_are_dropped() -> None:
    end = listener()
    end.give(frame(DATA, 0, 9, 3, b"abc") + frame(WINDOW_UPDATE, FIN, 9, 3))
    end.give(frame(PING, SYN, 0, 1))
    assert end.frames() == [(PING, ACK, 0, 1, b"")]


def test_a_closed_stream_drops_what_comes_and_ends_with_the_peer() -> None:
    a, b = connected()
    channel, recorder = a.open()
    a.mux.send(channel, b"x")
    pump(a, b)
    other, _ = b.accepted[0]
    b.mux.send(other, b"unread")
    pump(a, b)
    a.mux.end(channel, "close")
    a.mux.end(channel, "close")
    b.mux.send(other, b"more")
    a.mux.consumed(channel, 6)
    pump(a, b)
    assert recorder.data == b"unread"
    assert a.mux.unread == 0
    a.give(frame(DATA, FIN, 1, 1, b"!"))
    assert not a.mux.channels
    assert recorder.ends == []


def test_a_peer_that_fills_the_window_of_a_closed_stream_is_told() -> None:
    a, b = connected()
    channel, _ = a.open()
    pump(a, b)
    a.mux.end(channel, "close")
    b.mux.send(b.accepted[0][0], bytes(WINDOW))
    pump(a, b)
    assert isinstance(b.accepted[0][1].ends[-1], ResetError)
    assert not a.mux.channels


def test_data_after_the_end_is_dropped() -> None:
    end = listener()
    end.give(frame(WINDOW_UPDATE, SYN | FIN, 1, 0) + frame(DATA, 0, 1, 3, b"abc"))
    end.give(frame(WINDOW_UPDATE, FIN, 1, 0))
    [(_, recorder)] = end.accepted
    assert not recorder.data
    assert recorder.ends == [None]


def test_a_stream_may_be_reset_by_its_sink_in_the_middle_of_a_frame() -> None:
    end = listener()
    end.give(frame(WINDOW_UPDATE, SYN, 1, 0) + frame(DATA, FIN, 1, 6, b"abc"))
    channel, recorder = end.accepted[0]
    end.mux.end(channel, "reset")
    end.give(b"def" + frame(PING, SYN, 0, 1))
    assert recorder.data == b"abc"
    assert recorder.ends == []
    assert end.frames()[-1] == (PING, ACK, 0, 1, b"")


def test_streams_beyond_the_backlog_wait_to_be_opened() -> None:
    a, _b = connected()
    opened = [a.open() for _ in range(BACKLOG + 3)]
    *_, (reset, _), (written, recorder), (ended, _) = opened
    assert a.mux.send(written, b"later") == 0
    a.mux.end(ended, "write")
    a.mux.end(reset, "close")
    assert len(a.frames()) == BACKLOG
    a.give(frame(WINDOW_UPDATE, ACK, 1, 0))
    assert recorder.writable_calls == 1
    assert a.mux.send(written, b"later") == 5
    a.mux.end(opened[1][0], "reset")
    kinds = [(kind, flags, number) for kind, flags, number, _, _ in a.frames()]
    assert kinds == [
        (WINDOW_UPDATE, SYN, 513),
        (DATA, 0, 513),
        (WINDOW_UPDATE, RST, 3),
        (WINDOW_UPDATE, SYN, 515),
        (WINDOW_UPDATE, FIN, 515),
    ]


def test_only_so_many_streams_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "BACKLOG", 1)
    monkeypatch.setattr(yamux, "WAITING_MAX", 2)
    a = End(True)
    for _ in range(3):
        a.open()
    with pytest.raises(LimitError):
        a.open()


def test_stream_numbers_run_out() -> None:
    a = End(True)
    a.mux._next_id = yamux.LAST_ID
    a.open()
    with pytest.raises(LimitError):
        a.open()


def test_a_go_away_ends_the_opening_of_streams_only() -> None:
    a, b = connected()
    channel, recorder = a.open()
    pump(a, b)
    b.mux.go_away()
    a.open()
    pump(a, b)
    assert a.mux.gone_away == 0
    assert len(b.accepted) == 1
    assert a.mux.send(channel, b"still") == 5
    pump(a, b)
    assert b.accepted[0][1].data == b"still"
    with pytest.raises(ClosedError):
        a.open()
    with pytest.raises(ClosedError):
        b.open()
    assert recorder.ends == []


def test_waiting_streams_end_with_a_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "BACKLOG", 1)
    a = End(True)
    a.open()
    _, recorder = a.open()
    a.give(frame(GO_AWAY, 0, 0, 0))
    assert isinstance(recorder.ends[0], ClosedError)


def test_a_go_away_with_an_error_ends_the_connection() -> None:
    end = listener()
    with pytest.raises(ClosedError, match="code 0x2"):
        end.give(frame(GO_AWAY, 0, 0, 2))


def test_a_lost_connection_ends_every_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamux, "BACKLOG", 1)
    a = End(True)
    recorders = [a.open()[1] for _ in range(2)]
    a.mux.closed()
    a.mux.closed(ProtocolError("too late"))
    assert [type(recorder.ends[0]) for recorder in recorders] == [ClosedError, ClosedError]
    with pytest.raises(ClosedError):
        a.open()


def test_nothing_is_accepted_without_a_handler() -> None:
    mux = Yamux(False, 0.0)
    mux.out.clear()
    mux.receive(memoryview(frame(WINDOW_UPDATE, SYN, 1, 0)), 0.0)
    assert split(b"".join(mux.out)) == [(WINDOW_UPDATE, RST, 1, RESOURCES, b"")]


def test_a_sink_may_be_exchanged_for_one_that_hears_nothing() -> None:
    a, b = connected()
    channel, recorder = a.open()
    channel.sink = Deaf()
    pump(a, b)
    b.mux.send(b.accepted[0][0], b"x")
    b.mux.end(b.accepted[0][0], "write")
    pump(a, b)
    channel.sink.writable()
    assert channel.read_ended
    assert not recorder.data
