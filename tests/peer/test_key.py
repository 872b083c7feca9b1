"""Keys have the bytes that other libp2p programs give them, and sign what those accept."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from tests.peer.keys import A_PUBLIC, A, B, Fixed

from shoal.errors import ProtocolError, UsageError
from shoal.peer import key as key_module
from shoal.peer.key import KeyMessage, PrivateKey, PublicKey, generate_exchange

SECP256K1_PUBLIC = "08021221031b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f"
SECP256K1_SIGNATURE = (
    "3045022100d13b19c8baa53851839efe1fe790b6f6d51028400902bb79d2fa50c65295e0ed"
    "0220697d0a44907237350d71ab31d6adbc973749cf2c2d1f4096b765c65be58cfca9"
)
ECDSA_PUBLIC = (
    "0803125b3059301306072a8648ce3d020106082a8648ce3d030107034200046ff03b949241ce1dadd43519e6960e0a"
    "85b41a69a05c328103aa2bce1594ca163c4f753a55bf01dc53f6c0b0c7eee78b40c6ff7d25a96e2282b989cef71c144a"
)


def ecdsa_public(curve: ec.EllipticCurve) -> bytes:
    key = ec.derive_private_key(7, curve).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def secp256k1_key() -> PrivateKey:
    return PrivateKey("secp256k1", b"\1" * 32)


@pytest.fixture(scope="module")
def rsa_key() -> PrivateKey:
    return PrivateKey.generate(random.Random(1), "rsa")


def test_ed25519_keys_have_the_bytes_of_the_vectors() -> None:
    assert A.public.encode() == A_PUBLIC
    assert A.encode() == bytes.fromhex("08011240") + b"\1" * 32 + A_PUBLIC[4:]
    assert B.public.encode().hex() == (
        "080112208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
    )
    assert PrivateKey.decode(A.encode()) == A


def test_the_old_form_of_an_ed25519_key_is_read_and_not_written() -> None:
    old = KeyMessage(1, A.data + A.public.data).encode()
    assert PrivateKey.decode(old) == A
    assert PrivateKey.decode(old).encode() == A.encode()


def test_secp256k1_keys_have_the_bytes_of_the_vectors() -> None:
    key = secp256k1_key()
    assert key.encode() == bytes.fromhex("08021220") + b"\1" * 32
    assert key.public.encode().hex() == SECP256K1_PUBLIC
    assert key.sign(b"hello").hex() == SECP256K1_SIGNATURE


def test_secp256k1_signs_with_the_lower_s_and_verifies_either() -> None:
    key = secp256k1_key()
    order = key_module._SECP256K1_ORDER
    for number in range(20):
        data = bytes((number,))
        r, s = decode_dss_signature(key.sign(data))
        assert s <= order // 2
        assert key.public.verify(data, encode_dss_signature(r, s))
        assert key.public.verify(data, encode_dss_signature(r, order - s))


def test_ecdsa_keys_are_verified() -> None:
    private = ec.derive_private_key(int.from_bytes(b"\1" * 32), ec.SECP256R1())
    public = PublicKey.decode(bytes.fromhex(ECDSA_PUBLIC))
    assert public.encode().hex() == ECDSA_PUBLIC
    signature = private.sign(b"hello", ec.ECDSA(SHA256()))
    assert public.verify(b"hello", signature)
    assert not public.verify(b"hallo", signature)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_ecdsa_has_three_curves(curve: ec.EllipticCurve) -> None:
    assert PublicKey("ecdsa", ecdsa_public(curve)).kind == "ecdsa"


def test_ecdsa_keys_are_not_made() -> None:
    with pytest.raises(UsageError, match="only verified"):
        PrivateKey.generate(random.Random(1), "ecdsa")
    with pytest.raises(ProtocolError, match="only verified"):
        PrivateKey.decode(KeyMessage(3, b"").encode())


def test_rsa_keys_make_a_round_trip(rsa_key: PrivateKey) -> None:
    assert rsa_key.public.encode()[:4] == bytes.fromhex("080012a6")
    assert PrivateKey.decode(rsa_key.encode()).encode() == rsa_key.encode()
    assert PublicKey.decode(rsa_key.public.encode()) == rsa_key.public


@pytest.mark.parametrize("kind", ["ed25519", "secp256k1", "rsa"])
def test_a_signature_holds_for_its_data_and_key_alone(kind: str, rsa_key: PrivateKey) -> None:
    key = rsa_key if kind == "rsa" else PrivateKey.generate(random.Random(1), kind)
    signature = key.sign(memoryview(b"hello"))
    assert key.public.verify(memoryview(b"hello"), signature)
    assert PublicKey.decode(key.public.encode()).verify(b"hello", signature)
    assert not key.public.verify(b"hallo", signature)
    assert not B.public.verify(b"hello", signature)
    for broken in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), bytes(5000)):
        assert not key.public.verify(b"hello", broken)


@pytest.mark.parametrize("kind", ["ed25519", "secp256k1"])
def test_the_same_chance_makes_the_same_key(kind: str) -> None:
    first, second = (PrivateKey.generate(random.Random(5), kind) for _ in range(2))
    assert first.encode() == second.encode()
    assert first != PrivateKey.generate(random.Random(6), kind)
    assert len({first, second}) == 1


@pytest.mark.parametrize("byte", [0, 0xFF])
def test_every_draw_makes_a_secp256k1_key(byte: int) -> None:
    key = PrivateKey.generate(Fixed(byte), "secp256k1")
    assert key.public.verify(b"", key.sign(b""))


def test_an_exchange_key_comes_from_chance_too() -> None:
    assert generate_exchange(Fixed(0x11)).private_bytes_raw() == b"\x11" * 32


def test_what_a_private_key_prints_is_no_secret() -> None:
    assert A.data[:32].hex() not in repr(A)
    assert A.public.data.hex() in repr(A)


def rsa_public(bits: int) -> bytes:
    numbers = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1)
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("ed25519", b"\1" * 31),
        ("ed25519", b"\1" * 33),
        ("secp256k1", bytes.fromhex(SECP256K1_PUBLIC)[4:-1]),
        ("secp256k1", b"\4" + bytes(64)),
        ("secp256k1", b"\2" + b"\xff" * 32),
        ("secp256k1", b"\5" + b"\1" * 32),
        ("rsa", b""),
        ("rsa", b"\x30\x03\x02\x01\x00"),
        ("rsa", bytes.fromhex(ECDSA_PUBLIC)[4:]),
        ("rsa", rsa_public(2048) + b"\0"),
        ("rsa", rsa_public(key_module.RSA_BITS_MIN - 1)),
        ("rsa", rsa_public(key_module.RSA_BITS_MAX + 1)),
        ("rsa", bytes(key_module.DATA_MAX + 1)),
        ("ecdsa", b""),
        ("ecdsa", rsa_public(2048)),
        ("ecdsa", ecdsa_public(ec.SECP256K1())),
    ],
)
def test_what_is_no_public_key_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        PublicKey(kind, data)


def der(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("ed25519", b""),
        ("ed25519", b"\1" * 32),
        ("ed25519", b"\1" * 64),
        ("ed25519", A.data + B.public.data),
        ("secp256k1", b"\1" * 31),
        ("secp256k1", bytes(32)),
        ("secp256k1", b"\xff" * 32),
        ("rsa", b"no"),
        ("rsa", der(ec.derive_private_key(7, ec.SECP256R1()))),
        ("rsa", der(rsa.generate_private_key(65537, 1024))),
    ],
)
def test_what_is_no_private_key_is_refused(kind: str, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        PrivateKey(kind, data)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ProtocolError, match="type 4"):
        PublicKey.decode(KeyMessage(4, b"").encode())
    with pytest.raises(UsageError, match="ed25519"):
        PublicKey("dsa", b"")


def test_the_largest_rsa_key_is_verified() -> None:
    assert not PublicKey("rsa", rsa_public(key_module.RSA_BITS_MAX)).verify(b"", bytes(1024))
