"""What a command asks a person or reads from a pipe, without holding up the loop."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from shoal.cli.output import Output
from shoal.errors import UsageError


async def in_thread(function: Callable[[], Any]) -> Any:
    """Its result.  Who waits can be cancelled: the thread does not hold up our end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        try:
            result, failure = function(), None
        except (OSError, ValueError) as error:
            result, failure = None, error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, daemon=True).start()
    return await done


async def ask_link(output: Output) -> str:
    """A link or code that was not on the command line: SHOAL_CODE, a prompt, or stdin."""
    if given := os.environ.get("SHOAL_CODE"):
        return given
    if sys.stdin.isatty():
        output.note("code or link:")
    text = str(await in_thread(sys.stdin.readline)).strip()
    if not text:
        raise UsageError("no code and no link was given")
    return text
