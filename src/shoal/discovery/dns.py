"""As much of DNS as multicast presence needs: questions, and five kinds of record.

A message is a header of six numbers, then questions and records.  A name is a
row of labels, each after its length; two bytes that begin with 11 point back to
where the rest of the name stands already.  A pointer here only ever points
further back than the name that it ends, so no name is without end.

RFC 1035, section 4; RFC 6762, section 18, for what multicast makes of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import Struct

from shoal.errors import ProtocolError

DATAGRAM_MAX = 9000  # bytes (RFC 6762, 17)
NAME_MAX = 255  # bytes (RFC 1035, 2.3.4)
LABEL_MAX = 63  # bytes
POINTERS_MAX = 16  # in one name; honest ones have two, and each record may walk them anew
TEXT_MAX = 255  # bytes of one text in a TXT record
QUESTIONS_MAX = 64  # in a message; honest ones have one or two
RECORDS_MAX = 512  # in a message; a full datagram of known answers has about 300
TEXTS_MAX = 64  # in a TXT record; honest ones have ten

A, PTR, TXT, AAAA, SRV, ANY = 1, 12, 16, 28, 33, 255
INTERNET = 1
CLASS = 0x7FFF  # the highest bit says "answer me alone" or "forget what you had"
FLUSH = 0x8000
RESPONSE = 0x8400  # flags: an answer, with authority
_POINTER = 0xC0

_QUESTIONED = bytes([_POINTER, 12])  # the name of the first question, which follows the header

_HEAD = Struct(">6H")  # id, flags; how many questions, answers, authorities, additionals
_QUESTION = Struct(">HH")  # kind, class
_RECORD = Struct(">HHIH")  # kind, class, lifetime, length
_SERVICE = Struct(">HHH")  # priority, weight, port


@dataclass(frozen=True, slots=True)
class Record:
    """One answer; `target` is a name (PTR, SRV) or an IP address (A, AAAA)."""

    name: str
    kind: int
    ttl: int  # seconds
    target: str = ""
    port: int = 0
    texts: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Message:
    """A query or a response; names are in small letters, without the last dot."""

    response: bool = False
    questions: list[tuple[str, int]] = field(default_factory=list)  # name, kind
    records: list[Record] = field(default_factory=list)


def encode_query(question: str, known: Iterable[str] = (), ttl: int = 0) -> bytes:
    """Ask for the pointers under a name, but for these that we know.

    Both stand under the name of the question, so a pointer to that saves half
    of the space.
    """
    pointers = [_encode_pointer(target, question, ttl) for target in known]
    head = _HEAD.pack(0, 0, 1, len(pointers), 0, 0)
    return head + encode_name(question) + _QUESTION.pack(PTR, INTERNET) + b"".join(pointers)


def _encode_pointer(target: str, question: str, ttl: int) -> bytes:
    under = f".{question}"
    data = encode_name(target)
    if target.endswith(under):
        data = encode_name(target.removesuffix(under))[:-1] + _QUESTIONED
    return _QUESTIONED + _RECORD.pack(PTR, INTERNET, ttl, len(data)) + data


def encode_response(answers: list[Record], more: list[Record]) -> bytes:
    head = _HEAD.pack(0, RESPONSE, 0, len(answers), 0, len(more))
    return head + b"".join(encode_record(record) for record in answers + more)


def encode_record(record: Record) -> bytes:
    shared = record.kind == PTR  # others have records of that name, too: nobody's are flushed
    kind = INTERNET if shared else INTERNET | FLUSH
    data = _encode_data(record)
    return encode_name(record.name) + _RECORD.pack(record.kind, kind, record.ttl, len(data)) + data


def _encode_data(record: Record) -> bytes:
    if record.kind == TXT:
        return b"".join(bytes([len(text)]) + text for text in record.texts) or b"\0"
    if record.kind == SRV:
        return _SERVICE.pack(0, 0, record.port) + encode_name(record.target)
    if record.kind == PTR:
        return encode_name(record.target)
    return ip_address(record.target).packed


def encode_name(name: str) -> bytes:
    """As it is: a response has few names, and any reader understands that."""
    labels = [label.encode() for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode(data: bytes | memoryview) -> Message:
    data = bytes(data)
    if not _HEAD.size <= len(data) <= DATAGRAM_MAX:
        raise ProtocolError("a DNS message has 12 to 9,000 bytes")
    _, flags, *counts = _HEAD.unpack_from(data)
    if counts[0] > QUESTIONS_MAX or sum(counts[1:]) > RECORDS_MAX:
        raise ProtocolError("a DNS message with too many questions or records")
    message = Message(bool(flags & 0x8000))
    at = _HEAD.size
    for _ in range(counts[0]):
        name, at = _decode_name(data, at)
        kind, of = _QUESTION.unpack(_part(data, at, _QUESTION.size))
        at += _QUESTION.size
        if of & CLASS == INTERNET:
            message.questions.append((name, kind))
    for _ in range(sum(counts[1:])):
        record, at = _decode_record(data, at)
        if record is not None:
            message.records.append(record)
    return message


def _decode_record(data: bytes, at: int) -> tuple[Record | None, int]:
    """None for a kind that says nothing here."""
    name, at = _decode_name(data, at)
    kind, of, ttl, length = _RECORD.unpack(_part(data, at, _RECORD.size))
    at += _RECORD.size
    body = _part(data, at, length)
    end = at + length
    if of & CLASS != INTERNET:
        return None, end
    if kind == TXT:
        return Record(name, kind, ttl, texts=_decode_texts(body)), end
    if kind == PTR:
        return Record(name, kind, ttl, _decode_target(data, at, end)), end
    if kind == SRV:
        port = _SERVICE.unpack(_part(data, at, _SERVICE.size))[2]
        target = _decode_target(data, at + _SERVICE.size, end)
        return Record(name, kind, ttl, target, port), end
    if (kind, length) in ((A, 4), (AAAA, 16)):
        return Record(name, kind, ttl, str(ip_address(body))), end
    return None, end


def _decode_target(data: bytes, at: int, end: int) -> str:
    name, after = _decode_name(data, at)
    if after != end:
        raise ProtocolError("a DNS name that does not fill its record")
    return name


def _decode_texts(body: bytes) -> tuple[bytes, ...]:
    texts, at = [], 0
    while at < len(body):
        text = _part(body, at + 1, body[at])
        at += 1 + len(text)
        if text:
            texts.append(text)
        if len(texts) > TEXTS_MAX:
            raise ProtocolError(f"a TXT record with over {TEXTS_MAX} texts")
    return tuple(texts)


def _decode_name(data: bytes, at: int) -> tuple[str, int]:
    """The name that begins here, and where what follows it begins."""
    labels: list[bytes] = []
    size, after, least, pointers = 1, -1, at, 0
    while True:
        length = _part(data, at, 1)[0]
        if length >= _POINTER:
            target = int.from_bytes(_part(data, at, 2), "big") & 0x3FFF
            pointers += 1
            if target >= least or pointers > POINTERS_MAX:
                raise ProtocolError("a DNS name that does not point back, or too often")
            after = at + 2 if after < 0 else after
            at = least = target
            continue
        if length > LABEL_MAX:
            raise ProtocolError("a DNS label of a kind that does not exist")
        at += 1
        if not length:
            break
        labels.append(_part(data, at, length))
        at += length
        size += 1 + length
        if size > NAME_MAX:
            raise ProtocolError(f"a DNS name of over {NAME_MAX} bytes")
    name = b".".join(labels).decode("utf-8", "replace").lower()
    return name, at if after < 0 else after


def _part(data: bytes, at: int, length: int) -> bytes:
    part = data[at : at + length]
    if len(part) < length:
        raise ProtocolError("a DNS message that ends too early")
    return part
