"""What has arrived of a stream and was not understood yet.

A parser appends what the peer sent and takes whole elements from the front.
The limit is the longest element that the protocol allows: a peer that sends
more than that without completing an element is wasting our memory.
"""

from shoal.errors import ProtocolError, UsageError

COMPACT = 4096  # bytes taken before the rest is moved to the front: fewer moves than takes


class Buffer:
    """Bytes in arrival order; at most `limit` of them wait."""

    __slots__ = ("_data", "_start", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()
        self._start = 0  # what lies before was taken

    def __len__(self) -> int:
        return len(self._data) - self._start

    def append(self, data: bytes | bytearray | memoryview) -> None:
        if len(self) + len(data) > self.limit:
            raise ProtocolError(f"more than {self.limit} bytes without an end")
        self._data += data

    def peek(self, count: int | None = None) -> bytes:
        """The first bytes, fewer if fewer are here; they stay."""
        end = len(self._data) if count is None else self._start + _checked(count)
        return bytes(memoryview(self._data)[self._start : end])

    def take(self, count: int) -> bytes | None:
        """Exactly `count` bytes, or None while they are not all here."""
        if _checked(count) > len(self):
            return None
        taken = self.peek(count)
        self._drop(count)
        return taken

    def take_all(self) -> bytes:
        taken = self.peek()
        self._drop(len(taken))
        return taken

    def take_until(self, separator: bytes) -> bytes | None:
        """The bytes before the separator, which is taken too; None while it is not here."""
        found = self._data.find(separator, self._start)
        if found < 0:
            return None
        taken = self.peek(found - self._start)
        self._drop(len(taken) + len(separator))
        return taken

    def _drop(self, count: int) -> None:
        self._start += count
        if self._start == len(self._data):
            self._data.clear()
            self._start = 0
        elif self._start >= COMPACT and self._start * 2 >= len(self._data):
            del self._data[: self._start]
            self._start = 0


def _checked(count: int) -> int:
    if count < 0:
        raise UsageError("a count of bytes cannot be negative")
    return count
