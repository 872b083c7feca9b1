"""The certificate proves an identity, and anything less is refused."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, strategies as st
from tests.net.secure.keys import A, B, Scripted

from shoal.errors import ProtocolError
from shoal.net.secure import certificate

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPKI = bytes.fromhex(
    "3059301306072a8648ce3d020106082a8648ce3d0301070342000407810ea974cea5773e63b897f37e3be9a09e7a"
    "5fe9b971a44d1065ac2a3a9311637e47a4f99464a0fdce44a88ec7d703a9183c1d06552d9e2d6b76069481c577"
)
EXTENSION = bytes.fromhex(
    "30680424080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c0440eb6aae7c"
    "6c1ef55cd777dafeefa5f319f1b22fbd63609b6c9f6f159f7f637c50caa4e13f249c5d211c2490cebfde0a288347"
    "1628790540bb913a0930431a0108"
)


def made_key() -> ec.EllipticCurvePrivateKey:
    return certificate.generate_key(Scripted((int.from_bytes(b"\x05" * 32) - 1).to_bytes(32)))


def build(
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder],
    signer: ec.EllipticCurvePrivateKey | None = None,
) -> x509.Certificate:
    """A certificate of A that is valid around NOW, with one thing changed."""
    key = made_key()
    nobody = x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(nobody)
        .issuer_name(nobody)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
    )
    return change(builder).sign(signer or key, SHA256())


def extended(
    oid: x509.ObjectIdentifier = certificate.EXTENSION,
    value: bytes = EXTENSION,
    critical: bool = False,
) -> Callable[[x509.CertificateBuilder], x509.CertificateBuilder]:
    extension = x509.UnrecognizedExtension(oid, value)
    return lambda builder: builder.add_extension(extension, critical=critical)


def test_writes_the_extension_of_the_vector() -> None:
    spki = made_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki == SPKI
    assert certificate.encode_extension(A, SPKI) == EXTENSION
    key, signature = certificate.decode_extension(EXTENSION)
    assert key == A.public.encode()
    assert A.public.verify(certificate.SIGNED + SPKI, signature)


def test_a_certificate_proves_its_identity_from_an_hour_ago_on() -> None:
    made = certificate.make(A, made_key(), 7, NOW)
    for now in (NOW - timedelta(minutes=59), NOW, NOW + timedelta(days=30_000)):
        assert certificate.verify(made, now) == A.public
    for now in (NOW - timedelta(minutes=61), NOW + timedelta(days=40_000)):
        with pytest.raises(ProtocolError, match="not valid now"):
            certificate.verify(made, now)


def test_the_extension_may_be_critical_and_others_may_stand_beside_it() -> None:
    assert certificate.verify(build(extended(critical=True)), NOW) == A.public
    unknown = x509.ObjectIdentifier("1.2.3.4")

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        builder = extended()(extended(unknown, b"x")(builder))
        return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)

    assert certificate.verify(build(change), NOW) == A.public


def test_an_unknown_critical_extension_is_refused() -> None:
    unknown = x509.ObjectIdentifier("1.2.3.4")
    made = build(lambda builder: extended()(extended(unknown, b"x", True)(builder)))
    with pytest.raises(ProtocolError, match="critical"):
        certificate.verify(made, NOW)


def test_what_does_not_prove_an_identity_is_refused() -> None:
    other = certificate.generate_key(random.Random(9))
    forged = certificate.encode_extension(B, b"another key")
    for made, why in (
        (build(lambda builder: builder), "without"),
        (build(extended(), signer=other), "signed by itself"),
        (build(extended(value=forged)), "does not own"),
    ):
        with pytest.raises(ProtocolError, match=why):
            certificate.verify(made, NOW)


def test_an_extension_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    der = build(extended(x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.2"), EXTENSION))
    encoded = der.public_bytes(Encoding.DER)
    start = encoded.index(bytes.fromhex("060a2b0601040183a25a0102"))
    both = build(
        lambda builder: extended()(
            extended(x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.2"), EXTENSION)(builder)
        )
    ).public_bytes(Encoding.DER)
    assert encoded[start : start + 12] in both
    # Rename the second so that the first stands there twice, and sign again by not checking.
    twice = both.replace(encoded[start : start + 12], encoded[start : start + 11] + b"\x01")
    with pytest.raises(ProtocolError, match="twice"):
        certificate._extension(x509.load_der_x509_certificate(twice))


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 70_000])
def test_any_length_survives_the_round_trip(size: int) -> None:
    encoded = certificate._der(certificate.OCTET_STRING, bytes(size))
    assert certificate._take(certificate.OCTET_STRING, encoded, 0) == (bytes(size), len(encoded))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x04\x00",
        b"\x30\x80",
        b"\x30\x84\x00\x00\x00\x00",
        b"\x30\x82\x01",
        b"\x30\x05",
        EXTENSION + b"x",
        b"\x30\x06\x04\x00\x04\x00\x04\x00",
    ],
)
def test_what_is_no_signed_key_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        certificate.decode_extension(data)


@given(st.binary(max_size=80), st.integers(0, 105))
def test_garbage_raises_protocol_errors_only(data: bytes, cut: int) -> None:
    for wire in (data, EXTENSION[:cut] + data):
        try:
            key, signature = certificate.decode_extension(wire)
            assert len(key) + len(signature) <= len(wire)
        except ProtocolError:
            pass
