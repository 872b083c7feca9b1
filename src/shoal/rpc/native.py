"""What nodes write to each other when they call services: MessagePack on a stream.

A message has its length in front, as a varint, and is an array that begins
with its kind.  Whoever opened the stream calls, the other side answers, many
calls at once and in any order:

    [0, number, name, arguments]    call a service
    [1, number, result]             it has answered
    [2, number, code, text]         it has not
    [3, number]                     the caller waits no more
    [4, number]                     what do you offer?
    [5, number, record]             a signed record, see `record`

This protocol is ours: `/shoal/rpc/1`.
"""

from enum import IntEnum
from typing import Any

import msgspec

from shoal.codec import varint
from shoal.errors import ProtocolError, UsageError

PROTOCOL = "/shoal/rpc/1"
MESSAGE_MAX = 4 << 20  # bytes of one message
NAME_MAX = 1000  # bytes of a service's name, as with Grenache
TEXT_MAX = 2000  # characters of a failure that are sent
NUMBER_MAX = 1 << 62


class Code(IntEnum):
    """Why there is no result."""

    FAILED = 0  # the service's own error
    UNKNOWN = 1  # no such service here; nothing was executed
    BUSY = 2  # a limit was reached; nothing was executed


class Call(msgspec.Struct, array_like=True, tag=0, gc=False):
    """Call a service."""

    number: int
    name: str
    arguments: list[Any]


class Result(msgspec.Struct, array_like=True, tag=1, gc=False):
    """It has answered."""

    number: int
    value: Any


class Failure(msgspec.Struct, array_like=True, tag=2, gc=False):
    """It has not."""

    number: int
    code: int
    text: str


class Cancel(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The caller waits no more."""

    number: int


class Ask(msgspec.Struct, array_like=True, tag=4, gc=False):
    """What do you offer?"""

    number: int


class Told(msgspec.Struct, array_like=True, tag=5, gc=False):
    """A sealed record of the services that the peer offers."""

    number: int
    record: bytes


Message = Call | Result | Failure | Cancel | Ask | Told

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def encode(message: Message) -> bytes:
    """One frame; UsageError if a value in it cannot be sent."""
    try:
        body = _encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"this cannot be sent: {error}") from None
    if len(body) > MESSAGE_MAX:
        raise UsageError(f"a message of {len(body)} bytes, at most {MESSAGE_MAX} are allowed")
    return varint.encode(len(body)) + body


def decode(body: bytes | memoryview) -> Message:
    """The message in a frame."""
    try:
        message: Message = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"no message of {PROTOCOL}: {error}") from None
    if not 0 <= message.number < NUMBER_MAX:
        raise ProtocolError("a call's number is out of range")
    return message


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = 1  # bytes without which there is no use in looking again

    def receive(self, data: bytes | memoryview) -> list[Message]:
        """The messages that are whole now; the data may change afterwards."""
        if len(data) < self._missing:
            self._parts.append(bytes(data))
            self._missing -= len(data)
            return []
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
        messages: list[Message] = []
        start, end = 0, len(data)
        while start < end:
            head = varint.try_decode(data, start)
            if head is None:
                self._missing = 1
                break
            size, body = head
            if size > MESSAGE_MAX:
                raise ProtocolError(f"a message of {size} bytes, at most {MESSAGE_MAX} are allowed")
            if end - body < size:
                self._missing = size - (end - body)
                break
            start = body + size
            messages.append(decode(data[body:start]))
        else:
            self._missing = 1
            return messages
        self._parts.append(bytes(data[start:]))
        return messages
