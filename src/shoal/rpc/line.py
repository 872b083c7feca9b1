"""The side that calls: many calls at once on one stream to a peer.

A call ends with its reply, at its deadline, or with the stream; whoever stops
waiting tells the other side.
"""

import asyncio
from typing import Any

from shoal.errors import (
    ClosedError,
    LimitError,
    ProtocolError,
    RefusedError,
    ShoalError,
    UnreachableError,
)
from shoal.net.stream import Stream
from shoal.rpc import native
from shoal.rpc.calls import Pending
from shoal.rpc.native import Ask, Call, Cancel, Code, Failure, Frames, Result, Told
from shoal.rpc.record import ServiceRecord

UNSENT_MAX = 16 << 20  # bytes of calls that the peer has not taken


class Line:
    """Calls to one peer."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.ended = False
        self._loop = asyncio.get_running_loop()
        self._pending: Pending[asyncio.Future[Any]] = Pending()
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._out: list[bytes] = []
        self._frames = Frames()

    async def call(self, name: str, arguments: list[Any], deadline: float) -> Any:
        """The result.

        RefusedError has the service's own error; after UnreachableError it was
        not executed, after ClosedError or TimeoutError nobody knows.
        """
        self._count += 1
        return await self._send(Call(self._count, name, arguments), deadline)

    async def ask(self, deadline: float) -> ServiceRecord:
        """What the peer offers."""
        self._count += 1
        record = ServiceRecord.open(await self._send(Ask(self._count), deadline))
        if record.peer != self.stream.peer:
            raise ProtocolError("a peer gave the record of another")
        return record

    async def read(self) -> None:
        """Hand replies to their calls, until the stream ends: those left fail at once."""
        error: ShoalError = ClosedError("the peer has closed the stream of calls")
        try:
            await self.stream.listen(self._hear)
        except ShoalError as failure:
            error = failure
        finally:
            self._end(error)

    async def _send(self, message: Call | Ask, deadline: float) -> Any:
        if self.ended:
            raise UnreachableError("the stream of calls has ended")
        if self.stream.waiting > UNSENT_MAX:
            raise LimitError(f"{UNSENT_MAX} bytes of calls wait for this peer already")
        frame = native.encode(message)
        future = self._loop.create_future()
        self._pending.add(message.number, future, None, deadline)
        self._arm()
        self._post(frame)
        try:
            return await future
        except asyncio.CancelledError:
            self._cancel(message.number)
            raise
        finally:
            self._pending.take(message.number)

    def _hear(self, data: memoryview) -> None:
        for message in self._frames.receive(data):
            self._received(message)

    def _received(self, message: native.Message) -> None:
        future = self._pending.take(message.number)
        if future is None or future.done():
            return
        if type(message) is Result:
            future.set_result(message.value)
        elif type(message) is Failure:
            kind = RefusedError if message.code == Code.FAILED else UnreachableError
            future.set_exception(kind(message.text[: native.TEXT_MAX]))
        elif type(message) is Told:
            future.set_result(message.record)

    def _post(self, frame: bytes) -> None:
        """What is called within one turn of the loop leaves as one piece; a lone call at once."""
        self._out.append(frame)
        if len(self._pending) <= 1:
            self._flush(at_once=True)
        elif len(self._out) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self, *, at_once: bool = False) -> None:
        data = b"".join(self._out)
        self._out.clear()
        try:
            if data:
                self.stream.post(data, at_once=at_once)
        except ShoalError as error:
            self._end(error)

    def _cancel(self, number: int) -> None:
        if not self.ended:
            self._post(native.encode(Cancel(number)))

    def _arm(self) -> None:
        """One timer for all deadlines; one that rings too early is armed anew."""
        due = self._pending.deadline
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        for number, future in self._pending.expired(self._loop.time()):
            if not future.done():
                future.set_exception(TimeoutError("the service did not answer in time"))
                self._cancel(number)
        self._arm()

    def _end(self, error: ShoalError) -> None:
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for future in self._pending.lost(None):
            if not future.done():
                future.set_exception(ClosedError(str(error)))
