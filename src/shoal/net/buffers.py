"""Receive buffers shared by many wires: an idle connection holds none."""

READ_SIZE = 256 * 1024  # bytes that one system call may bring; four Noise records
SPARE_BUFFERS = 4  # kept by a pool; a loop needs one, and more only while frames are incomplete


class Buffers:
    """A pool: `take` one for as long as bytes wait in it, then `give` it back."""

    def __init__(self, size: int = READ_SIZE, spare: int = SPARE_BUFFERS) -> None:
        self.size = size
        self._spare = spare
        self._free: list[memoryview] = []

    def take(self) -> memoryview:
        return self._free.pop() if self._free else memoryview(bytearray(self.size))

    def give(self, view: memoryview) -> None:
        if len(view) == self.size and len(self._free) < self._spare:
            self._free.append(view)
