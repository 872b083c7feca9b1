"""A record proves itself: nobody can sign, alter or move one but the peer."""

import pytest
from tests.peer.keys import A_ID, B_ID, A, B

from shoal.errors import ProtocolError
from shoal.peer import record as record_module
from shoal.peer.id import PeerId
from shoal.peer.key import KeyMessage
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import (
    RECORD_DOMAIN,
    RECORD_TYPE,
    AddressMessage,
    Envelope,
    EnvelopeMessage,
    PeerRecord,
    RecordMessage,
)

PLACE = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")
SEALED = bytes.fromhex(  # opened by js-libp2p
    "0a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c120203011a360a2600"
    "24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c10011a0a0a08047f0000"
    "01060fa12a405952f57af52b9b47bcc535948fb676f46e91cbf51966f2efb7f0232827007dcfd3ed3907dac95a4d73"
    "cf3ed767a42108017b8fcdd9f18413dcd18ed8a043de0f"
)
SIGNED = bytes.fromhex(
    "126c69627032702d706565722d7265636f7264020301360a260024080112208a88e3dd7409f195fd52db2d3cba5d72"
    "ca6709bf1d94121bf3748801b40f6f5c10011a0a0a08047f000001060fa1"
)


def test_the_vectors_hold() -> None:
    envelope = Envelope.open(SEALED, RECORD_DOMAIN, RECORD_TYPE)
    assert record_module._signed(RECORD_DOMAIN, RECORD_TYPE, envelope.payload) == SIGNED
    assert PeerRecord.seal(A, [PLACE], 1) == SEALED
    assert PeerRecord.open(memoryview(SEALED)) == PeerRecord(A_ID, 1, (PLACE,))
    assert envelope.encode() == SEALED
    assert envelope.key == A.public


def test_every_single_altered_byte_is_noticed() -> None:
    for at in range(len(SEALED)):
        for flip in (0x01, 0x80):
            altered = bytearray(SEALED)
            altered[at] ^= flip
            with pytest.raises(ProtocolError):
                PeerRecord.open(bytes(altered))


def test_an_envelope_that_is_cut_short_is_refused() -> None:
    for end in range(len(SEALED)):
        with pytest.raises(ProtocolError):
            PeerRecord.open(SEALED[:end])


def test_a_record_of_another_peer_is_refused() -> None:
    payload = RecordMessage(B_ID.bytes, 1).encode()
    forged = Envelope.seal(A, RECORD_DOMAIN, RECORD_TYPE, payload).encode()
    with pytest.raises(ProtocolError, match="another peer"):
        PeerRecord.open(forged)


def test_a_signature_for_another_domain_or_type_is_refused() -> None:
    payload = RecordMessage(A_ID.bytes, 1).encode()
    with pytest.raises(ProtocolError, match="signature"):
        PeerRecord.open(Envelope.seal(A, b"libp2p-relay-rsvp", RECORD_TYPE, payload).encode())
    with pytest.raises(ProtocolError, match="not what was asked"):
        PeerRecord.open(Envelope.seal(A, RECORD_DOMAIN, b"\3\2", payload).encode())


def test_an_envelope_with_the_key_of_another_is_refused() -> None:
    message = EnvelopeMessage.decode(SEALED)
    message.public_key = KeyMessage.decode(B.public.encode())
    with pytest.raises(ProtocolError, match="signature"):
        PeerRecord.open(message.encode())
    message.public_key = None
    with pytest.raises(ProtocolError, match="no key"):
        PeerRecord.open(message.encode())


def seal(addresses: list[bytes]) -> bytes:
    places = [AddressMessage(address) for address in addresses]
    payload = RecordMessage(A_ID.bytes, 1, places).encode()
    return Envelope.seal(A, RECORD_DOMAIN, RECORD_TYPE, payload).encode()


def test_addresses_that_we_do_not_understand_are_left_out() -> None:
    assert PeerRecord.open(seal([b"\x7f", PLACE.bytes, b""])).addresses == (PLACE,)


def test_the_number_of_addresses_is_bounded() -> None:
    many = [PLACE.bytes] * record_module.ADDRESSES_MAX
    assert len(PeerRecord.open(seal(many)).addresses) == record_module.ADDRESSES_MAX
    with pytest.raises(ProtocolError, match="addresses"):
        PeerRecord.open(seal([*many, PLACE.bytes]))
    ours = PeerRecord.open(PeerRecord.seal(A, [PLACE] * 100, 1))
    assert len(ours.addresses) == record_module.ADDRESSES_MAX


def test_the_length_of_an_envelope_is_bounded() -> None:
    with pytest.raises(ProtocolError, match="are allowed"):
        PeerRecord.open(bytes(record_module.ENVELOPE_MAX + 1))


def test_a_record_without_a_peer_is_refused() -> None:
    sealed = Envelope.seal(A, RECORD_DOMAIN, RECORD_TYPE, b"").encode()
    with pytest.raises(ProtocolError):
        PeerRecord.open(sealed)
    assert PeerId.of(A.public) == A_ID
