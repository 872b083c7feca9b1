"""What Grenache's Grapes, Links, services and callers write: JSON over HTTP and WebSocket.

A Link asks its Grape `POST /lookup` (announce, put, get) with
`{"rid": ..., "data": ...}`.  A caller sends a service `[rid, key, payload]` and
gets `[rid, error, result]`.  Errors of a Grape mostly come with status 200, as
a JSON string: they are told from results by their shape.

The names and texts are those of grenache-grape 1.0, grenache-nodejs-link 1.0
and grenache-nodejs-base 1.1.
"""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any

import msgspec

from shoal.errors import ProtocolError, RefusedError, UsageError

MESSAGE_MAX = 100 << 20  # bytes of a request or reply: the limit of Node's WebSocket
PAYLOAD_MAX = 8192  # bytes of a question to a Grape
NAME_MAX = 1000  # bytes of a service's name
GZIP = 16 + zlib.MAX_WBITS
ANSWER_LIST_MAX = 1000  # addresses in one lookup; a Grape names at most 100

HEADER_MAX = 8000  # bytes of one header of a stream; aiohttp's servers take 8190

NO_NODES = "No nodes to query"
NOBODY_TOOK_IT = "All queries failed"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Request:
    """A call as a service sees it."""

    rid: Any  # uuid4 text from all known callers, echoed whatever it is
    key: str
    payload: Any


@dataclass(slots=True)
class Reply:
    """A service's answer; `error` is the message of what went wrong."""

    rid: Any
    error: str | None
    result: Any


def encode_request(rid: str, key: str, payload: Any) -> bytes:
    return _pack([rid, key, payload])


def decode_request(data: bytes | str) -> Request:
    parts = _unpack(data)
    if not isinstance(parts, list) or len(parts) < 2 or not isinstance(parts[1], str):
        raise ProtocolError("a request is [rid, key, payload]")
    return Request(parts[0], parts[1], parts[2] if len(parts) > 2 else None)


def encode_reply(rid: Any, error: str | None, result: Any) -> bytes:
    return _pack([rid, error, result])


