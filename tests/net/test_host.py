"""Two hosts talk: listen, dial, open, handle."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from tests.net.hosts import make_host

from shoal.errors import ClosedError, ProtocolError, ResetError, UnreachableError, UsageError
from shoal.net.host import Host
from shoal.net.identify import PING
from shoal.net.introduction import ping
from shoal.net.stream import Stream
from shoal.net.transport.tcp import Tcp
from shoal.net.transport.websocket import WebSocket

LOOPS: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop]


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


def run(case: Callable[[Host, Host], Awaitable[None]], loop: Any = None, **settings: Any) -> None:
    """Two hosts, the second of which listens and echoes."""

    async def both() -> None:
        async with asyncio.timeout(15), make_host(1) as a, make_host(2, **settings) as b:
            b.handle("/echo", echo)
            await b.listen("/ip4/127.0.0.1/tcp/0")
            await case(a, b)
        await check_nothing_is_left()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(both())


async def check_nothing_is_left() -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_carries_bytes_both_ways(loop: Any) -> None:
    async def case(a: Host, b: Host) -> None:
        stream = await a.open(b.addresses, "/echo")
        await stream.write(b"hello")
        assert await stream.readexactly(5) == b"hello"
        await stream.close_write()
        assert await stream.read() == b""
        assert (stream.peer, stream.protocol) == (b.id, "/echo")

    run(case, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_much_more_than_a_window_is_echoed(loop: Any) -> None:
    async def case(a: Host, b: Host) -> None:
        stream = await a.open(b.addresses[0], "/echo")
        data = bytes(range(256)) * 40_000

        async def send() -> None:
            await stream.write(data)
            await stream.close_write()

        sending = asyncio.ensure_future(send())
        assert await stream.readexactly(len(data)) == data
        await sending

    run(case, loop)


def test_identify_tells_protocols_and_addresses() -> None:
    async def case(a: Host, b: Host) -> None:
        connection = await a.dial(b.addresses[0])
        await a.introduction.wait(connection)  # type: ignore[attr-defined]
        assert connection.protocols is not None
        assert "/echo" in connection.protocols
        assert [one.with_peer(b.id) for one in a._book.addresses(b.id, 0)] == b.addresses  # type: ignore[union-attr]
        other = b.connection(a.id)
        assert other is not None
        await b.introduction.wait(other)  # type: ignore[attr-defined]
        assert other.protocols is not None

    run(case)


def test_ping_comes_back() -> None:
    async def case(a: Host, b: Host) -> None:
        async with await a.open(b.addresses[0], PING) as stream:
            for _ in range(3):
                assert await ping(stream, a.offer.rng) > 0

    run(case)


def test_a_second_dial_uses_the_connection_that_stands() -> None:
    async def case(a: Host, b: Host) -> None:
        first, second = await asyncio.gather(a.dial(b.addresses[0]), a.dial(b.addresses[0]))
        assert first is second
        assert await a.dial(b.id) is first
        assert len(b.connections) == 1

    run(case)


def test_a_refused_dial_gives_a_reason_for_each_address() -> None:
    async def case(a: Host, b: Host) -> None:
        nobody = "/ip4/127.0.0.1/tcp/1"
        strange = "/ip4/127.0.0.1/udp/1/quic-v1"
        where = [type(b.addresses[0]).parse(text) for text in (nobody, strange)]
        with pytest.raises(UnreachableError) as caught:
            await a.dial(where)
        assert sorted(caught.value.reasons) == [nobody, strange]
        with pytest.raises(UsageError):
            await a.dial(a.id)

    run(case)


def test_another_peer_at_the_address_is_refused() -> None:
    async def case(a: Host, b: Host) -> None:
        wrong = b.addresses[0].without_peer().with_peer(make_host(3).id)
        with pytest.raises(UnreachableError, match=r"another|expected|other"):
            await a.dial(wrong)
        assert a.connections == []

    run(case)


def test_an_unknown_protocol_is_refused_and_the_connection_stays() -> None:
    async def case(a: Host, b: Host) -> None:
        with pytest.raises(Exception, match="/nothing"):
            await a.open(b.addresses[0], "/nothing")
        stream = await a.open(b.id, ["/nothing", "/echo"])
        assert stream.protocol == "/echo"

    run(case)


def test_a_handler_that_fails_resets_its_stream_only() -> None:
    async def case(a: Host, b: Host) -> None:
        async def fail(stream: Stream) -> None:
            raise UsageError("on purpose")

        b.handle("/fail", fail)
        stream = await a.open(b.addresses[0], "/fail")
        with pytest.raises(ResetError):
            await stream.read()
        async with await a.open(b.id, "/echo") as good:
            await good.write(b"x")
            assert await good.read() == b"x"

    run(case)


@pytest.mark.slow
def test_simultaneous_dials_become_one_connection() -> None:
    async def case(a: Host, b: Host) -> None:
        await a.listen("/ip4/127.0.0.1/tcp/0")
        await asyncio.gather(a.dial(b.addresses[0]), b.dial(a.addresses[0]))
        await asyncio.sleep(1.5)
        assert (len(a.connections), len(b.connections)) == (1, 1)
        async with await b.open(a.id, PING) as stream:
            await ping(stream, b.offer.rng)

    run(case)


def test_closing_tells_the_other_side() -> None:
    async def case(a: Host, b: Host) -> None:
        stream = await a.open(b.addresses[0], "/echo")
        await a.aclose()
        await a.aclose()
        with pytest.raises(UsageError):
            await a.dial(b.id)
        with pytest.raises(Exception, match=r"ended|closed"):
            await stream.write(b"x")
        while b.connections:  # noqa: ASYNC110 the other side's end has no event
            await asyncio.sleep(0.01)

    run(case)


def test_an_end_waits_for_the_agreement_of_a_lazy_stream() -> None:
    async def case(a: Host, b: Host) -> None:
        connection = await a.dial(b.addresses[0])
        await a.introduction.wait(connection)  # type: ignore[attr-defined]
        stream = await a.open(b.id, "/echo")
        await stream.write(b"hello")
        await stream.close_write()
        channel = stream.channel
        assert not channel.write_ended  # the peer has not answered yet
        with pytest.raises(ClosedError):
            await stream.write(b"more")
        assert await stream.readexactly(5) == b"hello"
        assert await stream.read() == b""
        assert channel.write_ended
        brief = await a.open(b.id, "/echo")
        await brief.write(b"x")
        await brief.close()
        with pytest.raises(ClosedError):
            await brief.read()
        while connection.streams:  # noqa: ASYNC110 it ends when the agreement comes
            await asyncio.sleep(0.01)

    run(case)


@pytest.mark.slow
def test_a_cancelled_read_loses_nothing_and_a_cancelled_write_resets() -> None:
    async def case(a: Host, b: Host) -> None:
        stream = await a.open(b.addresses[0], "/echo")
        await stream.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await stream.readexactly(6)
        await stream.write(b"!")
        assert await stream.readexactly(6) == b"hello!"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await stream.write(bytes(30 << 20))
        with pytest.raises(ResetError):
            await stream.read()

    run(case)


def test_messages_have_their_length_in_front_and_a_limit() -> None:
    async def case(a: Host, b: Host) -> None:
        stream = await a.open(b.addresses[0], "/echo")
        for size in (0, 1, 127, 128, 70_000):
            await stream.write_message(bytes(size))
            assert await stream.read_message() == bytes(size)
        await stream.write_message(bytes(11))
        with pytest.raises(ProtocolError, match="11"):
            await stream.read_message(10)

    run(case)


def test_what_is_read_is_no_memory_any_more() -> None:
    async def case(a: Host, b: Host) -> None:
        async with await a.open(b.addresses[0], "/echo") as stream:
            await stream.write(bytes(200_000))
            await asyncio.sleep(0.1)
            assert 100_000 < a.limits.node.used["memory"] <= 200_000
            await stream.readexactly(200_000)
            assert a.limits.node.used["memory"] == 0  # without hearing from the peer again

    run(case)


def test_less_than_nothing_cannot_be_read() -> None:
    async def case(a: Host, b: Host) -> None:
        async with await a.open(b.addresses[0], "/echo") as stream:
            with pytest.raises(UsageError):
                await stream.readexactly(-1)
            assert await stream.readexactly(0) == b""

    run(case)


@pytest.mark.parametrize("address", ["/ip6/::1/tcp/0", "/ip6/::1/tcp/0/ws"])
def test_peers_meet_over_ipv6(address: str) -> None:
    async def main() -> None:
        ways = [[Tcp(), WebSocket()] for _ in range(2)]
        async with asyncio.timeout(15), make_host(1, ways[0]) as a, make_host(2, ways[1]) as b:
            b.handle("/echo", echo)
            try:
                await b.listen(address)
            except UnreachableError as error:
                pytest.skip(f"this machine has no IPv6: {error}")
            async with await a.open(b.addresses, "/echo") as stream:
                await stream.write(b"six")
                assert await stream.readexactly(3) == b"six"
            assert str(a.connections[0].about.remote).startswith("/ip6/::1/tcp/")

    asyncio.run(main())


class Hoarder(asyncio.Protocol):
    """Passes bytes on to a port, all that came within a moment at once."""

    def __init__(self, port: int, passed: list[int]) -> None:
        self.port = port
        self.passed = passed  # the size of each portion
        self.waiting = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.near = transport
        self.link = asyncio.ensure_future(self._link())

    def data_received(self, data: bytes) -> None:
        if not self.waiting:
            asyncio.get_running_loop().call_later(0.05, self._pass)
        self.waiting += data

    def _pass(self) -> None:
        self.passed.append(len(self.waiting))
        self.far.write(bytes(self.waiting))
        self.waiting.clear()

    async def _link(self) -> None:
        reader, self.far = await asyncio.open_connection("127.0.0.1", self.port)
        while data := await reader.read(65536):
            self.near.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.link.cancel()
        self.far.close()


def test_data_may_come_with_the_last_word_of_the_handshake() -> None:
    passed: list[int] = []

    async def case(a: Host, b: Host) -> None:
        port = b.addresses[0].port
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Hoarder(port or 0, passed), "127.0.0.1", 0)
        async with server:
            there = server.sockets[0].getsockname()[1]
            stream = await a.open(f"/ip4/127.0.0.1/tcp/{there}", "/echo")
            await stream.write(b"early" * 1000)
            assert await stream.readexactly(5000) == b"early" * 1000
            await a.aclose()
        await asyncio.sleep(0.01)

    run(case)
    assert any(size > 5000 for size in passed[:3])  # the handshake's end and the data in one
