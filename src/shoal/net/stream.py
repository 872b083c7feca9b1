"""A stream: bytes both ways between two peers, in order, for one protocol.

The one thing that every protocol gets.  What arrives is copied once, into the
stream; a `read` that finds something returns without giving the loop to anybody
else, and so does a `write` while the peer's window is open.  A peer that does
not read makes `write` wait, without any time limit: put `asyncio.timeout`
around what may not wait.

Each side ends on its own: `close_write` says that we have said everything.
Bytes that came before a reset can still be read after it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, Self

from shoal.codec import varint
from shoal.errors import ClosedError, ProtocolError, ResetError, ShoalError, UsageError
from shoal.net.multistream import Dialer, Listener
from shoal.net.mux.sink import How
from shoal.peer.id import PeerId

LONE_MAX = 1024  # bytes: a write up to this leaves at once if it is the first of its tick
SMALL = 4096  # bytes: shorter pieces are gathered, so that single bytes cost no object each
MESSAGE_MAX = 4 << 20  # bytes of one message; libp2p's largest (Kademlia, bitswap)

Bytes = bytes | bytearray | memoryview


class Carrier(Protocol):
    """What a stream asks of the connection under it."""

    def send(self, channel: Any, data: Bytes, at_once: bool = False, /) -> int: ...  # its share

    def consumed(self, channel: Any, count: int, /) -> None: ...

    def end(self, channel: Any, how: How, /) -> None: ...


class Stream:
    """One stream of a connection, with its peer and protocol."""

    __slots__ = (
        "_agreed",
        "_agreement",
        "_blocked",
        "_carrier",
        "_chunks",
        "_deaf",
        "_error",
        "_hear",
        "_in_turn",
        "_later",
        "_offset",
        "_read_ended",
        "_reader",
        "_release",
        "_reported",
        "_size",
        "_write_ended",
        "channel",
        "inbound",
        "peer",
        "protocol",
        "scope",
    )

    def __init__(
        self,
        carrier: Carrier,
        peer: PeerId,
        *,
        inbound: bool,
        release: Callable[["Stream"], None],
    ) -> None:
        self.peer = peer
        self.protocol = ""  # empty until it is agreed
        self.inbound = inbound
        self.channel: Any = None  # the carrier's name for this stream
        self.scope: Any = None  # what counts it against the limits
        self._carrier = carrier
        self._release: Callable[[Stream], None] | None = release
        self._agreement: Dialer | Listener | None = None
        self._agreed: Callable[[Stream, ShoalError | None], None] | None = None
        self._chunks: deque[bytes | bytearray] = deque()  # what waits to be read
        self._offset = 0  # how much of the first chunk was read
        self._reported = 0  # bytes at the front that the carrier counts as read already
        self._size = 0  # bytes in all chunks, beyond the offset
        self._reader: asyncio.Future[None] | None = None
        self._hear: Callable[[memoryview], None] | None = None  # gets what arrives, at once
        self._in_turn = False  # but not while something is blocked
        self._blocked: deque[tuple[memoryview, asyncio.Future[None] | None]] = deque()
        self._read_ended = False
        self._write_ended = False
        self._deaf = False  # we do not listen any more
        self._later: How | None = None  # how our side ends when the protocol is agreed
        self._error: ShoalError | None = None

    def __repr__(self) -> str:
        return f"<Stream {self.protocol or '?'} {'from' if self.inbound else 'to'} {self.peer}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            self.reset()

    # Reading

    async def read(self, most: int = 65536) -> bytes:
        """Some bytes, at most so many; empty when the peer has said everything."""
        if most <= 0:
            return b""
        while not self._size:
            if self._over():
                return b""
            await self._arrival()
        return self._take(most)

    async def readexactly(self, count: int) -> bytes:
        """So many bytes; ClosedError if the stream ends before."""
        if not self._size and count > 0 and not self._over():
            await self._arrival()
        if self._size >= count > 0:
            data = self._take(count)
            if len(data) == count:
                return data
        else:
            data = b""
        return await self._gather(data, count)

    async def _gather(self, data: bytes, count: int) -> bytes:
        if count < 0:
            raise UsageError(f"{count} bytes cannot be read")
        parts = [data]  # taken as they come: a window may be smaller than what is wanted
        missing = count - len(data)
        try:
            while missing:
                part = await self.read(missing)
                if not part:
                    raise ClosedError(f"the stream ended {missing} bytes too early")
                parts.append(part)
                missing -= len(part)
        except asyncio.CancelledError:
            self._put_back(parts)
            raise
        return b"".join(parts)

    def _put_back(self, parts: list[bytes]) -> None:
        if self._offset:
            self._chunks[0] = self._chunks[0][self._offset :]
            self._offset = 0
        for part in reversed(parts):
            if part:
                self._chunks.appendleft(part)
                self._size += len(part)
                self._reported += len(part)

    def _take(self, most: int) -> bytes:
        """The next piece, never more than one chunk: joining would copy again."""
        first = self._chunks[0]
        start, end = self._offset, len(first)
        if end - start > most:
            data = bytes(memoryview(first)[start : start + most])
            self._offset += most
        else:
            self._chunks.popleft()
            self._offset = 0
            data = bytes(first) if not start else bytes(memoryview(first)[start:])
        self._size -= len(data)
        self._consumed(len(data))
        return data

    def _consumed(self, count: int) -> None:
        if self._reported:
            again = min(self._reported, count)
            self._reported -= again
            count -= again
        if count and not self._deaf:
            self._carrier.consumed(self.channel, count)

    def _over(self) -> bool:
        """Nothing more comes; an error if that was not the peer's wish."""
        if self._error is not None:
            raise self._error
        if self._deaf or self._later == "close":
            raise ClosedError("the stream was closed")
        return self._read_ended

    async def _arrival(self) -> None:
        if self._reader is not None:
            raise UsageError("two tasks read from one stream")
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    async def listen(self, hear: Callable[[memoryview], None], *, in_turn: bool = False) -> None:
        """Hand over what arrives, as it arrives, until the peer has said everything.

        The connection itself calls `hear`, without waking a task; the view is
        valid until it returns, and a ShoalError that it raises resets the stream.
        With `in_turn` nothing is handed over while what was posted waits.
        """
        self._hear, self._in_turn = hear, in_turn
        try:
            self._hand_over()
            while not self._over():
                await self._arrival()
        finally:
            self._hear = None

    def _hand_over(self) -> None:
        while self._chunks and self._hear is not None and not (self._in_turn and self._blocked):
            first = self._chunks.popleft()
            data = memoryview(first)[self._offset :]
            self._offset = 0
            self._size -= len(data)
            self._tell(data)

    def _tell(self, data: memoryview) -> None:
        assert self._hear is not None
        try:
            self._hear(data)
        except ShoalError as error:
            self.reset(error)
        else:
            self._consumed(len(data))

    async def read_message(self, most: int = MESSAGE_MAX) -> bytes:
        """One message with its length in front, as a varint; ClosedError after the last."""
        head = b""
        while (found := varint.try_decode(head)) is None:
            head += await self.readexactly(1)
        if found[0] > most:
            raise ProtocolError(f"a message of {found[0]} bytes, at most {most} are allowed")
        return await self.readexactly(found[0])

    # Writing

    async def write(self, data: Bytes) -> None:
        """Send all of it; waits while the peer does not read.

        A write that is cancelled half-way resets the stream: the peer could not
        tell where the bytes broke off.
        """
        if type(data) is not bytes:
            data = bytes(data)  # the caller may change it before it has left
        lone = len(data) <= LONE_MAX and self._agreement is None
        taken = 0 if self._blocked else self._send(data, lone)
        if taken < len(data):
            await self._wait_written(memoryview(data)[taken:], partly=taken > 0)

    def _send(self, data: Bytes, at_once: bool = False) -> int:
        if self._write_ended or self._later is not None:
            raise self._error or ClosedError("the stream is closed for writing")
        return self._carrier.send(self.channel, data, at_once)

    async def _wait_written(self, rest: memoryview, *, partly: bool) -> None:
        if self._write_ended:
            raise self._error or ClosedError("the stream is closed for writing")
        written = asyncio.get_running_loop().create_future()
        size = len(rest)
        self._blocked.append((rest, written))
        try:
            await written
        except asyncio.CancelledError:
            self._withdraw(written, size, partly=partly)
            raise

    def _withdraw(self, written: asyncio.Future[None], size: int, *, partly: bool) -> None:
        for index, (rest, waiter) in enumerate(self._blocked):
            if waiter is written:
                if partly or len(rest) < size:
                    self.reset()
                else:
                    del self._blocked[index]
                return

    def post(self, data: bytes, *, at_once: bool = False) -> None:
        """As `write`, without waiting: what the peer's window does not take stays in memory.

        Whoever posts looks at `waiting` and has a limit.  What is said `at_once` does
        not wait for others who write in the same turn of the loop.
        """
        taken = 0 if self._blocked else self._send(data, at_once)
        if taken < len(data):
            if self._write_ended:
                raise self._error or ClosedError("the stream is closed for writing")
            self._blocked.append((memoryview(data)[taken:], None))

    @property
    def waiting(self) -> int:
        """Bytes that were written or posted and that the peer's window has not taken."""
        return sum(len(rest) for rest, _ in self._blocked)

    async def drain(self) -> None:
        """Until nothing waits."""
        await self._written()

    async def write_message(self, data: Bytes) -> None:
        """Send a message with its length in front, as a varint."""
        await self.write(varint.encode(len(data)) + bytes(data))

    # The end

    async def close_write(self) -> None:
        """We have said everything; the peer's bytes can still be read.

        The end waits for the protocol to be agreed: js-libp2p loses one that
        comes in the same packet as the proposal, and its handler waits for ever.
        """
        await self._written()
        if self._agreement is None:
            self._end_writing()
        elif self._later is None:
            self._later = "write"

    async def close(self) -> None:
        """We have said everything and do not listen any more; safe twice."""
        await self._written()
        if self._agreement is None:
            self._close()
        else:
            self._later = "close"

    def _close(self) -> None:
        self._end_writing()
        if not self._deaf:
            self._deaf = True
            if self._error is None:
                self._carrier.end(self.channel, "close")
            self._forget()

    async def _written(self) -> None:
        while self._blocked and not self._write_ended:
            await self._wait_written(NOTHING, partly=False)

    def _end_writing(self) -> None:
        if not self._write_ended:
            self._write_ended = True
            self._carrier.end(self.channel, "write")
            self._let_go()

    def reset(self, error: ShoalError | None = None) -> None:
        """Break it off: the peer sees an error, and so do our own readers and writers."""
        if self._release is not None:
            self._carrier.end(self.channel, "reset")
            self._die(error or ResetError("we reset the stream"))
        self._forget()

    def _forget(self) -> None:
        self._chunks.clear()
        self._offset = self._size = self._reported = 0
        self._wake_reader()
        self._let_go()

    def _let_go(self) -> None:
        """Tell our owner, once, that this stream needs nothing any more."""
        if self._write_ended and (self._read_ended or self._deaf) and self._release is not None:
            release, self._release = self._release, None
            release(self)

    def _die(self, error: ShoalError) -> None:
        self._error = self._error or error
        self._read_ended = self._write_ended = True
        while self._blocked:
            _, written = self._blocked.popleft()
            if written is not None and not written.done():
                written.set_exception(self._error)
        self._wake_reader()
        self._let_go()
        if self._agreed is not None:
            self._agree_on(self._error)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # What the muxer calls

    def received(self, data: memoryview) -> None:
        if self._agreement is not None:
            data = data[self._negotiate(data) :]
            if not data or self._deaf:
                return
        if self._hear is not None and not (self._chunks or (self._in_turn and self._blocked)):
            self._tell(data)
            return
        size = len(data)
        last = self._chunks[-1] if self._chunks else b""
        if size >= SMALL:
            self._chunks.append(bytes(data))
        elif type(last) is bytearray and len(last) < SMALL:
            last += data
        else:
            self._chunks.append(bytearray(data))
        self._size += size
        if self._reader is not None:
            self._wake_reader()

    def ended(self, error: ShoalError | None) -> None:
        if error is None and self._agreement is not None:
            error = ClosedError("the stream ended before its protocol was agreed")
            self._carrier.end(self.channel, "reset")
        if error is not None:
            self._die(error)
        else:
            self._read_ended = True
            self._wake_reader()
            self._let_go()

    def writable(self) -> None:
        while self._blocked:
            rest, written = self._blocked[0]
            taken = self._carrier.send(self.channel, rest)
            if taken < len(rest):
                self._blocked[0] = (rest[taken:], written)
                return
            self._blocked.popleft()
            if written is not None and not written.done():
                written.set_result(None)
        if self._hear is not None:
            self._hand_over()

    # Which protocol

    def negotiate(
        self,
        agreement: Dialer | Listener,
        agreed: Callable[["Stream", ShoalError | None], None],
    ) -> None:
        """Agree with the peer first, from `greet` on; a lazy dialer writes all the same."""
        self._agreement = agreement
        self._agreed = agreed

    def greet(self) -> None:
        if self._agreement is not None:
            self._say(self._agreement)

    def when_agreed(self, agreed: Callable[["Stream", ShoalError | None], None]) -> None:
        """Call this, at once if it is over already."""
        if self._agreement is not None:
            self._agreed = agreed
        else:
            agreed(self, self._error)

    def _negotiate(self, data: memoryview) -> int:
        agreement = self._agreement
        assert agreement is not None
        try:
            used = agreement.receive(data)
        except ShoalError as error:
            self.reset(error)
            return len(data)
        self._carrier.consumed(self.channel, used)
        self._say(agreement)
        if agreement.done:
            self._agreement = None
            self.protocol = agreement.protocol or ""
            self._agree_on(None)
            if self._later is not None:
                later, self._later = self._later, None
                if later == "close":
                    self._close()
                else:
                    self._end_writing()
        return used

    def _say(self, agreement: Dialer | Listener) -> None:
        data = b"".join(agreement.out)
        agreement.out.clear()
        if data and not self._write_ended:
            taken = 0 if self._blocked else self._carrier.send(self.channel, data)
            if taken < len(data):
                self._blocked.append((memoryview(data)[taken:], None))

    def _agree_on(self, error: ShoalError | None) -> None:
        agreed, self._agreed, self._agreement = self._agreed, None, None
        if agreed is not None:
            agreed(self, error)


NOTHING = memoryview(b"")
