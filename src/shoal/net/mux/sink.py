"""What a muxer tells whoever reads and writes a stream, by plain calls.

An object per chunk would cost more than the chunk: a muxer calls its sinks
while it parses.  The other direction is three calls of the muxer: `send`,
`consumed` and `end`.
"""

from typing import Literal, Protocol

from shoal.errors import ShoalError

How = Literal["write", "close", "reset"]
# write: we have said everything and still listen; close: we do not listen any
# more either, what still comes is dropped; reset: both sides forget the rest.


class Sink(Protocol):
    """The owner of one stream."""

    def received(self, data: memoryview) -> None:
        """Take these bytes: the view is overwritten after the call."""

    def ended(self, error: ShoalError | None) -> None:
        """The peer has said everything (None) or the stream is dead (an error).

        With an error nothing follows and nothing can be sent; after None the
        writing side goes on, and an error may still come.
        """

    def writable(self) -> None:
        """A `send` which took less than it was given would take more now."""


class Deaf:
    """The sink of a stream that nobody reads any more."""

    def received(self, data: memoryview) -> None:
        pass

    def ended(self, error: ShoalError | None) -> None:
        pass

    def writable(self) -> None:
        pass
