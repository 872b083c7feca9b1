"""The side that is called: it runs services and writes their results.

A service may be a plain function, which is called at once, or an async one,
which gets a task.  A caller that waits no more has its call cancelled, and one
that leaves has all of them cancelled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from shoal.errors import ShoalError, UsageError
from shoal.net.stream import Stream
from shoal.rpc import native
from shoal.rpc.native import Ask, Call, Cancel, Code, Failure, Frames, Result, Told

CALLS_MAX = 1000  # calls of one peer at once; further ones are refused as not executed
ASKS_MAX = 16  # questions after our record in one piece: answers are far longer

log = logging.getLogger(__name__)
Handler = Callable[..., Any]


@dataclass(slots=True)
class Service:
    """Something that can be called by its name."""

    name: str
    handler: Handler
    version: str = ""
    well: Callable[[], bool] | None = None  # says whether others should be called first
    load: int = 0  # calls under way


class Answers:
    """One stream of calls."""

    def __init__(
        self,
        stream: Stream,
        services: dict[str, Service],
        record: Callable[[], bytes],
    ) -> None:
        self._stream = stream
        self._services = services
        self._record = record
        self._frames = Frames()
        self._hearing = False  # a call is being received
        self._asks = 0  # in what is being received
        self._running: dict[int, asyncio.Task[None]] = {}
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        """Until the caller leaves; it is read no further while it does not read its answers."""
        try:
            await self._stream.listen(self._hear, in_turn=True)
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _hear(self, data: memoryview) -> None:
        """What plain functions answer leaves as one piece, with the connection's next bytes."""
        self._hearing = True
        self._asks = 0
        try:
            for message in self._frames.receive(data):
                self._receive(message)
        finally:
            self._hearing = False
            self._flush()

    def _receive(self, message: native.Message) -> None:
        if type(message) is Call:
            self._begin(message)
        elif type(message) is Cancel:
            task = self._running.get(message.number)
            if task is not None:
                self._loop.call_soon(task.cancel)  # once it has begun, or it would never end
        elif type(message) is Ask:
            self._tell(message)

    def _tell(self, ask: Ask) -> None:
        self._asks += 1
        if self._asks > ASKS_MAX:
            self._send(Failure(ask.number, Code.BUSY, f"over {ASKS_MAX} questions at once"))
        else:
            self._send(Told(ask.number, self._record()))

    def _begin(self, call: Call) -> None:
        service = self._services.get(call.name)
        if service is None:
            self._send(Failure(call.number, Code.UNKNOWN, f"{call.name[:100]} is not served here"))
        elif len(self._running) >= CALLS_MAX or call.number in self._running:
            self._send(Failure(call.number, Code.BUSY, f"{CALLS_MAX} calls are under way already"))
        else:
            try:
                result = service.handler(*call.arguments)
            except Exception as error:
                self._send(failure_of(call, error))
                return
            if isawaitable(result):
                service.load += 1
                task = self._loop.create_task(self._run(call, service, result))
                self._running[call.number] = task
            else:
                self._answer(call, result)

    async def _run(self, call: Call, service: Service, result: Awaitable[Any]) -> None:
        try:
            self._answer(call, await result)
        except Exception as error:
            self._send(failure_of(call, error))
        finally:
            service.load -= 1
            self._running.pop(call.number, None)

    def _answer(self, call: Call, value: Any) -> None:
        try:
            self._post(native.encode(Result(call.number, value)))
        except UsageError as error:
            self._send(failure_of(call, error))

    def _send(self, message: native.Message) -> None:
        self._post(native.encode(message))

    def _post(self, frame: bytes) -> None:
        """What is answered within one turn of the loop leaves as one piece; a lone one at once."""
        self._out.append(frame)
        if self._hearing:
            return
        if len(self._running) == 1:
            self._flush(at_once=True)
        elif len(self._out) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self, *, at_once: bool = False) -> None:
        if not self._out:
            return
        data = b"".join(self._out)
        self._out.clear()
        try:
            self._stream.post(data, at_once=at_once)
        except ShoalError:
            log.debug("%s left before its answers", self._stream.peer)


def failure_of(call: Call, error: Exception) -> Failure:
    """What the caller is told: the message, as with Grenache."""
    if not isinstance(error, ShoalError):
        log.error("service %s failed", call.name, exc_info=error)
    text = str(error) or type(error).__name__
    return Failure(call.number, Code.FAILED, text[: native.TEXT_MAX])
