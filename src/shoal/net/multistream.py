"""Multistream-select 1.0: two sides agree on the protocol of a stream.

A message is a line of text with its length in front.  Both sides send the
header, neither waits for the other's.  The dialer proposes one protocol after
another; the listener echoes the first it speaks and answers `na` to the rest.
After the echo the stream belongs to the protocol.

A dialer who is sure of its only proposal may be lazy: it sends application
bytes right behind the proposal and reads the echo when it reads the answer.

Specification: libp2p/specs connections/README.md, multiformats/multistream-select.
"""

from collections.abc import Container, Sequence

from shoal.errors import NotFoundError, ProtocolError, UsageError

HEADER = "/multistream/1.0.0"
NOT_AVAILABLE = "na"
MESSAGE_MAX = 1024  # bytes with the newline: what go and js accept
PROPOSALS_MAX = 64  # a listener answers no more; others try 30 at most
_LENGTH_MAX = 2  # bytes of a length up to MESSAGE_MAX


def encode(text: str) -> bytes:
    """One message: length, text, newline."""
    line = text.encode() + b"\n"
    if len(line) > MESSAGE_MAX:
        raise UsageError(f"a protocol name of {len(line)} bytes")
    size = len(line)
    length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    return length + line


def decode(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[str, int] | None:
    """The message at an offset and where it ends; None if it is not whole yet."""
    if offset >= len(data):
        return None
    size = data[offset]
    start = offset + 1
    if size >= 0x80:
        if start >= len(data):
            return None
        if not 0 < data[start] < 0x80:
            raise ProtocolError("multistream message with a bad length")
        size = size & 0x7F | data[start] << 7
        start += 1
    if not 0 < size <= MESSAGE_MAX:
        raise ProtocolError(f"multistream message of {size} bytes")
    end = start + size
    if end > len(data):
        return None
    line = bytes(data[start:end])
    if line[-1:] != b"\n":
        raise ProtocolError("multistream message without a newline")
    try:
        return line[:-1].decode(), end
    except UnicodeDecodeError:
        raise ProtocolError("multistream message that is not text") from None


class _Reader:
    """Cuts messages from chunks and takes no byte beyond what it is asked for."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def read(self, data: bytes | memoryview, at: int) -> tuple[str | None, int]:
        """The next message, or None, and how far `data` is used up."""
        held = len(self._partial)
        # What is held is less than one message, so this copies at most one more.
        self._partial += data[at : at + MESSAGE_MAX + _LENGTH_MAX]
        found = decode(self._partial)
        if found is None:
            return None, at + len(self._partial) - held
        text, end = found
        self._partial.clear()
        return text, at + end - held


class Dialer:
    """Proposes protocols in order; `protocol` is the agreed one when `done`."""

    def __init__(self, protocols: Sequence[str]) -> None:
        if not protocols:
            raise UsageError("no protocol to propose")
        self.out: list[bytes] = [encode(HEADER) + encode(protocols[0])]
        self.done = False
        self.protocol = protocols[0]  # if lazy, known before it is agreed
        self._rest = list(protocols[1:])
        self._refused: list[str] = []
        self._greeted = False
        self._reader = _Reader()

    def receive(self, data: bytes | memoryview) -> int:
        """Take bytes up to the end of the agreement; NotFoundError if there is none."""
        at = 0
        while not self.done:
            text, at = self._reader.read(data, at)
            if text is None:
                break
            self._message(text)
        return at

    def _message(self, text: str) -> None:
        if not self._greeted:
            if text != HEADER:
                raise ProtocolError("the peer does not speak multistream-select")
            self._greeted = True
        elif text == self.protocol:
            self.done = True
        elif text == NOT_AVAILABLE:
            self._propose_next()
        else:
            raise ProtocolError("the peer agreed to what was not proposed")

    def _propose_next(self) -> None:
        self._refused.append(self.protocol)
        if not self._rest:
            raise NotFoundError(f"the peer does not speak {', '.join(self._refused)}")
        self.protocol = self._rest.pop(0)
        self.out.append(encode(self.protocol))


class Listener:
    """Answers proposals; `protocol` is the agreed one when `done`."""

    def __init__(self, supported: Container[str]) -> None:
        self.out: list[bytes] = [encode(HEADER)]
        self.done = False
        self.protocol: str | None = None
        self._supported = supported
        self._greeted = False
        self._proposals = 0
        self._reader = _Reader()

    def receive(self, data: bytes | memoryview) -> int:
        """Take bytes up to the end of the agreement; what follows belongs to the protocol."""
        at = 0
        while not self.done:
            text, at = self._reader.read(data, at)
            if text is None:
                break
            self._message(text)
        return at

    def _message(self, text: str) -> None:
        if not self._greeted:
            if text != HEADER:
                raise ProtocolError("the peer does not speak multistream-select")
            self._greeted = True
            return
        self._proposals += 1
        if self._proposals > PROPOSALS_MAX:
            raise ProtocolError(f"more than {PROPOSALS_MAX} proposals")
        if text in self._supported:
            self.protocol = text
            self.done = True
        self.out.append(encode(text if self.done else NOT_AVAILABLE))
