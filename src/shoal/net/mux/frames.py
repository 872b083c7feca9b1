"""Yamux frames, and how those which leave are put together.

A header has twelve bytes: version, type, flags, stream id, length; only DATA
is followed by as many bytes as its length says.

What is written to a stream before the pump comes joins the DATA frame at the
end of the queue, until that is as large as one Noise record.  What is longer
is cut into full frames and two even ones, and these are cut anew when more
follows.  So neither small writes nor a crumb at the end of a large one cost a
record each, and a long run of writes fills every record.

Specification: hashicorp/yamux spec.md, "framing".
"""

from struct import Struct

HEADER = Struct(">BBHII")  # version, type, flags, stream id, length
LENGTH = Struct(">I")
LENGTH_AT = 8  # where the length stands in a header
DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
FRAME_DATA = 65_507  # bytes: header and data fill one Noise record of 65,519

Bytes = bytes | bytearray | memoryview


class Frames:
    """The queue of frames that leave, in pieces: headers and data are not joined here."""

    def __init__(self) -> None:
        self.out: list[Bytes] = []
        self._last: Bytes = b""  # the last piece of the last DATA frame
        self._number = 0  # its stream
        self._header = bytearray()
        self._size = 0
        self._even: memoryview | None = None  # the data of the last two frames, if cut evenly
        self._before = bytearray()  # the header of the first of these

    def control(self, kind: int, flags: int, number: int, length: int) -> None:
        """A frame without data."""
        if not self.out:  # what was written has left: let go of it
            self._last, self._even = b"", None
        self.out.append(HEADER.pack(0, kind, flags, number, length))

    def data(self, number: int, data: Bytes, size: int) -> None:
        """All these bytes, in as few frames as they need."""
        room = 0  # in the frame at the end, if nothing has been queued or taken since
        if number == self._number and self.out and self.out[-1] is self._last:
            if self._even is not None:
                self._uneven(self._even)
            room = FRAME_DATA - self._size
        if size <= room:
            self._extend(data, size)
        elif not room and size <= FRAME_DATA:
            self._begin(number, data, size)
        else:
            self._cut(number, memoryview(data), room)

    def _begin(self, number: int, data: Bytes, size: int) -> None:
        header = bytearray(HEADER.pack(0, DATA, 0, number, size))
        self.out.append(header)
        self.out.append(data)
        self._last = data
        self._number = number
        self._header = header
        self._size = size
        self._even = None

    def _extend(self, data: Bytes, size: int) -> None:
        self.out.append(data)
        self._last = data
        self._size += size
        LENGTH.pack_into(self._header, LENGTH_AT, self._size)

    def _cut(self, number: int, view: memoryview, room: int) -> None:
        if room:
            self._extend(view[:room], room)
            view = view[room:]
        while len(view) > 2 * FRAME_DATA:
            self._begin(number, view[:FRAME_DATA], FRAME_DATA)
            view = view[FRAME_DATA:]
        if len(view) <= FRAME_DATA:
            self._begin(number, view, len(view))
            return
        half = len(view) // 2
        self._begin(number, view[:half], half)
        before = self._header
        self._begin(number, view[half:], len(view) - half)
        self._even, self._before = view, before

    def _uneven(self, view: memoryview) -> None:
        """More follows: fill the first of two even frames from the second."""
        self._even = None
        rest = view[FRAME_DATA:]
        self.out[-3] = view[:FRAME_DATA]
        self.out[-1] = self._last = rest
        self._size = len(rest)
        LENGTH.pack_into(self._before, LENGTH_AT, FRAME_DATA)
        LENGTH.pack_into(self._header, LENGTH_AT, self._size)
