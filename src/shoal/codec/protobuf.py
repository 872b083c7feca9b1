"""Protocol Buffers: the subset that libp2p's messages use.

A message is a run of fields: varint(number << 3 | wire type) ‖ value.  Wire
types: 0 varint, 1 eight bytes, 2 length ‖ bytes, 5 four bytes.  A message is
declared once, and its class is a dataclass:

    class Peer(Message):
        id: bytes = field(1)
        addresses: list[bytes] = field(2, most=64)
        nickname: str | None = field(3)
        age: int = field(4, signed=True)

An int is uint64 or an enum (int64 and int32 with `signed`); bool, bytes and str
are themselves; a Message is nested; a list repeats.  An `X | None` is None when
absent, as nested messages should be; anything else is zero then.  Zeros are not
written, unless the field is `X | None` or says `always`.  Fields are written in
the order of declaration: that of their numbers (only dag-pb wants another).

Unknown fields are skipped.  `merge` reads a further message into a first:
single values are replaced, lists grow, nested messages merge.

protobuf.dev, "Encoding".  Groups (wire types 3 and 4) are refused.
"""

from dataclasses import dataclass, field as dataclass_field
from types import NoneType
from typing import (
    Any,
    ClassVar,
    NamedTuple,
    Self,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from shoal.errors import ProtocolError, UsageError

LENGTH_MAX = 4 * 1024 * 1024  # bytes of a message; the longest of libp2p (Bitswap, kad) have 4 MiB
DEPTH_MAX = 16  # messages in messages; the deepest of libp2p have 4
FIELDS_MAX = 65_536  # with those of nested messages: one of 2 bytes takes 300 in memory

_VARINT, _BYTES = 0, 2  # the wire types that we write
_FIXED = {1: 8, 5: 4}  # and those that we only skip -> bytes
_BITS_64 = (1 << 64) - 1
_VARINT_MAX = 10  # bytes
_SMALL = tuple(bytes((value,)) for value in range(0x80))
_NUMBER_MAX = (1 << 29) - 1


class _Options(NamedTuple):
    number: int
    signed: bool
    always: bool
    most: int


def field(
    number: int, *, signed: bool = False, always: bool = False, most: int = FIELDS_MAX
) -> Any:
    """A field of a message; a list longer than `most` is refused."""
    if not 0 < number <= _NUMBER_MAX:
        raise UsageError(f"{number} is not a field number")
    return _Options(number, signed, always, most)


@dataclass_transform()
class Message:
    """The base of all messages: inheritance, because that is how mypy learns of fields."""

    _fields: ClassVar[dict[int, "_Field"]]  # by what stands before each value

    def __init_subclass__(cls) -> None:
        cls._fields = {}
        for name, hint in get_type_hints(cls, localns={cls.__name__: cls}).items():
            options = vars(cls).get(name)
            if isinstance(options, _Options):
                known = _Field.declare(name, hint, options)
                if known.key in cls._fields:
                    raise UsageError(f"{name}: field number {options.number} is taken")
                cls._fields[known.key] = known
                setattr(cls, name, known.default())
        dataclass(cls)

    def encode(self) -> bytes:
        parts: list[bytes] = []
        for known in self._fields.values():
            value = getattr(self, known.name)
            if known.repeated:
                for item in value:
                    known.write(item, parts)
            elif value or (value is not None and known.written_when_zero):
                known.write(value, parts)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        message = cls()
        message.merge(data)
        return message

    def merge(self, data: bytes | memoryview) -> None:
        """Read a message into this one, which is spoilt if that ends in a ProtocolError."""
        if len(data) > LENGTH_MAX:
            raise ProtocolError(f"message of {len(data)} bytes, at most {LENGTH_MAX} are allowed")
        _Reader(bytes(data)).read(self, 0, len(data), DEPTH_MAX)


class _Field(NamedTuple):
    """A declared field, ready to be read and written."""

    name: str
    key: int
    prefix: bytes  # the key as a varint
    kind: type[Any]
    signed: bool
    most: int
    repeated: bool
    zero: Any
    written_when_zero: bool
    is_number: bool
    is_message: bool
    is_plain: bool  # what is on the wire is the value

    @classmethod
    def declare(cls, name: str, hint: Any, options: _Options) -> "_Field":
        kinds = [kind for kind in get_args(hint) if kind is not NoneType] or [hint]
        kind = kinds[0]
        if len(kinds) > 1 or (
            kind not in (int, bool, bytes, str) and not issubclass(kind, Message)
        ):
            raise UsageError(f"{name}: a field cannot be {hint}")
        repeated = get_origin(hint) is list
        is_number, is_message = issubclass(kind, int), issubclass(kind, Message)
        optional = is_message or (kind is not hint and not repeated)
        key = options.number << 3 | (_VARINT if is_number else _BYTES)
        return cls(
            name=name,
            key=key,
            prefix=_encode_varint(key),
            kind=kind,
            signed=options.signed,
            most=options.most,
            repeated=repeated,
            zero=None if optional else kind(),
            written_when_zero=optional or options.always,
            is_number=is_number,
            is_message=is_message,
            is_plain=kind is bytes or (kind is int and not options.signed),
        )

    def default(self) -> Any:
        if self.repeated:
            return dataclass_field(default_factory=list)
        return dataclass_field(default=self.zero)

    def write(self, value: Any, parts: list[bytes]) -> None:
        if self.is_number:
            low, high = (-(1 << 63), 1 << 63) if self.signed else (0, 1 << 64)
            if not low <= value < high:
                raise UsageError(f"{self.name} cannot be {value}")
            parts += (self.prefix, _encode_varint(value & _BITS_64))
            return
        data = value if self.kind is bytes else value.encode()
        parts += (self.prefix, _encode_varint(len(data)), data)

    def convert(self, value: Any) -> Any:
        """What is on the wire (a number of 64 bits, or bytes) as what the class says."""
        if self.kind is bool:
            return value != 0
        if self.kind is int:
            return value - (1 << 64) if self.signed and value >> 63 else value
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"{self.name} is not UTF-8") from error

    def keep(self, message: Message, value: Any) -> None:
        if not self.repeated:
            setattr(message, self.name, value)
            return
        items = getattr(message, self.name)
        if len(items) >= self.most:
            raise ProtocolError(f"more than {self.most} of {self.name}")
        items.append(value)


