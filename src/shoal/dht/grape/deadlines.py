"""Ends what takes too long, with one timer for all that have equally long.

A timer for each of ten thousand lookups a second costs more than the lookups'
own bookkeeping; as all get the same time, the first that began is the first
that is due.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")


class Deadlines(Generic[Thing]):
    """What is under way; `end` is called with each that is not `done` in time."""

    def __init__(self, seconds: float, end: Callable[[Thing], None], loop: Any) -> None:
        self._seconds = seconds
        self._end = end
        self._loop = loop
        self._due: dict[Thing, float] = {}
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._due)

    def begin(self, thing: Thing, now: float) -> None:
        due = self._due[thing] = now + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._ring)

    def done(self, thing: Thing) -> None:
        self._due.pop(thing, None)

    def close(self) -> None:
        """End everything now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._due:
            self._end_first()

    def _ring(self) -> None:
        now = self._loop.time()
        try:
            while self._due and next(iter(self._due.values())) <= now:
                self._end_first()
        finally:  # whatever one of them raises, the others are ended too
            due = next(iter(self._due.values()), None)
            self._timer = None if due is None else self._loop.call_at(due, self._ring)

    def _end_first(self) -> None:
        thing = next(iter(self._due))
        del self._due[thing]
        self._end(thing)
