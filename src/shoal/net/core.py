"""What a wire carries: the vocabulary of all cores, and of secure sessions.

A core knows no wire.  It has the vocabulary of all cores and may
have more, which the wire looks for once:

    buffer_for_next() -> memoryview | None   the next bytes belong straight in here ...
    filled(count, now)                       ... and so many have arrived
    full                                     true: read no more until the next `wake`
    pause_writing(), resume_writing()        the other side does not keep up / does again
    finished(now)                            the other side has said all; we may still send
    connected(now)                           the pipe is open

Views given to a core are valid until it returns.
"""

from typing import Any, Protocol


class Core(Protocol):
    """A protocol without I/O."""

    @property
    def out(self) -> list[Any]: ...  # bytes-like; the wire takes and clears it

    @property
    def deadline(self) -> float | None: ...  # when `tick` must be called

    def receive(self, view: memoryview, now: float, /) -> int: ...  # how much it consumed

    def tick(self, now: float, /) -> object: ...

    def closed(self, error: Exception | None, /) -> None: ...  # called once; None: in order


class Session(Protocol):
    """A secure channel after its handshake.  With no overhead it is a stream cipher."""

    @property
    def overhead(self) -> int: ...

    def open(self, view: memoryview, /) -> tuple[list[memoryview], int]: ...

    def seal(self, parts: list[Any], /) -> list[Any]: ...