class _Reader:
    """Fields out of one buffer; counts them as it goes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = FIELDS_MAX

    def read(self, message: Message, at: int, end: int, depth: int) -> None:
        """Read the fields between `at` and `end`; at most `depth` messages lie in each other."""
        data = self.data
        fields = message._fields
        while at < end:
            self._count()
            key, at = _decode_varint(data, at, end)
            known = fields.get(key)
            if known is None:
                at = self._unknown(message, key, at, end)
                continue
            number, at = _decode_varint(data, at, end)
            if known.is_number:
                known.keep(message, number if known.is_plain else known.convert(number))
                continue
            start, at = at, at + number
            if at > end:
                raise ProtocolError("message is cut short")
            if known.is_message:
                self._nested(message, known, start, at, depth)
            else:
                value = data[start:at]
                known.keep(message, value if known.is_plain else known.convert(value))

    def _nested(self, message: Message, known: _Field, at: int, end: int, depth: int) -> None:
        if not depth:
            raise ProtocolError(f"message is over {DEPTH_MAX} levels deep")
        nested = None if known.repeated else getattr(message, known.name)
        if nested is None:
            nested = known.kind()
            known.keep(message, nested)
        self.read(nested, at, end, depth - 1)

    def _unknown(self, message: Message, key: int, at: int, end: int) -> int:
        """Skip a field, or read numbers of ours that came in one run of bytes."""
        known = message._fields.get(key ^ _BYTES)
        if known is not None and known.is_number and known.repeated:
            return self._packed(message, known, at, end)
        return self._skip(key, at, end)

    def _packed(self, message: Message, known: _Field, at: int, end: int) -> int:
        """Many numbers after one key, which proto3 writes and all must read."""
        at, stop = self._span(at, end)
        while at < stop:
            self._count()
            number, at = _decode_varint(self.data, at, stop)
            known.keep(message, known.convert(number))
        return stop

    def _skip(self, key: int, at: int, end: int) -> int:
        if not 0 < key >> 3 <= _NUMBER_MAX:
            raise ProtocolError("message has a field whose number is not allowed")
        wire_type = key & 7
        if wire_type == _VARINT:
            return _decode_varint(self.data, at, end)[1]
        if wire_type == _BYTES:
            return self._span(at, end)[1]
        if wire_type not in _FIXED:
            raise ProtocolError(f"message has a field of wire type {wire_type}")
        if at + _FIXED[wire_type] > end:
            raise ProtocolError("message is cut short")
        return at + _FIXED[wire_type]

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ProtocolError(f"message has more than {FIELDS_MAX} fields")

    def _span(self, at: int, end: int) -> tuple[int, int]:
        """Where the bytes whose length stands at `at` begin and end."""
        length, start = _decode_varint(self.data, at, end)
        if start + length > end:
            raise ProtocolError("message is cut short")
        return start, start + length


def _encode_varint(value: int) -> bytes:
    if value < 0x80:
        return _SMALL[value]
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _decode_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Unlike those of multiformats: 64 bits, and longer forms are allowed."""
    if at < end and data[at] < 0x80:  # most are
        return data[at], at + 1
    value = 0
    for index, byte in enumerate(data[at : min(end, at + _VARINT_MAX)]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80 and value <= _BITS_64:
            return value, at + index + 1
    raise ProtocolError("varint is cut short or over 64 bits")
