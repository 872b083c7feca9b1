"""Values that prove themselves: what put and get move.

An immutable item lies under the hash of its value.  A mutable one lies under
the hash of a public key (and a salt, so that one key can own many), is signed
by it and has a sequence number: of two, the higher is the current one.
Whoever hands us an item can therefore not change it, only withhold it.

BEP 44.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shoal.codec import bencode
from shoal.dht.krpc import BAD_SIGNATURE, PROTOCOL_ERROR, SALT_TOO_BIG, TOO_BIG, Fields
from shoal.errors import ProtocolError, UsageError

VALUE_MAX = 1000  # bytes, bencoded
SALT_MAX = 64  # bytes
KEY_SIZE, SIGNATURE_SIZE = 32, 64  # bytes, Ed25519
SEQUENCE_MAX = 2**63 - 1


@dataclass(slots=True, frozen=True)
class Item:
    """A value; immutable unless it has a public key."""

    value: Any
    public_key: bytes = b""
    sequence: int = 0
    signature: bytes = b""
    salt: bytes = b""

    @property
    def encoded(self) -> bytes:
        return bencode.encode(self.value)

    @property
    def key(self) -> bytes:
        """Where it lies."""
        content = self.public_key + self.salt if self.public_key else self.encoded
        return sha1(content).digest()


def signed_part(encoded: bytes, sequence: int, salt: bytes) -> bytes:
    """What a mutable item's signature covers."""
    salted = b"4:salt%d:%s" % (len(salt), salt) if salt else b""
    return salted + b"3:seqi%de1:v%s" % (sequence, encoded)


def make_mutable(
    value: Any,
    public_key: bytes,
    sign: Callable[[bytes], bytes],
    *,
    sequence: int,
    salt: bytes = b"",
) -> Item:
    """Raises UsageError if it would be refused everywhere."""
    if len(salt) > SALT_MAX:
        raise UsageError(f"a salt has at most {SALT_MAX} bytes")
    if not 0 <= sequence <= SEQUENCE_MAX:
        raise UsageError("a sequence number lies between 0 and 2^63 - 1")
    encoded = _checked_size(value)
    return Item(value, public_key, sequence, sign(signed_part(encoded, sequence, salt)), salt)


def make_immutable(value: Any) -> Item:
    _checked_size(value)
    return Item(value)


def _checked_size(value: Any) -> bytes:
    encoded = bencode.encode(value)
    if len(encoded) > VALUE_MAX:
        raise UsageError(f"a value has at most {VALUE_MAX} bytes when bencoded")
    return encoded


def fault_of(item: Item, *, most: int = VALUE_MAX) -> tuple[int, str] | None:
    """Why nobody should keep the item: a code of BEP 44 and a text."""
    encoded = item.encoded
    if len(encoded) > most:
        return TOO_BIG, "value is over 1000 bytes"
    if not item.public_key:
        return None
    if len(item.salt) > SALT_MAX:
        return SALT_TOO_BIG, "salt is over 64 bytes"
    if len(item.public_key) != KEY_SIZE or len(item.signature) != SIGNATURE_SIZE:
        return PROTOCOL_ERROR, "invalid 'k' or 'sig'"
    if not 0 <= item.sequence <= SEQUENCE_MAX:
        return PROTOCOL_ERROR, "invalid 'seq'"
    try:
        key = Ed25519PublicKey.from_public_bytes(item.public_key)
        key.verify(item.signature, signed_part(encoded, item.sequence, item.salt))
    except (InvalidSignature, ValueError):
        return BAD_SIGNATURE, "invalid signature"
    return None


def to_fields(item: Item) -> Fields:
    """The item as in a get's result; a put adds salt and cas."""
    fields: Fields = {b"v": item.value}
    if item.public_key:
        fields |= {b"k": item.public_key, b"seq": item.sequence, b"sig": item.signature}
    return fields


def from_fields(fields: Fields, salt: bytes = b"") -> Item | None:
    """None if there is no value; ProtocolError if its parts are of the wrong kind."""
    if b"v" not in fields:
        return None
    if b"k" not in fields:
        return Item(fields[b"v"])
    key, sequence, signature = fields[b"k"], fields.get(b"seq"), fields.get(b"sig")
    if not (isinstance(key, bytes) and isinstance(signature, bytes) and isinstance(sequence, int)):
        raise ProtocolError("mutable item lacks a key, a signature or a sequence number")
    return Item(fields[b"v"], key, sequence, signature, salt)


def accept(fields: Fields, key: bytes, salt: bytes = b"", *, most: int = VALUE_MAX) -> Item | None:
    """The item of a result if it belongs under the key, else None; or ProtocolError."""
    item = from_fields(fields, salt)
    if item is None or item.key != key or fault_of(item, most=most):
        return None
    return item
