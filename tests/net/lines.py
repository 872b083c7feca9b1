"""Small cores and a byte transform for the tests of the wire."""

from typing import Any

from shoal.errors import ProtocolError


class LineEcho:
    """Sends each line back; a line of `bye` breaks the rules."""

    def __init__(self, line_max: int = 1000) -> None:
        self.out: list[Any] = []
        self.deadline: float | None = None
        self.line_max = line_max
        self.lines: list[bytes] = []
        self.ends: list[Exception | None] = []

    def receive(self, view: memoryview, now: float) -> int:
        *lines, rest = bytes(view).split(b"\n")
        for line in lines:
            if line == b"bye":
                self.out.append(b"sorry\n")
                raise ProtocolError("it said bye")
            self.lines.append(line)
            self.out.append(line + b"\n")
        if len(rest) > self.line_max:
            raise ProtocolError("a line too long")
        return len(view) - len(rest)

    def tick(self, now: float) -> None:
        self.deadline = None

    def closed(self, error: Exception | None) -> None:
        self.ends.append(error)


class Flip:
    """A stream cipher that keeps no secret: every bit turned over, in place."""

    overhead = 0

    def open(self, view: memoryview) -> tuple[list[memoryview], int]:
        view[:] = bytes(view).translate(FLIPPED)
        return [view], len(view)

    def seal(self, parts: list[Any]) -> list[Any]:
        return [bytes(part).translate(FLIPPED) for part in parts]


FLIPPED = bytes(255 - byte for byte in range(256))


class Records:
    """Like Noise: a length before each part, so that only whole records can be opened."""

    overhead = 2

    def open(self, view: memoryview) -> tuple[list[memoryview], int]:
        plain, at = [], 0
        while at + 2 <= len(view):
            end = at + 2 + int.from_bytes(view[at : at + 2], "big")
            if end > len(view):
                break
            plain.append(view[at + 2 : end])
            at = end
        return plain, at

    def seal(self, parts: list[Any]) -> list[Any]:
        return [len(part).to_bytes(2, "big") + bytes(part) for part in parts]


class Block:
    """Reads a length of four bytes and then so many bytes, straight into their place."""

    def __init__(self) -> None:
        self.out: list[Any] = []
        self.deadline: float | None = None
        self.place = bytearray()
        self.have = 0
        self.scattered = 0

    def receive(self, view: memoryview, now: float) -> int:
        used = 0
        if not self.place:
            if len(view) < 4:
                return 0
            self.place = bytearray(int.from_bytes(view[:4], "big"))
            used = 4
        part = view[used : used + len(self.place) - self.have]
        self.place[self.have : self.have + len(part)] = part
        self.have += len(part)
        return used + len(part)

    def buffer_for_next(self) -> memoryview | None:
        left = len(self.place) - self.have
        return memoryview(self.place)[self.have :] if left else None

    def filled(self, count: int, now: float) -> None:
        self.have += count
        self.scattered += count

    def tick(self, now: float) -> None: ...

    def closed(self, error: Exception | None) -> None: ...
