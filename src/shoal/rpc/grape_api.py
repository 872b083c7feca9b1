"""What a Grape answers to a Link's questions, to the letter of grenache-grape 1.0.

lookup    "name"                    ["ip:port", ...]
announce  ["name", port]            how many nodes stored it
put       {"v": text, ...}          the key, 40 hexadecimal digits
get       key, {"hash", "salt"}     {"id", "token", "v", ...}; nothing if unknown
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from shoal.dht.grape.replies import NAME_MAX
from shoal.dht.grape.service import Found, GrapeDht
from shoal.dht.krpc import ID_SIZE, Refusal
from shoal.dht.mainline.items import KEY_SIZE, SALT_MAX, SEQUENCE_MAX, SIGNATURE_SIZE, Item
from shoal.errors import LimitError, RefusedError
from shoal.rpc.grenache import NOBODY_TOOK_IT

VALUE_MAX = 1000  # UTF-16 units that a value must have less than: what JavaScript counts
NOT_FOUND = "ERR_REQ_NOTFOUND"
PAYLOAD_INVALID = b"ERR_GRAPE_PAYLOAD_INVALID"
PAYLOAD_SIZE = b"ERR_GRAPE_PAYLOAD_SIZE"
FIRST_READ = {"put": "k", "get": "salt"}  # the property that the original reads first

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Reply:
    """Status and body."""

    status: int
    body: bytes


Tell = Callable[[Reply], None]


class Api:
    """The four questions."""

    def __init__(self, dht: GrapeDht) -> None:
        self._dht = dht
        self._kinds: dict[str, Callable[[Any, str, Tell], None]] = {
            "lookup": self._lookup,
            "announce": self._announce,
            "put": self._put,
            "get": self._get,
        }

    def answer(self, path: str, body: bytes | None, asker: str, tell: Tell) -> None:
        """One request; a body of None was too long.  The reply is told, now or later."""
        if body is None:
            tell(Reply(413, PAYLOAD_SIZE))
            return
        try:
            question = _decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            tell(Reply(500, PAYLOAD_INVALID))
            return
        kind = path[1:]
        data = question.get("data") if isinstance(question, dict) else None
        if question is None:
            tell(broken("null", "data"))
        elif kind not in self._kinds:
            tell(text(NOT_FOUND))
        elif data is None and kind in FIRST_READ:
            absent = not isinstance(question, dict) or "data" not in question
            tell(broken("undefined" if absent else "null", FIRST_READ[kind]))
        else:
            try:
                self._kinds[kind](data, asker, tell)
            except RefusedError as error:
                tell(text(str(error)))
            except LimitError as error:
                tell(Reply(503, str(error).encode()))

    def _lookup(self, data: Any, asker: str, tell: Tell) -> None:
        name = name_of(data)
        if name is None:
            raise RefusedError("ERR_GRAPE_LOOKUP")

        def told(found: list[tuple[str, int]]) -> None:
            tell(Reply(200, _encode([f"{host}:{port}" for host, port in found])))

        self._dht.find(name, asker, told)

    def _announce(self, data: Any, asker: str, tell: Tell) -> None:
        if not isinstance(data, list):
            raise RefusedError("ERR_GRAPE_ANNOUNCE")
        port = data[1] if len(data) > 1 else None
        if isinstance(port, float) and port.is_integer():
            port = int(port)  # JavaScript knows one kind of number
        if isinstance(port, bool) or not isinstance(port, int):
            raise RefusedError("ERR_GRAPE_SERVICE_PORT")
        name = name_of(data[0])
        if name is None:
            raise RefusedError("ERR_GRAPE_ANNOUNCE")

        def told(stored: int) -> None:
            tell(Reply(200, _encode(stored)) if stored else text(NOBODY_TOOK_IT))

        if 0 <= port < 65536:
            self._dht.announce(name, port, told)
        else:
            told(0)

    def _put(self, data: Any, asker: str, tell: Tell) -> None:
        item, cas = read_item(data)

        def told(refusal: Refusal | None) -> None:
            if refusal is None:
                tell(text(item.key.hex()))
            elif refusal.code in (301, 302):
                tell(text(f"{refusal.code} {refusal.text}", refusal.code))
            else:
                tell(text(NOBODY_TOOK_IT))

        self._dht.put(item, cas, told)

    def _get(self, data: Any, asker: str, tell: Tell) -> None:
        salt = b""
        if isinstance(data, dict):
            salt = bytes_of(data.get("salt"), "utf-8") or b""
            data = data.get("hash")
        if not isinstance(data, str):
            raise RefusedError("ERR_GRAPE_GENERIC")

        def told(found: Found | None) -> None:
            tell(Reply(200, _encode(shown(found)) if found else b""))

        key = bytes_of(data, "hex")
        if key and len(key) == ID_SIZE:
            self._dht.get(key, salt, told)
        else:
            told(None)


def text(words: str, status: int = 200) -> Reply:
    return Reply(status, _encode(words))


def broken(what: str, read: str) -> Reply:
    """What JavaScript says when it reads a property of nothing."""
    return Reply(500, f"Cannot read properties of {what} (reading '{read}')".encode())


def name_of(data: Any) -> bytes | None:
    """A service's name as it travels."""
    if not isinstance(data, str):
        return None
    name = data.encode("utf-8", "replace")
    return name if 0 < len(name) <= NAME_MAX else None


