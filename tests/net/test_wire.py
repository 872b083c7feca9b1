"""The wire pumps bytes between any transport and one core, within its bounds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from tests.net.lines import Block, Flip, LineEcho, Records

from shoal.errors import ClosedError, LimitError, ProtocolError
from shoal.net.buffers import READ_SIZE, Buffers
from shoal.net.core import Session
from shoal.net.wire import Wire, WireSettings

LOOPS: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop]
TRANSFORMS = [None, Flip, Records]


class FakeTransport:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.writes = 0
        self.calls: list[str] = []
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.sent += data
        self.writes += 1

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


def attach(wire: Wire) -> FakeTransport:
    transport = FakeTransport()
    wire.connection_made(transport)  # type: ignore[arg-type]
    return transport


def run(case: Callable[[], Awaitable[None]], loop: Any = asyncio.new_event_loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(case(), 10))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_lines_are_echoed_over_tcp(loop: Any, transform: type[Session] | None) -> None:
    async def case() -> None:
        def make() -> Wire:
            wires.append(Wire(LineEcho(), transform() if transform else None))
            return wires[-1]

        wires: list[Wire] = []
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        there, back = (transform(), transform()) if transform else (None, None)
        text = b"".join(b"line %d\n" % number for number in range(2000))
        for at in range(0, len(text), 700):
            part = text[at : at + 700]
            writer.writelines(there.seal([part]) if there else [part])
        got, echoed = bytearray(), b""
        while len(echoed) < len(text):
            got += await reader.read(65536)
            if back:
                plain, used = back.open(memoryview(got))
                echoed += b"".join(plain)
                del plain
                got = got[used:]
            else:
                echoed, got = echoed + bytes(got), bytearray()
        assert echoed == text
        writer.close()
        await wires[0].wait_closed()
        assert wires[0].core.ends == [None]  # type: ignore[attr-defined]
        server.close()

    run(case, loop)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_any_cut_of_the_bytes_gives_the_same(step: int, transform: type[Session] | None) -> None:
    async def case() -> None:
        wire = Wire(core := LineEcho(), transform() if transform else None)
        attach(wire)
        parts = [b"one\ntw", b"o\n", b"th", b"ree\nfour\n"]
        data = b"".join(transform().seal(parts) if transform else parts)
        for at in range(0, len(data), step):
            wire.feed(data[at : at + step])
        assert core.lines == [b"one", b"two", b"three", b"four"]
        assert wire.received == len(data)

    run(case)


def test_what_is_sent_in_one_tick_leaves_in_one_write() -> None:
    async def case() -> None:
        wire = Wire(core := LineEcho())
        transport = attach(wire)
        for word in (b"a", b"b", b"c"):
            core.out.append(word)
            wire.wake()
        await asyncio.sleep(0)
        assert (transport.sent, transport.writes, wire.sent) == (b"abc", 1, 3)

    run(case)


def test_a_lone_word_leaves_at_once_and_what_follows_in_its_tick_is_gathered() -> None:
    async def case() -> None:
        core = LineEcho()
        wire = Wire(core)
        transport = attach(wire)
        for word in (b"one ", b"two ", b"three"):
            core.out.append(word)
            wire.leave()
        assert (transport.writes, bytes(transport.sent)) == (1, b"one ")
        await asyncio.sleep(0)
        assert (transport.writes, bytes(transport.sent)) == (2, b"one two three")

    run(case)


@pytest.mark.parametrize("transform", [None, Flip])
def test_a_block_goes_straight_into_its_place(transform: type[Session] | None) -> None:
    async def case() -> None:
        wire = Wire(core := Block(), transform() if transform else None)
        attach(wire)
        block = bytes(range(256)) * 4096
        data = len(block).to_bytes(4, "big") + block
        wire.feed(transform().seal([data[:100]])[0] if transform else data[:100])
        wire.feed(transform().seal([data[100:]])[0] if transform else data[100:])
        assert bytes(core.place) == block
        assert core.scattered == len(block) - 96

    run(case)


def test_records_are_never_scattered() -> None:
    async def case() -> None:
        wire = Wire(core := Block(), Records())
        attach(wire)
        wire.feed(Records().seal([(6).to_bytes(4, "big"), b"abc", b"def"])[0])
        wire.feed(b"".join(Records().seal([b"abc", b"def"])))
        assert (bytes(core.place), core.scattered) == (b"abcdef", 0)

    run(case)


def test_a_broken_rule_closes_the_wire_after_the_last_words() -> None:
    async def case() -> None:
        wire = Wire(core := LineEcho())
        transport = attach(wire)
        wire.feed(b"hello\nbye\nnever\n")
        assert transport.sent == b"hello\nsorry\n"
        assert transport.calls == ["close"]
        assert isinstance(wire.error, ProtocolError)
        wire.feed(b"more\n")
        wire.connection_lost(None)
        assert core.lines == [b"hello"]
        assert core.ends == [wire.error]

    run(case)


def test_a_frame_that_never_ends_is_an_error() -> None:
    async def case() -> None:
        wire = Wire(LineEcho(line_max=1 << 30), settings=WireSettings(frame_max=2 * READ_SIZE))
        attach(wire)
        wire.feed(bytes(2 * READ_SIZE - 1))
        assert wire.error is None
        wire.feed(bytes(1))
        assert isinstance(wire.error, ProtocolError)

    run(case)


def test_decrypted_bytes_that_wait_have_the_same_bound() -> None:
    async def case() -> None:
        core = LineEcho(line_max=1 << 30)
        wire = Wire(core, Records(), settings=WireSettings(frame_max=100_000))
        attach(wire)
        wire.feed(b"".join(Records().seal([bytes(60_000)])))
        assert wire.error is None
        wire.feed(b"".join(Records().seal([bytes(60_000)])))
        assert isinstance(wire.error, ProtocolError)

    run(case)


def test_an_idle_wire_holds_no_buffer() -> None:
    async def case() -> None:
        buffers = Buffers()
        wires = [Wire(LineEcho(), buffers=buffers) for _ in range(20)]
        for wire in wires:
            attach(wire)
            wire.feed(b"whole\nhalf")
        assert len(buffers._free) == 1
        wires[3].feed(b"\n")
        assert wires[3].core.lines == [b"whole", b"half"]  # type: ignore[attr-defined]

    run(case)


def test_a_core_that_cannot_pause_is_not_read_while_the_peer_does_not_read() -> None:
    async def case() -> None:
        wire = Wire(LineEcho())
        transport = attach(wire)
        wire.pause_writing()
        wire.resume_writing()
        await asyncio.sleep(0)
        assert transport.calls == ["pause_reading", "resume_reading"]

    run(case)


def test_a_core_that_can_pause_is_told() -> None:
    class Pausable(LineEcho):
        def pause_writing(self) -> None:
            self.lines.append(b"paused")

        def resume_writing(self) -> None:
            self.lines.append(b"resumed")

    async def case() -> None:
        wire = Wire(core := Pausable())
        transport = attach(wire)
        wire.pause_writing()
        wire.resume_writing()
        assert (core.lines, transport.calls) == ([b"paused", b"resumed"], [])

    run(case)


@pytest.mark.parametrize("transform", [None, Records])
def test_a_full_core_is_given_the_rest_when_it_has_room(transform: type[Session] | None) -> None:
    class Slow(LineEcho):
        full = False

        def receive(self, view: memoryview, now: float) -> int:
            end = bytes(view).find(b"\n") + 1
            if self.full or not end:
                return 0
            self.full = True
            return super().receive(view[:end], now)

    async def case() -> None:
        wire = Wire(core := Slow(), transform() if transform else None)
        transport = attach(wire)
        wire.feed(b"".join(transform().seal([b"a\nb\n"]) if transform else [b"a\nb\n"]))
        assert core.lines == [b"a"]
        core.full = False
        wire.wake()
        await asyncio.sleep(0)
        assert core.lines == [b"a", b"b"]
        assert transport.calls[0] == "pause_reading"

    run(case)


def test_a_paused_wire_hands_nothing_on_until_it_is_resumed() -> None:
    async def case() -> None:
        wire = Wire(LineEcho())
        transport = attach(wire)
        wire.pause_reading()
        wire.resume_reading()
        await asyncio.sleep(0)
        assert transport.calls == ["pause_reading", "resume_reading"]

    run(case)


def test_a_peer_that_makes_us_answer_but_does_not_read_is_cut() -> None:
    async def case() -> None:
        wire = Wire(LineEcho(), settings=WireSettings(out_max=1000))
        transport = attach(wire)
        wire.pause_writing()
        transport.unsent = 1001
        wire.feed(b"again\n")
        assert isinstance(wire.error, LimitError)
        assert "abort" in transport.calls

    run(case)


def test_a_handshake_has_its_time_and_no_more() -> None:
    async def case() -> None:
        late, ready = Wire(LineEcho()), Wire(LineEcho())
        for wire in (late, ready):
            attach(wire)
            wire.expect_ready(0.01)
        ready.ready()
        await asyncio.sleep(0.03)
        assert isinstance(late.error, ProtocolError)
        assert ready.error is None

    run(case)


def test_an_idle_wire_is_closed_and_a_busy_one_is_not() -> None:
    async def case() -> None:
        settings = WireSettings(idle=0.05)
        idle, busy = Wire(LineEcho(), settings=settings), Wire(LineEcho(), settings=settings)
        attach(idle)
        attach(busy)
        for _ in range(8):
            await asyncio.sleep(0.01)
            busy.feed(b"x\n")
        assert isinstance(idle.error, ClosedError)
        assert busy.error is None

    run(case)


def test_the_core_is_ticked_at_its_deadline_with_one_timer() -> None:
    async def case() -> None:
        wire = Wire(core := LineEcho())
        attach(wire)
        core.deadline = asyncio.get_running_loop().time() + 0.01
        wire.wake()
        await asyncio.sleep(0.03)
        assert core.deadline is None
        assert wire._timer is None

    run(case)


def test_the_next_core_gets_what_the_handshake_left() -> None:
    class Greeting(LineEcho):
        def receive(self, view: memoryview, now: float) -> int:
            if bytes(view[:6]) != b"hello\n":
                return 0
            self.out.append(b"welcome\n")
            wire.become(echo, Flip())
            return 6

    async def case() -> None:
        transport = attach(wire)
        wire.feed(b"hello\n" + Flip().seal([b"secret\n"])[0])
        assert echo.lines == [b"secret"]
        assert transport.sent == b"welcome\n" + Flip().seal([b"secret\n"])[0]

    echo = LineEcho()
    wire = Wire(Greeting())
    run(case)


def test_closing_sends_what_waits_and_gives_up_on_a_peer_that_does_not_read() -> None:
    async def case() -> None:
        wire = Wire(core := LineEcho(), settings=WireSettings(closing=0.01))
        transport = attach(wire)
        core.out.append(b"last")
        wire.close()
        wire.close()
        assert (bytes(transport.sent), transport.calls) == (b"last", ["close"])
        await asyncio.sleep(0.03)
        assert transport.calls == ["close", "abort"]
        wire.connection_lost(None)
        await wire.wait_closed()
        assert core.ends == [None]

    run(case)


def test_closing_before_the_connection_is_made_ends_it_at_once() -> None:
    async def case() -> None:
        wire = Wire(LineEcho())
        wire.close()
        assert attach(wire).calls == ["abort"]

    run(case)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_core_that_knows_the_end_may_still_send(loop: Any) -> None:
    class LastWord(LineEcho):
        def finished(self, now: float) -> None:
            self.out.append(b"bye\n")
            wires[0].close()

    async def case() -> None:
        def make() -> Wire:
            wires.append(Wire(LastWord()))
            return wires[-1]

        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        writer.write_eof()
        assert await reader.read() == b"hello\nbye\n"
        writer.close()
        server.close()

    wires: list[Wire] = []
    run(case, loop)


def test_the_end_can_be_awaited_before_the_beginning() -> None:
    async def case() -> None:
        never = Wire(LineEcho())
        waiting = asyncio.ensure_future(never.wait_closed())
        await asyncio.sleep(0)
        assert not waiting.done()
        never.abort()
        async with asyncio.timeout(1):
            await waiting
            await never.wait_closed()

    asyncio.run(case())
