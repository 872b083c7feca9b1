"""What sender and receiver say to each other, and the rules for what is named in it.

    receiver                        sender
    Hello(share)             ->
                             <-     Hello(share), or Wait or Refusal
    Proof                    ->
                             <-     Proof, Offer, or Refusal
    Claim ... Accept         ->
                             <-     Plan, then the data
    Received                 ->

A claim says what is there already: the digests of a prefix, span by span.  The
sender compares them with its own file, and begins where they differ first, so
that an end which a crash has torn costs one span.

The data are blocks: four bytes of length, and the bytes.  A length of 0 ends a
file; the byte after it is one of ENDINGS.  Files come in the order of the offer,
those which are complete left out.  The connection's encryption proves every byte,
so blocks need no digest of their own; claims do, for a disk proves nothing.

Messages are MessagePack with their length in front, as a varint.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from shoal.errors import ProtocolError
from shoal.swarm.paths import DEPTH_MAX, PATH_MAX, numbered

PROTOCOL = "/shoal/send/1.0.0"
BLOCK = 4 << 20  # bytes that are read, sent and written at a time
DIGEST = 32  # bytes
SPANS_MAX = 4096  # digests in a claim: a terabyte in spans of 256 MiB
FILES_MAX = 100_000  # in a parcel: an offer stays below MESSAGE_MAX
MESSAGE_MAX = 32 << 20  # bytes of an offer or a claim
WORD_MAX = 256  # bytes of the messages before both are proved
PART = ".shoal-part"  # ends the name of a file that is on its way
NAME_MAX = 255  # bytes of one name on every file system in use

GOOD, CHANGED, UNREADABLE = ENDINGS = range(3)

Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Index = Annotated[int, msgspec.Meta(ge=0, lt=FILES_MAX)]
Name = Annotated[bytes, msgspec.Meta(min_length=1, max_length=NAME_MAX)]
Parts = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=DEPTH_MAX)]


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """Our half of the key, blinded by the words."""

    share: bytes


class Wait(msgspec.Struct, tag="wait", frozen=True):
    """Not now: others try, or this address has tried too often."""

    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)]


class Proof(msgspec.Struct, tag="proof", frozen=True):
    """That we have the key, and so the words."""

    proof: bytes


class Refusal(msgspec.Struct, tag="refusal", frozen=True):
    """The end, and why."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]
    about: Annotated[str, msgspec.Meta(max_length=20)] = ""  # "code": wrong words; "dead": no more


class Item(msgspec.Struct, array_like=True, frozen=True):
    """A file: its name, with the folders above it, and its size."""

    parts: Parts
    size: Size


class Offer(msgspec.Struct, tag="offer", frozen=True):
    """All files of a parcel."""

    items: Annotated[list[Item], msgspec.Meta(max_length=FILES_MAX)]


class Claim(msgspec.Struct, tag="claim", frozen=True):
    """`size` bytes of a file are there; `whole`: all of it or nothing counts."""

    index: Index
    size: Size
    digests: Annotated[bytes, msgspec.Meta(max_length=SPANS_MAX * DIGEST)]
    whole: bool = False


class Accept(msgspec.Struct, tag="accept", frozen=True):
    """All claims have been made: send the rest."""


class Plan(msgspec.Struct, tag="plan", frozen=True):
    """Where each claimed file goes on: index -> bytes that are right."""

    starts: dict[Index, Size]


class Received(msgspec.Struct, tag="received", frozen=True):
    """Everything is on the receiver's disk, but for files which changed."""


Message = Hello | Wait | Proof | Refusal | Offer | Claim | Accept | Plan | Received
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    return _encode(message)


def decode(data: bytes | memoryview) -> Message:
    try:
        message: Message = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"a message that is none: {error}") from None
    if isinstance(message, Offer):
        check_names([item.parts for item in message.items])
    return message


def check_names(names: Sequence[tuple[bytes, ...]]) -> None:
    """ProtocolError unless these are different files, all of them inside one folder."""
    files = set(names)
    if len(files) < len(names):
        raise ProtocolError("two files have the same name")
    for parts in names:
        for part in parts:
            if part in (b".", b"..") or b"/" in part or b"\0" in part or part.endswith(_PART):
                raise ProtocolError(f"a file is named {part[:80]!r}")
        if sum(map(len, parts)) + len(parts) > PATH_MAX:
            raise ProtocolError(f"a path of more than {PATH_MAX} bytes")
        if any(parts[:depth] in files for depth in range(1, len(parts))):
            raise ProtocolError("a file is a folder as well")


_PART = PART.encode()


def span_of(size: int) -> int:
    """Bytes under one digest of a claim: whole blocks, so many that SPANS_MAX digests do."""
    blocks = -(-size // BLOCK)
    return BLOCK * max(1, -(-blocks // SPANS_MAX))


def spans(claimed: int, size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of each span of a claim on a file of this size."""
    span = span_of(size)
    for at in range(0, claimed, span):
        yield at, min(span, claimed - at)


def check_claim(claim: Claim, items: Sequence[Item]) -> None:
    """ProtocolError unless it can be true."""
    if claim.index >= len(items) or claim.size > items[claim.index].size:
        raise ProtocolError("a claim beyond what was offered")
    count = -(-claim.size // span_of(items[claim.index].size))
    if len(claim.digests) != count * DIGEST:
        raise ProtocolError(f"a claim of {count} spans has {len(claim.digests)} bytes of digests")


def check_plan(plan: Plan, claims: dict[int, Claim]) -> None:
    """ProtocolError if a sender goes on elsewhere than where a claim has a boundary."""
    for index, start in plan.starts.items():
        claim = claims.get(index)
        if claim is None or start > claim.size or (claim.whole and start not in (0, claim.size)):
            raise ProtocolError("a plan that fits no claim")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file that are sent as one block; the last of a file says so."""

    index: int
    at: int
    length: int
    last: bool


def pieces(
    items: Sequence[Item], claims: dict[int, Claim], starts: dict[int, int]
) -> Iterator[Piece]:
    """What is to be sent, in order."""
    for index, item in enumerate(items):
        start = starts.get(index, 0)
        if index in claims and start == item.size:
            continue
        at = start
        while True:
            length = min(BLOCK, item.size - at)
            yield Piece(index, at, length, last=at + length == item.size)
            at += length
            if at == item.size:
                break


def part_name(name: str) -> str:
    """Of the file while it is on its way; a digest stands for a long name."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) + len(PART) > NAME_MAX:
        return hashlib.sha256(raw).hexdigest() + PART
    return name + PART


def other_names(name: str) -> Iterator[str]:
    """`name`, then `name.1` and so on (before the ending), for when it is taken."""
    yield name
    for number in range(1, FILES_MAX):
        yield numbered(name, number)