def read_item(data: Any) -> tuple[Item, int | None]:
    """The value of a put; RefusedError in the words of the original."""
    if not isinstance(data, dict) or data.get("v") is None:
        raise RefusedError("opts.v not given")
    value, cas = data["v"], data.get("cas")
    if not isinstance(value, str):
        raise RefusedError("ERR_GRAPE_GENERIC")
    if len(value.encode("utf-16-le", "replace")) // 2 >= VALUE_MAX:
        raise RefusedError("v must be less than 1000 bytes in put()")
    encoded = value.encode("utf-8", "replace")
    if data.get("k") is None:
        return Item(encoded), None
    if cas is not None and not is_integer(cas):
        raise RefusedError("opts.cas must be an integer if provided")
    key = bytes_of(data["k"], "hex")
    if key is None or len(key) != KEY_SIZE:
        raise RefusedError("opts.k ed25519 public key must be 32 bytes")
    signature = bytes_of(data.get("sig"), "hex")
    if not signature:
        raise RefusedError(
            "opts.sign function or options.sig signature is required for mutable put"
        )
    salt = bytes_of(data.get("salt"), "utf-8") or b""
    if len(salt) > SALT_MAX:
        raise RefusedError("opts.salt is > 64 bytes long")
    if data.get("seq") is None:
        raise RefusedError("opts.seq not provided for a mutable update")
    if not is_integer(data["seq"]):
        raise RefusedError("opts.seq not an integer")
    if len(signature) != SIGNATURE_SIZE or not 0 <= data["seq"] <= SEQUENCE_MAX:
        raise RefusedError(NOBODY_TOOK_IT)
    return Item(encoded, key, int(data["seq"]), signature, salt), cas


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def bytes_of(value: Any, encoding: str) -> bytes | None:
    """Bytes given as text, or as JavaScript writes a Buffer; None if they are neither."""
    if isinstance(value, str):
        with suppress(msgspec.DecodeError, RecursionError):
            value = _decode(value) if value[:1] in "[{" else value
    if isinstance(value, dict) and value.get("type") == "Buffer":
        value = value.get("data")
    with suppress(ValueError, TypeError):
        if isinstance(value, list):
            return bytes(value)
        if isinstance(value, str):
            return bytes.fromhex(value) if encoding == "hex" else value.encode()
    return None


def shown(found: Found) -> dict[str, Any]:
    """A value as `get` gives it."""
    item = found.item
    value = item.value
    record: dict[str, Any] = {
        "id": found.node_id.hex(),
        "token": found.token.hex() if found.token is not None else None,
        "v": value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value),
    }
    if item.public_key:
        record |= {"k": item.public_key.hex(), "sig": item.signature.hex(), "seq": item.sequence}
        if item.salt:
            record["salt"] = item.salt.decode("utf-8", "replace")
    return record
