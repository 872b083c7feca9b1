"""What a node says of the services it offers, signed.

A name, a version, how many calls are under way, whether the service thinks
itself well; the sequence number grows, and of two records the higher one is
the current one.  The envelope holds the public key: whoever hands the record
on can withhold it and not change it.

The envelope is libp2p's (RFC 0002) under a domain of our own; the content is
MessagePack: [sequence, [[name, version, load, well], ...]].
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import msgspec

from shoal.errors import ProtocolError, UsageError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.peer.record import Envelope

DOMAIN = b"shoal-services"
TYPE = b"/shoal/services/1"
OFFERS_MAX = 1000  # services of one node
NAME_MAX = 1000  # bytes
VERSION_MAX = 100  # characters
RECORD_MAX = 60_000  # bytes, so that it fits an envelope


class Offer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One service."""

    name: str
    version: str = ""
    load: int = 0  # calls under way
    well: bool = True  # False: call others first


class _Content(msgspec.Struct, array_like=True, frozen=True):
    sequence: int
    offers: list[Offer]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Content).decode


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """What one peer offers; a record with a higher sequence replaces it."""

    peer: PeerId
    sequence: int
    offers: tuple[Offer, ...]

    @staticmethod
    def seal(key: PrivateKey, offers: Iterable[Offer], sequence: int) -> bytes:
        """Our record in its envelope."""
        content = _encode(_Content(sequence, list(offers)))
        if len(content) > RECORD_MAX:
            raise UsageError(f"a record of services has at most {RECORD_MAX} bytes")
        return Envelope.seal(key, DOMAIN, TYPE, content).encode()

    @classmethod
    def open(cls, data: bytes | memoryview) -> Self:
        """Verify an envelope and read the record."""
        envelope = Envelope.open(data, DOMAIN, TYPE)
        try:
            content = _decode(envelope.payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolError(f"no record of services: {error}") from None
        if len(content.offers) > OFFERS_MAX:
            raise ProtocolError(f"{len(content.offers)} services, at most {OFFERS_MAX} are allowed")
        for offer in content.offers:
            if not 0 < len(offer.name.encode("utf-8", "replace")) <= NAME_MAX:
                raise ProtocolError("a service's name is empty or too long")
            if len(offer.version) > VERSION_MAX or offer.load < 0:
                raise ProtocolError("a service's version or load is out of range")
        return cls(PeerId.of(envelope.key), content.sequence, tuple(content.offers))

    def offer(self, name: str) -> Offer | None:
        return next((each for each in self.offers if each.name == name), None)
