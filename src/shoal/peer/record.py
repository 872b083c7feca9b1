"""Signed envelopes, and the record in which a peer says where it is.

An envelope is bytes that a key stands for: key, what kind of bytes, the bytes
and a signature over all of it and a domain.  The domain is not in the envelope:
each use has its own, so that nobody can pass off a signature made for another.

A peer record is the usual content: peer id, a sequence number that grows, and
addresses.  Others may hand it on, for it proves itself.

libp2p/specs, RFC 0002 (envelopes) and RFC 0003 (peer records).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from shoal.codec.protobuf import Message, field
from shoal.codec.varint import encode_frame
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.key import KeyMessage, PrivateKey, PublicKey
from shoal.peer.multiaddr import Multiaddr

ENVELOPE_MAX = 64 * 1024  # bytes; a record of 64 long addresses has 20,000
ADDRESSES_MAX = 64  # of one peer; go-libp2p sends about a dozen

RECORD_DOMAIN = b"libp2p-peer-record"
RECORD_TYPE = b"\x03\x01"  # the multicodec libp2p-peer-record, its bytes in this order


class EnvelopeMessage(Message):
    """The envelope on the wire; field 4 was never used."""

    public_key: KeyMessage | None = field(1)
    payload_type: bytes = field(2)
    payload: bytes = field(3)
    signature: bytes = field(5)


class AddressMessage(Message):
    """One address of a record."""

    address: bytes = field(1)


class RecordMessage(Message):
    """The record on the wire."""

    peer: bytes = field(1)
    sequence: int = field(2)
    addresses: list[AddressMessage] = field(3, most=ADDRESSES_MAX)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bytes whose signature was verified, or which we signed."""

    key: PublicKey
    payload_type: bytes
    payload: bytes
    signature: bytes

    @classmethod
    def seal(cls, key: PrivateKey, domain: bytes, payload_type: bytes, payload: bytes) -> Self:
        signature = key.sign(_signed(domain, payload_type, payload))
        return cls(key.public, payload_type, payload, signature)

    def encode(self) -> bytes:
        key = KeyMessage.decode(self.key.encode())
        return EnvelopeMessage(key, self.payload_type, self.payload, self.signature).encode()

    @classmethod
    def open(cls, data: bytes | memoryview, domain: bytes, payload_type: bytes) -> Self:
        """Read and verify; ProtocolError if it was not signed as this for this domain."""
        if len(data) > ENVELOPE_MAX:
            raise ProtocolError(
                f"envelope of {len(data)} bytes, at most {ENVELOPE_MAX} are allowed"
            )
        message = EnvelopeMessage.decode(data)
        if message.public_key is None:
            raise ProtocolError("envelope has no key")
        if message.payload_type != payload_type:
            raise ProtocolError(
                f"envelope holds {message.payload_type.hex()}, not what was asked for"
            )
        key = PublicKey.decode(message.public_key.encode())
        if not key.verify(_signed(domain, payload_type, message.payload), message.signature):
            raise ProtocolError("the signature of an envelope is wrong")
        return cls(key, payload_type, message.payload, message.signature)


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Where a peer says that it is; a record with a higher sequence replaces it."""

    peer: PeerId
    sequence: int
    addresses: tuple[Multiaddr, ...]

    @staticmethod
    def seal(key: PrivateKey, addresses: Iterable[Multiaddr], sequence: int) -> bytes:
        """Our record in its envelope; the sequence is usually the time of day in nanoseconds."""
        places = [AddressMessage(address.bytes) for address in addresses][:ADDRESSES_MAX]
        payload = RecordMessage(PeerId.of(key.public).bytes, sequence, places).encode()
        return Envelope.seal(key, RECORD_DOMAIN, RECORD_TYPE, payload).encode()

    @classmethod
    def open(cls, data: bytes | memoryview) -> Self:
        """Verify an envelope and read the record; addresses in unknown words are left out."""
        envelope = Envelope.open(data, RECORD_DOMAIN, RECORD_TYPE)
        message = RecordMessage.decode(envelope.payload)
        peer = PeerId(message.peer)
        if not peer.belongs_to(envelope.key):
            raise ProtocolError("a peer record was signed by another peer")
        known = readable(place.address for place in message.addresses)
        return cls(peer, message.sequence, tuple(known))


def readable(addresses: Iterable[bytes]) -> list[Multiaddr]:
    """Those that we understand: a newer peer may have addresses in words that we lack."""
    known = []
    for data in addresses:
        try:
            known.append(Multiaddr.decode(data))
        except ProtocolError:
            continue
    return known


def _signed(domain: bytes, payload_type: bytes, payload: bytes) -> bytes:
    return encode_frame(domain) + encode_frame(payload_type) + encode_frame(payload)
