"""HTTP/1.1 as a small server needs it: requests in, replies out, on one connection.

For servers that answer thousands of short requests a second, such as a Grape's
API; what serves more than that (streams, WebSocket) uses aiohttp.  RFC 9112,
without trailers' meaning and without upgrades.
"""

from dataclasses import dataclass

from shoal.errors import ProtocolError

HEAD_MAX = 16_384  # bytes of a request line and its headers
PORTION = 16_384  # bytes that are cut at a time: each cut copies what is left of them
REASONS = {
    200: "OK",
    301: "Moved Permanently",
    302: "Found",
    400: "Bad Request",
    413: "Payload Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
CHUNK_LINE_MAX = 100  # bytes of a chunk's size and extensions


@dataclass(slots=True)
class Request:
    """One request; `body` is None if it was longer than allowed."""

    method: str
    path: str
    body: bytes | None
    keep: bool  # the connection may be used again


@dataclass(slots=True)
class _Head:
    method: str
    path: str
    keep: bool
    length: int  # -1: chunked
    expects: bool


class Requests:
    """Cuts what arrives on a connection into requests.

    After an `error` or a body that is too long the connection is of no use.
    """

    def __init__(self, body_max: int) -> None:
        self.body_max = body_max
        self.error: ProtocolError | None = None  # what came after the requests is none
        self.expected = False  # the client waits for `100 Continue`
        self._buffer = b""
        self._head: _Head | None = None
        self._last: tuple[bytes, _Head] | None = None  # one client's heads are mostly the same
        self._body = bytearray()

    @property
    def idle(self) -> bool:
        """Between two requests."""
        return not self._buffer and self._head is None

    def receive(self, data: bytes) -> list[Request]:
        requests: list[Request] = []
        try:
            if len(data) <= PORTION:
                self._cut(data, requests)
            else:
                for start in range(0, len(data), PORTION):
                    self._cut(data[start : start + PORTION], requests)
        except ProtocolError as error:
            self.error = error
            self._buffer = b""
        return requests

    def _cut(self, data: bytes, requests: list[Request]) -> None:
        if self.error is not None:
            return  # nobody reads it, and it must not pile up
        self._buffer = self._buffer + data if self._buffer else data
        while (request := self._next()) is not None:
            requests.append(request)
            if request.body is None:
                raise ProtocolError("the body of a request is too long")

    def _next(self) -> Request | None:
        if self._head is None and not self._read_head():
            return None
        head = self._head
        assert head is not None
        body = self._read_chunks() if head.length < 0 else self._read_body(head.length)
        if body is None:
            if len(self._body) <= self.body_max and head.length <= self.body_max:
                return None
            return Request(head.method, head.path, None, keep=False)
        self._head = None
        return Request(head.method, head.path, body, head.keep)

    def _read_head(self) -> bool:
        buffer = self._buffer.lstrip(b"\r\n") if self._buffer[:1] in b"\r\n" else self._buffer
        end = buffer.find(b"\r\n\r\n")
        self._buffer = buffer
        if end < 0:
            if len(buffer) > HEAD_MAX:
                raise ProtocolError("the head of a request is too long")
            return False
        if end > HEAD_MAX:
            raise ProtocolError("the head of a request is too long")
        self._buffer = buffer[end + 4 :]
        data = buffer[:end]
        if self._last is None or self._last[0] != data:
            self._last = data, read_head(data)
        head = self._head = self._last[1]
        if head.length < 0:
            self._body.clear()
        self.expected = head.expects
        return True

    def _read_body(self, length: int) -> bytes | None:
        if length > self.body_max or len(self._buffer) < length:
            return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _read_chunks(self) -> bytes | None:
        """The whole body once its last chunk is there; what has come of it is kept meanwhile."""
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0 or end > CHUNK_LINE_MAX:
                if len(self._buffer) > CHUNK_LINE_MAX:
                    raise ProtocolError("a chunk has no size")
                return None
            size = number(self._buffer[:end].partition(b";")[0].strip(), 16)
            if not size:
                return self._last_chunk(end)
            if len(self._body) + size > self.body_max:
                self._body += bytes(self.body_max + 1 - len(self._body))  # too long: say so
                return None
            start = end + 2
            if len(self._buffer) < start + size + 2:
                return None
            self._body += self._buffer[start : start + size]
            self._buffer = self._buffer[start + size + 2 :]

    def _last_chunk(self, end: int) -> bytes | None:
        if self._buffer[end + 2 : end + 4] == b"\r\n":
            self._buffer = self._buffer[end + 4 :]
        else:  # trailers, which say nothing to us
            over = self._buffer.find(b"\r\n\r\n", end)
            if over < 0:
                if len(self._buffer) > HEAD_MAX:
                    raise ProtocolError("the trailers of a request are too long")
                return None
            self._buffer = self._buffer[over + 4 :]
        return bytes(self._body)


def read_head(data: bytes) -> _Head:
    """A request line and headers, without the empty line."""
    lines = data.split(b"\r\n")
    parts = lines[0].decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise ProtocolError("no request of HTTP/1")
    length, closes, chunked, expects = 0, parts[2] == "HTTP/1.0", False, False
    lengths = 0
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name == b"content-length":
            length = number(value.strip(), 10)
            lengths += 1
        elif name == b"transfer-encoding":
            chunked = value.strip().lower() == b"chunked"
            if not chunked:
                raise ProtocolError("a transfer encoding that is not known")
        elif name == b"connection":
            said = value.strip().lower()
            closes = said == b"close" or (closes and said != b"keep-alive")
        elif name == b"expect":
            expects = True
    if lengths > 1 or (lengths and chunked):  # RFC 9112, 6.3: that is how requests are smuggled
        raise ProtocolError("a request with two lengths")
    return _Head(parts[0], parts[1], not closes, -1 if chunked else length, expects)


def number(text: bytes, base: int) -> int:
    """A size; Python's own reading would allow signs, spaces and underscores."""
    digits = b"0123456789abcdef"[:base]
    if not text or len(text) > 15 or text.lower().strip(digits):
        raise ProtocolError("a size that is none")
    return int(text, base)


def encode_reply(status: int, body: bytes, *, keep: bool = True) -> bytes:
    phrase = REASONS.get(status, "Unknown")
    connection = "keep-alive" if keep else "close"
    return (
        f"HTTP/1.1 {status} {phrase}\r\n"
        f"Connection: {connection}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