def decode_reply(data: bytes | str) -> Reply:
    parts = _unpack(data)
    if not isinstance(parts, list) or len(parts) < 2 or not isinstance(parts[0], str):
        raise ProtocolError("a reply is [rid, error, result]")
    error = parts[1]
    if error is not None and not isinstance(error, str):
        error = _pack(error).decode()
    return Reply(parts[0], error, parts[2] if len(parts) > 2 else None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a host, and over TLS the certificate that it showed, in DER."""

    host: str
    certificate: bytes = b""

    @property
    def fingerprint(self) -> str:
        """SHA-1 of the certificate as Node writes it: `AB:CD:...`; empty without one."""
        return self._pairs(sha1(self.certificate).hexdigest())

    @property
    def fingerprint256(self) -> str:
        return self._pairs(sha256(self.certificate).hexdigest())

    def _pairs(self, digits: str) -> str:
        return bytes.fromhex(digits).hex(":").upper() if self.certificate else ""


@dataclass(slots=True)
class StreamHead:
    """What the headers of a stream say."""

    rid: Any
    key: str
    action: str = ""
    arguments: Any = field(default_factory=dict)


def encode_head(rid: str, key: str, action: str, arguments: Any) -> dict[str, str]:
    """The headers of a stream; UsageError for what no header can say."""
    headers = {"_gr": json.dumps([rid, key])}
    if action:
        headers["_a"] = action
    if arguments is not None:
        headers["_ar"] = _header(arguments)
    return check_headers(headers)


def encode_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """A caller's own ones: texts as they are, all else as JSON."""
    texts = {
        name: value if isinstance(value, str) else _header(value) for name, value in headers.items()
    }
    return check_headers(texts)


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not (name + value).isascii() or not (name + value).isprintable():
            raise UsageError(f"a header is of printable ASCII: {name}")
        if len(name) + len(value) > HEADER_MAX:
            raise UsageError(f"a header has at most {HEADER_MAX} bytes: {name}")
    return headers


def decode_head(headers: Mapping[str, str]) -> StreamHead | None:
    """The head of a stream; None without `_gr`, ProtocolError if that cannot be read."""
    text = headers.get("_gr")
    if text is None:
        return None
    info = _unpack(_plain(text))
    parts = info if isinstance(info, list) else []
    rid, key = [*parts[:2], None, None][:2]
    head = StreamHead(rid, key if isinstance(key, str) else "", _plain(headers.get("_a", "")))
    with suppress(ProtocolError):  # as the original has it
        head.arguments = _unpack(_plain(headers.get("_ar", "{}")))
    return head


def decode_body(data: bytes, head: StreamHead) -> Request:
    """A stream to a service that takes whole requests: what its head says is left out."""
    parts = _unpack(data)
    rest = parts if isinstance(parts, list) else []
    rid, key, payload = [*rest[:3], None, None, None][:3]
    key = head.key or key
    if not isinstance(key, str):
        raise ProtocolError("a request names its service")
    return Request(head.rid or rid, key, payload)


def decode_refusal(data: bytes) -> str:
    """Why there is no stream, from the array that stands in its place."""
    parts = _unpack(data)
    if not isinstance(parts, list) or len(parts) < 2 or not isinstance(parts[1], str):
        raise ProtocolError("a refusal is [rid, error, null]")
    return parts[1]


def encode_question(rid: str, data: Any) -> bytes:
    """The body of a Link's POST."""
    body = _pack({"rid": rid, "data": data})
    if len(body) > PAYLOAD_MAX:
        raise UsageError(f"{len(body)} bytes for a Grape, which takes {PAYLOAD_MAX}")
    return body


def read_lookup(status: int, body: bytes) -> list[str]:
    """`ip:port` texts; Ruby's services may say `tcp://ip:port`."""
    answer = _answer(status, body)
    if not isinstance(answer, list):
        raise RefusedError(str(answer))
    texts = [each.removeprefix("tcp://") for each in answer if isinstance(each, str)]
    return [each for each in texts[:ANSWER_LIST_MAX] if is_address(each)]


def read_announce(status: int, body: bytes) -> int:
    """How many nodes stored it."""
    answer = _answer(status, body)
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise RefusedError(str(answer))
    return answer


def read_put(status: int, body: bytes) -> str:
    """The key: 40 hexadecimal digits."""
    answer = _answer(status, body)
    if not isinstance(answer, str) or not _is_hex(answer, 40):
        raise RefusedError(str(answer))
    return answer


def read_get(status: int, body: bytes) -> dict[str, Any] | None:
    """The value as the Grape found it, None where it found none."""
    answer = _answer(status, body)
    if answer is None or isinstance(answer, dict):
        return answer
    raise RefusedError(str(answer))


def is_address(text: str) -> bool:
    """Whether this is `host:port` with a port that can be dialled."""
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdigit() and 0 < int(port[:6]) < 65536


def compress(data: bytes) -> bytes:
    """As `grc-compress: gzip` has request and reply."""
    packer = zlib.compressobj(wbits=GZIP)
    return packer.compress(data) + packer.flush()


def decompress(data: bytes) -> bytes:
    """The plain body; one that is no gzip is used as it came, as the Node server does."""
    reader = zlib.decompressobj(wbits=GZIP)
    try:
        plain = reader.decompress(data, MESSAGE_MAX)
    except zlib.error:
        return data
    if reader.unconsumed_tail:
        raise ProtocolError(f"over {MESSAGE_MAX} bytes in a compressed message")
    return plain


def _answer(status: int, body: bytes) -> Any:
    """JSON if it parses, else text; a status that is not 2xx is a refusal."""
    try:
        answer = _decode(body) if body else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        answer = body[:500].decode("utf-8", "replace")
    if not 200 <= status < 300:
        raise RefusedError(f"{answer}" if answer is not None else f"HTTP status {status}")
    return answer


def _header(value: Any) -> str:
    try:
        return json.dumps(value)  # with nothing but ASCII
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from None


def _plain(text: str) -> str:
    """A header as it was meant: UTF-8, or what Node writes, Latin 1."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeError:
        return raw.decode("latin-1")


def _pack(value: Any) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from None


def _unpack(data: bytes | str) -> Any:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"not JSON: {error}") from None


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and all(each in "0123456789abcdef" for each in text)
