"""Connections and servers: the same on the simulator, asyncio and uvloop."""

import asyncio
import socket
import struct
from typing import Any

import pytest
from tests.sim.conftest import Run

BIG = 3_000_000  # bytes: more than all buffers between two ends


async def serve(handler: Any) -> tuple[asyncio.Server, int]:
    """A stream server whose handler always closes, on a free port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


class Recorder(asyncio.Protocol):
    """Writes down what the loop calls."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.data = bytearray()
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.error: BaseException | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport: Any = transport
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        if not self.data:
            self.said.append("data")
        self.data += data

    def eof_received(self) -> bool:
        self.said.append("eof")
        return False

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")

    def connection_lost(self, error: BaseException | None) -> None:
        self.said.append("lost")
        self.error = error
        self.lost.set_result(error)


def test_bytes_come_back_in_order(run: Run) -> None:
    async def main() -> None:
        server, port = await serve(echo)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            sent = b"".join(struct.pack(">I", n) for n in range(BIG // 4))

            async def write() -> None:
                for start in range(0, len(sent), 70_000):
                    writer.write(sent[start : start + 70_000])
                    await writer.drain()
                writer.write_eof()

            async with asyncio.TaskGroup() as group:
                group.create_task(write())
                assert await reader.read() == sent
            writer.close()
            await writer.wait_closed()

    run(main())


def test_half_close_lets_the_other_half_live(run: Run) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()
        await asyncio.sleep(0.01)
        writer.write(asked[::-1])

    async def main() -> bytes:
        server, port = await serve(answer)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert writer.can_write_eof()
            writer.write(b"question")
            writer.write_eof()
            with pytest.raises(RuntimeError):
                writer.write(b"more")
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            return got

    assert run(main()) == b"noitseuq"


def test_protocols_hear_made_data_eof_lost(run: Run) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")

    async def main() -> tuple[list[str], bytes]:
        loop = asyncio.get_running_loop()
        server, port = await serve(greet)
        async with server:
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            assert protocol.said[:1] == ["made"]
            assert transport.get_extra_info("peername") == ("127.0.0.1", port)
            assert transport.get_extra_info("sockname")[0] == "127.0.0.1"
            assert transport.get_extra_info("no such thing", 5) == 5
            assert transport.get_protocol() is protocol
            assert await protocol.lost is None
            assert transport.is_closing()
        return protocol.said, bytes(protocol.data)

    assert run(main()) == (["made", "data", "eof", "lost"], b"hello")


def test_nobody_listening_refuses(run: Run) -> None:
    async def main() -> None:
        server, port = await serve(echo)
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    run(main())


def test_a_port_is_taken_once(run: Run) -> None:
    async def main() -> None:
        server, port = await serve(echo)
        async with server:
            assert server.is_serving()
            with pytest.raises(OSError):
                await asyncio.start_server(echo, "127.0.0.1", port)
        again = await asyncio.start_server(echo, "127.0.0.1", port)
        again.close()
        assert not again.is_serving()
        await again.wait_closed()

    run(main())


def test_unknown_names_are_not_found(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await asyncio.open_connection("no-such-host.invalid", 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        assert found[0][0] == socket.AF_INET
        assert found[0][4] == ("127.0.0.1", 80)

    run(main())


def test_a_writer_is_stopped_while_nobody_reads(run: Run) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[Any] = loop.create_future()

        class Deaf(asyncio.Protocol):
            received = 0

            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                self.received += len(data)
                if not accepted.done():
                    self.transport.pause_reading()
                    assert not self.transport.is_reading()
                    accepted.set_result((self, self.transport))

        server = await loop.create_server(Deaf, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport, writer = await loop.create_connection(Recorder, "127.0.0.1", port)
        transport.write(b"x")
        deaf, theirs = await accepted
        chunk = bytes(100_000)
        sent = 1
        while "pause" not in writer.said and sent < 100_000_000:
            transport.write(chunk)
            sent += len(chunk)
            await asyncio.sleep(0)
        assert sent < 100_000_000
        assert transport.get_write_buffer_size() > 0
        await asyncio.sleep(0.05)
        assert deaf.received == 1
        theirs.resume_reading()
        while deaf.received < sent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        transport.close()
        await writer.lost
        server.close()
        await server.wait_closed()
        return [word for word in writer.said if word in ("pause", "resume")]

    assert run(main()) == ["pause", "resume"]


def test_write_limits_can_be_set(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server, port = await serve(echo)
        async with server:
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            transport.set_write_buffer_limits(high=1000, low=10)
            assert transport.get_write_buffer_limits() == (10, 1000)
            transport.set_write_buffer_limits(high=1000)
            assert transport.get_write_buffer_limits() == (250, 1000)
            transport.set_write_buffer_limits(low=100)
            assert transport.get_write_buffer_limits() == (100, 400)
            with pytest.raises(ValueError):
                transport.set_write_buffer_limits(high=1, low=2)
            transport.close()
            await protocol.lost

    run(main())


def test_buffered_protocols_get_every_byte_where_they_want_it(run: Run) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(5000)
            self.got = bytearray()
            self.ended = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            assert 0 < nbytes <= 5000
            self.got += self.buffer[:nbytes]

        def eof_received(self) -> None:
            self.ended.set_result(None)

    sent = bytes(range(256)) * 400

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        server, port = await serve(talk)
        async with server:
            transport, protocol = await loop.create_connection(Buffered, "127.0.0.1", port)
            await protocol.ended
            transport.close()
        return bytes(protocol.got)

    assert run(main()) == sent


def test_all_kinds_of_bytes_can_be_written(run: Run) -> None:
    async def main() -> bytes:
        server, port = await serve(echo)
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            changing = bytearray(b"two")
            writer.writelines([b"one", changing, memoryview(b"three")])
            changing[:] = b"xxx"
            writer.write(bytearray(b"four"))
            writer.write(b"")
            with pytest.raises(TypeError):
                writer.transport.write("text")  # type: ignore[arg-type]
            writer.write_eof()
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            return got

    assert run(main()) == b"onetwothreefour"


def test_what_was_written_before_close_arrives(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[int] = loop.create_future()

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set_result(len(await reader.read()))

        server, port = await serve(count)
        async with server:
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            transport.write(bytes(BIG))
            transport.close()
            transport.close()
            transport.write(b"ignored")
            assert await protocol.lost is None
            assert await arrived == BIG

    run(main())


def test_abort_ends_it_now(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            except ConnectionError:
                pass
            finally:
                ended.set_result(None)

        server, port = await serve(wait)
        async with server:
            transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
            transport.write(b"something")
            transport.abort()
            transport.abort()
            assert await protocol.lost is None
            await ended

    run(main())


def test_closing_with_unread_bytes_resets_the_peer(run: Run) -> None:
    async def main() -> BaseException | None:
        loop = asyncio.get_running_loop()

        class Rude(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                self.transport.pause_reading()
                transport.write(bytes(1000))
                loop.call_later(0.05, self.transport.close)

        server = await loop.create_server(Rude, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
        transport.write(bytes(1000))
        error = await protocol.lost
        server.close()
        await server.wait_closed()
        return error

    assert isinstance(run(main()), ConnectionResetError)


def test_lingering_for_zero_seconds_resets_the_peer(run: Run) -> None:
    async def main() -> BaseException | None:
        loop = asyncio.get_running_loop()

        class Rude(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                loop.call_later(0.05, transport.close)

        server = await loop.create_server(Rude, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        _, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
        error = await protocol.lost
        server.close()
        await server.wait_closed()
        return error

    assert isinstance(run(main()), ConnectionResetError)


def test_writing_to_a_closed_peer_fails_in_the_end(run: Run) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        server, port = await serve(leave)
        async with server:
            _, writer = await asyncio.open_connection("127.0.0.1", port)

            async def talk() -> None:
                for _ in range(1000):
                    writer.write(b"is anybody there?")
                    await writer.drain()
                    await asyncio.sleep(0.001)

            # uvloop says RuntimeError to those who write on
            with pytest.raises((ConnectionResetError, BrokenPipeError, RuntimeError)):
                await talk()

    run(main())


def test_a_protocol_that_fails_loses_its_connection(run: Run) -> None:
    async def main() -> tuple[list[Any], str]:
        loop = asyncio.get_running_loop()
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, report: reports.append(report["exception"]))

        class Faulty(Recorder):
            def data_received(self, data: bytes) -> None:
                raise ZeroDivisionError

        server, port = await serve(echo)
        async with server:
            transport, protocol = await loop.create_connection(Faulty, "127.0.0.1", port)
            transport.write(b"x")
            error = await protocol.lost
        return reports, type(error).__name__

    reports, name = run(main())
    assert type(reports[0]) is ZeroDivisionError
    assert name == "ZeroDivisionError"


def test_a_cancelled_dial_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        server, port = await serve(echo)
        async with server:
            dial = asyncio.create_task(asyncio.open_connection("127.0.0.1", port))
            await asyncio.sleep(0)
            dial.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dial
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"still there\n")
            assert await reader.readline() == b"still there\n"
            writer.close()
            await writer.wait_closed()

    run(main())


def test_serve_forever_ends_with_its_task(run: Run) -> None:
    async def main() -> None:
        server, port = await serve(echo)
        task = asyncio.create_task(server.serve_forever())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()
        await writer.wait_closed()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()

    run(main())


def test_many_connections_at_once(run: Run) -> None:
    async def main() -> list[bytes]:
        server, port = await serve(echo)

        async def ask(number: int) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"%d\n" % number)
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line

        async with server:
            return list(await asyncio.gather(*(ask(number) for number in range(50))))

    assert run(main()) == [b"%d\n" % number for number in range(50)]
