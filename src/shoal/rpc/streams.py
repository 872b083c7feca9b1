"""Streams of Grenache: raw bytes both ways on one HTTP request.

A stream is a request with a chunked body.  What it is for lies in its headers:
`_gr` has the call's id and the service's name, `_a` an action and `_ar` its
arguments; the bytes of body and answer mean what the two agree on.  Both may
flow at once, each only as fast as the other side takes it.

A service that fails before it has written anything is told of with its status,
as JSON; one that fails later has its connection cut, so that nobody takes half
of an answer for all of it.
"""

import asyncio
from typing import TYPE_CHECKING

from shoal.errors import ClosedError, ProtocolError, RefusedError
from shoal.net.web import Exchange, begin, reply
from shoal.rpc import grenache
from shoal.rpc.grenache import Caller, StreamHead

if TYPE_CHECKING:
    from aiohttp import web

IDLE = 120.0  # seconds in which something must move: Grenache's limit for idle transports
REFUSAL_MAX = 64 << 10  # bytes of an answer that says why there is no stream


class ServedStream:
    """A stream as its service has it."""

    def __init__(self, request: "web.BaseRequest", head: StreamHead, caller: Caller) -> None:
        self.name = head.key
        self.action = head.action
        self.arguments = head.arguments
        self.headers = request.headers
        self.caller = caller
        self._request = request
        self._rid = head.rid
        self._answer: web.StreamResponse | None = None

    async def read(self) -> bytes:
        """What has come; empty when the caller has written all it had to."""
        async with asyncio.timeout(IDLE):  # for the caller
            return await self._request.content.readany()

    async def write(self, data: bytes) -> None:
        """ClosedError when the caller has left."""
        if self._answer is None:
            self._answer = await begin(self._request)
        try:
            async with asyncio.timeout(IDLE):  # for the caller
                await self._answer.write(data)
        except ConnectionError as error:
            raise ClosedError("the caller has left") from error

    async def end(self) -> "web.StreamResponse":
        return self._answer or await begin(self._request)

    def fail(self, text: str, status: int = 500) -> "web.StreamResponse":
        """Tell, if that can still be done."""
        if self._answer is None:
            return reply(grenache.encode_reply(self._rid, text, None), status=status)
        if self._request.transport is not None:
            self._request.transport.abort()
        return self._answer


class CallStream:
    """A stream as its caller has it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def read(self) -> bytes:
        """What has come; empty at the end. RefusedError has the service's own words."""
        async with asyncio.timeout(IDLE):  # for the service
            if await self._exchange.status() != 200:
                raise RefusedError(await self._refusal())
            return await self._exchange.read()

    async def write(self, data: bytes) -> None:
        """ClosedError when the service takes no more; its answer may say why."""
        if data:
            async with asyncio.timeout(IDLE):  # for the service
                await self._exchange.write(data)

    async def close_write(self) -> None:
        """That was all; the answer may still come."""
        async with asyncio.timeout(IDLE):  # for the service
            await self._exchange.close_write()

    async def _refusal(self) -> str:
        body = b""
        while (data := await self._exchange.read()) and len(body) < REFUSAL_MAX:
            body += data
        try:
            return grenache.decode_refusal(body)
        except ProtocolError:
            return f"ERR_REQUEST_GENERIC: {body[:500].decode('utf-8', 'replace')}"
