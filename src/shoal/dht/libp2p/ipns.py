"""Names that their owner can point elsewhere: IPNS records.

The key is `/ipns/` and a peer id; the record says what the name stands for,
until when and with which sequence number, signed by the peer's key.  Of two
the higher sequence counts, then the later end.

specs.ipfs.tech, IPNS Record: the signature covers `data`, a DAG-CBOR map whose
entries are repeated as fields 1 and 3 to 6.  Only signature V2 proves anything.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from shoal.codec.protobuf import Message, field
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey, PublicKey

IPNS = b"/ipns/"
RECORD_MAX = 10 * 1024  # bytes
END_OF_LIFE = 0  # the only validity type: the record is good until a time
DOMAIN = b"ipns-signature:"
TTL = 5 * 60 * 10**9  # nanoseconds that a resolver may keep it: kubo's default
ENTRIES_MAX = 64  # of the map; five are known
NAMES = ("TTL", "Value", "Sequence", "Validity", "ValidityType")  # in the order of DAG-CBOR

_UINT, _BYTES, _TEXT, _MAP = 0, 2, 3, 5  # CBOR's major types
Value = int | bytes


class EntryMessage(Message):
    """An IPNS record on the wire."""

    value: bytes = field(1)
    signature_v1: bytes = field(2)
    validity_type: int = field(3)
    validity: bytes = field(4)
    sequence: int = field(5)
    ttl: int = field(6)
    public_key: bytes = field(7)
    signature: bytes = field(8)
    data: bytes = field(9)


@dataclass(slots=True, frozen=True)
class Name:
    """What a record says."""

    value: bytes
    sequence: int
    ends: float  # seconds since 1970
    validity: bytes  # the same as text


def seal(
    key: PrivateKey, value: bytes, *, sequence: int, ends: float, ttl: int = TTL
) -> tuple[bytes, bytes]:
    """The key of our name, and a record which says what it stands for until `ends`."""
    peer = PeerId.of(key.public)
    validity = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
    entries: list[Value] = [ttl, value, sequence, validity, END_OF_LIFE]
    data = encode_map(dict(zip(NAMES, entries, strict=True)))
    inlined = peer.public_key is not None
    return IPNS + peer.bytes, EntryMessage(
        value=value,
        validity_type=END_OF_LIFE,
        validity=validity,
        sequence=sequence,
        ttl=ttl,
        public_key=b"" if inlined else key.public.encode(),
        signature=key.sign(DOMAIN + data),
        data=data,
    ).encode()


def read(key: bytes, record: bytes) -> Name:
    """What a record says, after its signature was verified; ProtocolError otherwise."""
    if len(record) > RECORD_MAX:
        raise ProtocolError(f"IPNS record of {len(record)} bytes, at most {RECORD_MAX} are allowed")
    entry = EntryMessage.decode(record)
    owner = _owner(PeerId(key.removeprefix(IPNS)), entry)
    if not owner.verify(DOMAIN + entry.data, entry.signature):
        raise ProtocolError("the signature of an IPNS record is wrong")
    fields = [entry.ttl, entry.value, entry.sequence, entry.validity, entry.validity_type]
    signed = decode_map(entry.data)
    if [signed.get(name) for name in NAMES] != fields:
        raise ProtocolError("an IPNS record says something else than what was signed")
    if entry.validity_type != END_OF_LIFE:
        raise ProtocolError(f"IPNS record with the unknown validity type {entry.validity_type}")
    return Name(entry.value, entry.sequence, _time(entry.validity), entry.validity)


class Names:
    """/ipns/ID: what the owner of the id says now."""

    def check(self, key: bytes, value: bytes, today: float) -> None:
        if read(key, value).ends <= today:
            raise ProtocolError("this IPNS record has expired")

    def better(self, one: bytes, other: bytes) -> bool:
        return _rank(one) > _rank(other)


def _rank(record: bytes) -> tuple[int, float]:
    entry = EntryMessage.decode(record)
    return entry.sequence, _time(entry.validity)


def _owner(peer: PeerId, entry: EntryMessage) -> PublicKey:
    if entry.public_key:
        key = PublicKey.decode(entry.public_key)
        if not peer.belongs_to(key):
            raise ProtocolError("an IPNS record has a key that is not its owner's")
        return key
    inlined = peer.public_key
    if inlined is None:
        raise ProtocolError("an IPNS record lacks the key of its owner")
    return inlined


def _time(validity: bytes) -> float:
    """RFC 3339, with up to nine digits after the second."""
    try:
        whole, _, rest = validity.decode("ascii").removesuffix("Z").partition(".")
        moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
        return moment.timestamp() + float(f"0.{rest or 0}")
    except (ValueError, OverflowError) as error:
        raise ProtocolError("the validity of an IPNS record is no time") from error


# The little of DAG-CBOR that is needed: one map from texts to numbers and bytes.


def encode_map(entries: dict[str, Value]) -> bytes:
    """The shorter names first, and those of one length in order."""
    parts = [_head(_MAP, len(entries))]
    for name, value in sorted(entries.items(), key=lambda entry: (len(entry[0]), entry[0])):
        parts += (_head(_TEXT, len(name)), name.encode())
        parts += (_head(_UINT, value),) if isinstance(value, int) else ()
        parts += (_head(_BYTES, len(value)), value) if isinstance(value, bytes) else ()
    return b"".join(parts)


def decode_map(data: bytes) -> dict[str, Value]:
    """ProtocolError for anything else, and for entries of other kinds."""
    major, count, at = _read_head(data, 0)
    if major != _MAP or count > ENTRIES_MAX:
        raise ProtocolError("CBOR that is no map, or too long a one")
    entries: dict[str, Value] = {}
    for _ in range(count):
        name, at = _read_value(data, at, _TEXT)
        value, at = _read_value(data, at, _UINT, _BYTES)
        assert isinstance(name, bytes), "a text is one"
        entries[name.decode("utf-8", "replace")] = value
    if at != len(data):
        raise ProtocolError("bytes after a map in CBOR")
    return entries


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major << 5 | number,))
    size = next(size for size in range(4) if number < 1 << (8 << size))
    return bytes((major << 5 | 24 + size,)) + number.to_bytes(1 << size)


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, number, and where the head ends."""
    if at >= len(data):
        raise ProtocolError("CBOR is cut short")
    major, small = data[at] >> 5, data[at] & 31
    if small < 24:
        return major, small, at + 1
    if small > 27:
        raise ProtocolError("CBOR of a kind that DAG-CBOR does not have")
    end = at + 1 + (1 << small - 24)
    if end > len(data):
        raise ProtocolError("CBOR is cut short")
    return major, int.from_bytes(data[at + 1 : end]), end


def _read_value(data: bytes, at: int, *majors: int) -> tuple[Value, int]:
    """A number, or the bytes of anything else."""
    major, number, at = _read_head(data, at)
    if major not in majors:
        raise ProtocolError(f"CBOR of major type {major} where none may be")
    if major == _UINT:
        return number, at
    if at + number > len(data):
        raise ProtocolError("CBOR is cut short")
    return data[at : at + number], at + number
