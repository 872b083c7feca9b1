"""Tasks that fail alone and end together.

A TaskGroup cancels all of its tasks when one fails; what serves many peers must
not.  A ShoalError is the business of whoever awaits the task; any other is a
mistake of ours and goes to the loop's exception handler.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from shoal.errors import ShoalError


class Tasks:
    """The tasks of one service."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, Any], name: str | None = None) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._ended)
        if self._closed:
            task.cancel()
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, ShoalError):
            context = {"message": f"{task.get_name()} failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def aclose(self) -> None:
        """Cancel all and wait for them."""
        self._closed = True
        own = asyncio.current_task()
        tasks = [task for task in self._running if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
