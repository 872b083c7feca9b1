"""The time of a loop, as fine as it can be told."""

import asyncio
from collections.abc import Callable
from time import monotonic


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's time.  uvloop's stands still for milliseconds, more than a round trip takes."""
    return monotonic if type(loop).__module__.startswith("uvloop") else loop.time
