"""Both results of a transport: a byte pipe that the host upgrades, and a finished session."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.net.hosts import make_host

from shoal.net.host import Host
from shoal.net.identify import PING
from shoal.net.introduction import ping
from shoal.net.mux.yamux import Yamux
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

PLACE = Multiaddr.parse("/memory/1")


class Listening:
    def __init__(self, transport: Any) -> None:
        self.addresses = [PLACE]
        self._transport = transport

    def close(self) -> None:
        self._transport.listener = None


class Hose:
    """One end of a pipe in memory, as a transport of asyncio."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.other: Hose | None = None
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return PLACE if name == "multiaddr" else default

    def set_write_buffer_limits(self, high: int, low: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        other = self.other
        assert other is not None
        asyncio.get_running_loop().call_soon(lambda: other.closed or other.protocol.feed(data))

    def writelines(self, parts: list[bytes]) -> None:
        self.write(b"".join(parts))

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self.protocol.connection_lost, None)
            assert self.other is not None
            loop.call_soon(self.other.close)

    abort = close


class Hoses:
    """Byte pipes."""

    listener: Callable[[], Any] | None = None

    def speaks(self, address: Multiaddr) -> bool:
        return address.names == ("memory",)

    async def dial(self, address: Multiaddr, pipe: Callable[[], Any]) -> None:
        assert self.listener is not None
        one, other = Hose(pipe()), Hose(self.listener())
        one.other, other.other = other, one
        one.protocol.connection_made(one)
        other.protocol.connection_made(other)

    async def listen(self, address: Multiaddr, pipe: Callable[[], Any], _: Any) -> Listening:
        self.listener = pipe
        return Listening(self)

    async def aclose(self) -> None: ...


class Finished(Yamux):
    """A session with streams of its own: here a muxer whose bytes go to the other's."""

    def __init__(self, peer: PeerId, initiator: bool) -> None:
        super().__init__(initiator, 0.0)
        self.peer = peer
        self.remote = PLACE
        self.other: Finished | None = None
        self.ended: Callable[[Exception | None], None] = lambda error: None
        self._over = False

    def wake(self) -> None:
        asyncio.get_running_loop().call_soon(self.flush)

    def leave(self) -> None:
        self.wake()

    def flush(self) -> None:
        data = b"".join(self.out)
        self.out.clear()
        if data and self.other is not None and not self.other._over:
            self.other.receive(memoryview(data), 0.0)
            self.other.wake()

    def close(self) -> None:
        self.flush()
        self.abort()

    def abort(self, error: Exception | None = None) -> None:
        if not self._over:
            self._over = True
            self.ended(error)
            assert self.other is not None
            asyncio.get_running_loop().call_soon(self.other.abort)

    async def wait_closed(self) -> None: ...


class Sessions:
    """Finished sessions."""

    listener: tuple[PeerId, Callable[[Finished], Any]] | None = None

    def __init__(self) -> None:
        self.id: PeerId | None = None

    def speaks(self, address: Multiaddr) -> bool:
        return address.names == ("memory",)

    async def dial(self, address: Multiaddr, pipe: Callable[[], Any]) -> Finished:
        assert Sessions.listener is not None
        assert self.id is not None
        peer, accept = Sessions.listener
        one, other = Finished(peer, True), Finished(self.id, False)
        one.other, other.other = other, one
        accept(other)
        return one

    async def listen(self, address: Multiaddr, pipe: Any, session: Callable[..., Any]) -> Listening:
        assert self.id is not None
        Sessions.listener = self.id, session
        return Listening(self)

    async def aclose(self) -> None: ...


async def talk(a: Host, b: Host) -> str:
    """How the connection was secured."""
    await b.listen(PLACE)
    connection = await a.dial(b.addresses[0])
    assert connection.peer == b.id
    await a.introduction.wait(connection)  # type: ignore[attr-defined]
    assert connection.protocols is not None
    stream = await a.open(b.id, PING)
    for _ in range(3):
        await ping(stream, a.offer.rng)
    await stream.close()
    connection.close()
    await asyncio.sleep(0.01)
    assert (a.connections, b.connections) == ([], [])
    assert a.limits.node.used == b.limits.node.used
    assert not any(a.limits.node.used.values())
    return connection.about.security


def test_a_byte_pipe_is_upgraded() -> None:
    async def case() -> None:
        hoses = Hoses()
        async with asyncio.timeout(10), make_host(1, [hoses]) as a, make_host(2, [hoses]) as b:
            assert await talk(a, b) in a.offer.securities

    asyncio.run(case())


def test_a_finished_session_brings_its_own_streams() -> None:
    async def case() -> None:
        ours, theirs = Sessions(), Sessions()
        async with asyncio.timeout(10), make_host(1, [ours]) as a, make_host(2, [theirs]) as b:
            ours.id, theirs.id = a.id, b.id
            assert await talk(a, b) == ""  # it came with the session

    asyncio.run(case())
