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

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
_BITS_64 = (1 << 64) - 1
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
        hints = get_type_hints(cls, localns={cls.__name__: cls})
        declared = {name: vars(cls).get(name) for name in hints}
        fields = [
            _Field.declare(name, hints[name], options)
            for name, options in declared.items()
            if isinstance(options, _Options)
        ]
        cls._fields = {known.key: known for known in fields}
        for known in fields:
            zero = (
                dataclass_field(default_factory=list)
                if known.repeated
                else dataclass_field(default=known.zero)
            )
            setattr(cls, known.name, zero)
        dataclass(cls)

    def encode(self) -> bytes:
        parts: list[bytes] = []
        for known in self._fields.values():
            value = getattr(self, known.name)
            if known.repeated:
                for item in value:
                    parts += (known.prefix, known.encode(item))
            elif value or (value is not None and known.written_when_zero):
                parts += (known.prefix, known.encode(value))
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
        _Reader(bytes(data)).read(self, 0, len(data), 0)


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

    @classmethod
    def declare(cls, name: str, hint: Any, options: _Options) -> "_Field":
        repeated = get_origin(hint) is list
        kinds = [kind for kind in get_args(hint) if kind is not NoneType] or [hint]
        kind = kinds[0]
        if len(kinds) > 1 or not issubclass(kind, (int, bytes, str, Message)):
            raise UsageError(f"{name}: a field cannot be {hint}")
        optional = not repeated and kind is not hint
        key = options.number << 3 | (_VARINT if issubclass(kind, int) else _BYTES)
        return cls(
            name,
            key,
            _encode_varint(key),
            kind,
            options.signed,
            options.most,
            repeated,
            None if optional or issubclass(kind, Message) else kind(),
            optional or options.always or issubclass(kind, Message),
        )

    def encode(self, value: Any) -> bytes:
        if issubclass(self.kind, int):
            low, high = (-(1 << 63), 1 << 63) if self.signed else (0, 1 << 64)
            if not low <= value < high:
                raise UsageError(f"{self.name} cannot be {value}")
            return _encode_varint(value & _BITS_64)
        encoded = bytes(value) if self.kind is bytes else value.encode()
        return _encode_varint(len(encoded)) + encoded

    def from_varint(self, value: int) -> int:
        if self.kind is bool:
            return value != 0
        return value - (1 << 64) if self.signed and value >> 63 else value

    def from_bytes(self, data: bytes) -> bytes | str:
        if self.kind is bytes:
            return data
        try:
            return data.decode()
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
        self.count = 0

    def read(self, message: Message, at: int, end: int, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise ProtocolError(f"message is over {DEPTH_MAX} levels deep")
        while at < end:
            self._count()
            key, at = self._varint(at, end)
            known = message._fields.get(key)
            if known is not None:
                at = self._value(message, known, at, end, depth)
            elif key & 7 == _BYTES and key ^ _BYTES in message._fields:
                at = self._packed(message, message._fields[key ^ _BYTES], at, end)
            else:
                at = self._skip(key, at, end)

    def _value(self, message: Message, known: _Field, at: int, end: int, depth: int) -> int:
        if issubclass(known.kind, int):
            number, at = self._varint(at, end)
            known.keep(message, known.from_varint(number))
            return at
        start, stop = self._span(at, end)
        if not issubclass(known.kind, Message):
            known.keep(message, known.from_bytes(self.data[start:stop]))
            return stop
        nested = None if known.repeated else getattr(message, known.name)
        if nested is None:
            nested = known.kind()
            known.keep(message, nested)
        self.read(nested, start, stop, depth + 1)
        return stop

    def _packed(self, message: Message, known: _Field, at: int, end: int) -> int:
        """Repeated numbers in one run of bytes, which proto3 writes and all must read."""
        at, stop = self._span(at, end)
        if not known.repeated:
            return stop
        while at < stop:
            self._count()
            number, at = self._varint(at, stop)
            known.keep(message, known.from_varint(number))
        return stop

    def _skip(self, key: int, at: int, end: int) -> int:
        if not 0 < key >> 3 <= _NUMBER_MAX:
            raise ProtocolError("message has a field whose number is not allowed")
        wire_type = key & 7
        if wire_type == _VARINT:
            return self._varint(at, end)[1]
        if wire_type == _BYTES:
            return self._span(at, end)[1]
        if wire_type not in _FIXED:
            raise ProtocolError(f"message has a field of wire type {wire_type}")
        if at + _FIXED[wire_type] > end:
            raise ProtocolError("message is cut short")
        return at + _FIXED[wire_type]

    def _count(self) -> None:
        self.count += 1
        if self.count > FIELDS_MAX:
            raise ProtocolError(f"message has more than {FIELDS_MAX} fields")

    def _span(self, at: int, end: int) -> tuple[int, int]:
        """Where the bytes whose length stands at `at` begin and end."""
        length, start = self._varint(at, end)
        if start + length > end:
            raise ProtocolError("message is cut short")
        return start, start + length

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Unlike those of multiformats: 64 bits, and longer forms are allowed."""
        value = 0
        for shift in range(0, 70, 7):
            if at == end:
                raise ProtocolError("message is cut short")
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > _BITS_64:
                    break
                return value, at
        raise ProtocolError("varint is over 64 bits")


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
