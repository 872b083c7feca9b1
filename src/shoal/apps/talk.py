"""Messages of parcel.py on a stream, for both sides."""

from contextlib import suppress
from typing import Any

from shoal.apps.parcel import Message, Refusal, decode, encode
from shoal.errors import ClosedError, ProtocolError, RefusedError
from shoal.net.stream import Stream


async def say(stream: Stream, message: Message) -> None:
    await stream.write_message(encode(message))


async def expect(stream: Stream, kind: Any, most: int) -> Any:
    """The next message, which has to be of this kind; RefusedError if the other side ends it."""
    message = decode(await stream.read_message(most))
    if isinstance(message, kind):
        return message
    if isinstance(message, Refusal):
        raise RefusedError(message.reason)
    raise ProtocolError(f"{type(message).__name__} came out of turn")


async def refuse(stream: Stream, reason: str, about: str = "") -> None:
    """End it, if the other side still listens."""
    with suppress(ClosedError):
        await say(stream, Refusal(reason[:200], about))
