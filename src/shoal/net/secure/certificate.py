"""The certificate that ties a TLS channel to a libp2p identity.

It is self-signed with a key made for the purpose.  An extension holds the
identity's public key and its signature over the certificate's key, so nobody
has to be trusted: whoever owns the certificate's key was named by the identity.

libp2p/specs tls/tls.md, "peer authentication".
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shoal.errors import ProtocolError
from shoal.peer.key import PrivateKey, PublicKey

if TYPE_CHECKING:
    from random import Random

EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")
SIGNED = b"libp2p-tls-handshake:"  # stands before the key that is signed
BACKDATED = timedelta(hours=1)  # other clocks may be behind ours
LIFETIME = timedelta(days=36_500)  # as go and js: the connection ends before
P256_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
SEQUENCE, OCTET_STRING = 0x30, 0x04  # DER tags


def generate_key(rng: "Random") -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(rng.randbytes(32)) % (P256_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def encode_extension(identity: PrivateKey, spki: bytes) -> bytes:
    """SignedKey: the public key, and its signature over the certificate's."""
    parts = _der(OCTET_STRING, identity.public.encode())
    parts += _der(OCTET_STRING, identity.sign(SIGNED + spki))
    return _der(SEQUENCE, parts)


def decode_extension(data: bytes) -> tuple[bytes, bytes]:
    """The public key's bytes and the signature."""
    body, end = _take(SEQUENCE, data, 0)
    key, middle = _take(OCTET_STRING, body, 0)
    signature, last = _take(OCTET_STRING, body, middle)
    if end != len(data) or last != len(body):
        raise ProtocolError("certificate whose libp2p extension has more than two parts")
    return key, signature


def make(
    identity: PrivateKey, key: ec.EllipticCurvePrivateKey, serial: int, now: datetime
) -> x509.Certificate:
    """A certificate for this key, in the name of the identity."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    extension = x509.UnrecognizedExtension(EXTENSION, encode_extension(identity, spki))
    nobody = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(nobody)
        .issuer_name(nobody)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(extension, critical=False)
        .sign(key, SHA256())
    )


def verify(certificate: x509.Certificate, now: datetime) -> PublicKey:
    """The identity which the certificate proves; ProtocolError if it does not."""
    try:
        valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        certificate.verify_directly_issued_by(certificate)
        spki = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        extension = _extension(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise ProtocolError("certificate that is damaged or not signed by itself") from error
    if not valid:
        raise ProtocolError("certificate that is not valid now")
    encoded, signature = decode_extension(extension)
    key = PublicKey.decode(encoded)
    if not key.verify(SIGNED + spki, signature):
        raise ProtocolError("the peer does not own the identity that it claims")
    return key


def _extension(certificate: x509.Certificate) -> bytes:
    found = None
    try:
        extensions = list(certificate.extensions)
    except x509.DuplicateExtension:
        raise ProtocolError("certificate with an extension twice") from None
    for extension in extensions:
        if not isinstance(extension.value, x509.UnrecognizedExtension):
            continue
        if extension.oid == EXTENSION:
            found = extension.value.value
        elif extension.critical:
            raise ProtocolError("certificate with a critical extension that nobody knows")
    if found is None:
        raise ProtocolError("certificate without a libp2p identity")
    return found


def utc_now() -> datetime:
    return datetime.now(UTC)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _take(tag: int, data: bytes, at: int) -> tuple[bytes, int]:
    """The content of the DER value at an offset, and where it ends."""
    start = at + 2
    if start > len(data) or data[at] != tag:
        raise ProtocolError("libp2p extension that is no SignedKey")
    size = data[at + 1]
    if size >= 0x80:
        start += size & 0x7F
        if not 0x80 < size <= 0x83 or start > len(data):
            raise ProtocolError("libp2p extension with a bad length")
        size = int.from_bytes(data[at + 2 : start])
    if start + size > len(data):
        raise ProtocolError("libp2p extension that is cut short")
    return data[start : start + size], start + size
