"""What the simulated loop hands out: handles, futures and tasks.

asyncio keeps futures and tasks in sets (`asyncio.wait`, `TaskGroup`,
`all_tasks`), and the order of a set follows the hash.  The usual hash is the
address in memory, which differs from run to run; here it is a serial number,
so every walk over such a set repeats itself.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.sim.loop import SimLoop


class SimHandle(asyncio.Handle):
    """A callback that waits for its turn; a cancelled one has no callback left."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context):
        # asyncio.Handle's own __init__ costs more than all the rest of call_soon
        self._callback: Callable[..., Any] | None = callback
        self._args = args
        self._context = context

    def cancel(self) -> None:
        self._callback = None
        self._args = ()

    def cancelled(self) -> bool:
        return self._callback is None

    def __repr__(self) -> str:
        return f"<SimHandle {self._callback!r}>"


class SimTimerHandle(asyncio.TimerHandle):
    """A callback that waits for its time."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: Context,
        loop: "SimLoop",
    ):
        self._when = when
        self._callback: Callable[..., Any] | None = callback
        self._args = args
        self._context = context
        self._loop = loop

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None
            self._args = ()
            self._loop.timer_was_cancelled()

    def cancelled(self) -> bool:
        return self._callback is None

    def when(self) -> float:
        return self._when

    def __repr__(self) -> str:
        return f"<SimTimerHandle at {self._when} {self._callback!r}>"


class SimFuture(asyncio.Future[Any]):
    """A future whose hash is the order of its making."""

    __slots__ = ("serial",)

    def __init__(self, *, loop: "SimLoop", serial: int):
        self.serial = serial
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.serial


class SimTask(asyncio.Task[Any]):
    """A task whose hash is the order of its making."""

    __slots__ = ("serial",)

    def __init__(self, coro: Any, *, serial: int, **options: Any):
        self.serial = serial  # before the rest: asyncio puts the task into a set at once
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.serial
