"""The keys that peers are known by: sign, verify, and their libp2p bytes.

A peer is whoever can sign with its key.  Ed25519 is what we make; secp256k1 and
RSA are made and read, because real peers have them; ECDSA is only verified, as
two of the three libp2p programs refuse it.

libp2p/specs, peer-ids/peer-ids.md: a key is the message {type, data}, and both
fields are always written, for the peer id is the hash of exactly these bytes.
Signatures: Ed25519 as it is; RSA PKCS #1 v1.5, secp256k1 and ECDSA in DER, all
three over SHA-256.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from shoal.codec.protobuf import Message, field
from shoal.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from random import Random

RSA_BITS_MIN = 2048  # below this go-libp2p hangs up
RSA_BITS_MAX = 8192  # verifying takes time that grows with the square
DATA_MAX = 8192  # bytes; a private RSA key of 8192 bits has 4700

_SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_ECDSA_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # those that Go's library has


class KeyMessage(Message):
    """Both keys on the wire."""

    type: int = field(1, always=True)
    data: bytes = field(2, always=True)


class PublicKey:
    """A key that verifies; equal to another if their bytes are."""

    __slots__ = ("_encoded", "_key", "data", "kind")

    def __init__(self, kind: str, data: bytes) -> None:
        """The data is as in the message; ProtocolError if it is no such key."""
        scheme = _scheme(kind)
        self.kind = kind
        self.data = data
        self._key = _load(scheme.load_public, data)
        self._encoded = KeyMessage(scheme.code, data).encode()

    def verify(self, data: bytes | memoryview, signature: bytes) -> bool:
        try:
            _scheme(self.kind).verify(self._key, signature, data)
        except InvalidSignature:
            return False
        return True

    def encode(self) -> bytes:
        return self._encoded

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        return cls(*_decode(data))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self._encoded == other._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    def __repr__(self) -> str:
        return f"PublicKey({self.kind!r}, {self.data.hex()})"


class PrivateKey:
    """A key that signs.  What it prints does not show the secret."""

    __slots__ = ("_key", "data", "kind", "public")

    def __init__(self, kind: str, data: bytes) -> None:
        """The data is as in the message; ProtocolError if it is no such key."""
        scheme = _scheme(kind)
        self.kind = kind
        self._key = _load(scheme.load_private, data)
        self.data = scheme.dump_private(self._key)
        self.public = PublicKey(kind, scheme.dump_public(self._key.public_key()))

    @classmethod
    def generate(cls, rng: "Random", kind: str = "ed25519") -> Self:
        """A new key from 32 bytes of `rng`; RSA alone takes its own chance."""
        return cls(kind, _scheme(kind).generate(rng))

    def sign(self, data: bytes | memoryview) -> bytes:
        return _scheme(self.kind).sign(self._key, data)

    def encode(self) -> bytes:
        return KeyMessage(_scheme(self.kind).code, self.data).encode()

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        return cls(*_decode(data))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"PrivateKey of {self.public!r}"


Key = PrivateKey  # its public name: `shoal.Key`


def generate_exchange(rng: "Random") -> X25519PrivateKey:
    """A key for one Diffie-Hellman agreement (Noise), repeatable like the others."""
    return X25519PrivateKey.from_private_bytes(rng.randbytes(32))


def _decode(data: bytes | memoryview) -> tuple[str, bytes]:
    message = KeyMessage.decode(data)
    if message.type not in _KINDS:
        raise ProtocolError(f"no key has type {message.type}")
    return _KINDS[message.type], message.data


def _load(load: Callable[[bytes], Any], data: bytes) -> Any:
    if len(data) > DATA_MAX:
        raise ProtocolError(f"key is over {DATA_MAX} bytes")
    try:
        return load(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProtocolError(f"not a key: {error}") from error


# Ed25519: the public key is 32 bytes; the private key is the seed, then the public key again.


def _load_ed25519(data: bytes) -> ed25519.Ed25519PrivateKey:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(data[:32])
    public = _raw(key.public_key())
    if data[32:] not in (public, public + public):  # 96 bytes were written once
        raise ProtocolError("the two halves of an Ed25519 key do not belong together")
    return key


def _dump_ed25519(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes_raw() + _raw(key.public_key())


def _generate_ed25519(rng: "Random") -> bytes:
    return _dump_ed25519(ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))


def _raw(key: ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes_raw()


# secp256k1: the public key is a compressed point, the private key a number of 32 bytes.


def _load_secp256k1_public(data: bytes) -> ec.EllipticCurvePublicKey:
    if len(data) != 33:
        raise ProtocolError("a secp256k1 key has 33 bytes")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), data)


def _dump_secp256k1_public(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _load_secp256k1(data: bytes) -> ec.EllipticCurvePrivateKey:
    if len(data) != 32:
        raise ProtocolError("a private secp256k1 key has 32 bytes")
    return ec.derive_private_key(int.from_bytes(data), ec.SECP256K1())


def _dump_secp256k1(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_numbers().private_value.to_bytes(32)


def _generate_secp256k1(rng: "Random") -> bytes:
    number = int.from_bytes(rng.randbytes(32)) % (_SECP256K1_ORDER - 1) + 1
    return number.to_bytes(32)


def _sign_secp256k1(key: ec.EllipticCurvePrivateKey, data: bytes | memoryview) -> bytes:
    """Deterministic (RFC 6979), and with the lower s: js and py refuse the higher one."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True)))
    return encode_dss_signature(r, min(s, _SECP256K1_ORDER - s))


# RSA and ECDSA: the public key is a SubjectPublicKeyInfo in DER; RSA's private key is PKCS #1.


def _load_rsa_public(data: bytes) -> rsa.RSAPublicKey:
    key = load_der_public_key(data)
    if not isinstance(key, rsa.RSAPublicKey) or _dump_spki(key) != data:
        raise ProtocolError("not an RSA key in DER")
    _check_size(key.key_size)
    return key


def _load_rsa(data: bytes) -> rsa.RSAPrivateKey:
    key = load_der_private_key(data, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ProtocolError("not an RSA key in DER")
    _check_size(key.key_size)
    return key


def _check_size(bits: int) -> None:
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise ProtocolError(f"an RSA key of {bits} bits: {RSA_BITS_MIN} to {RSA_BITS_MAX} are good")


def _load_ecdsa_public(data: bytes) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(data)
    if not isinstance(key, ec.EllipticCurvePublicKey) or _dump_spki(key) != data:
        raise ProtocolError("not an ECDSA key in DER")
    if not isinstance(key.curve, _ECDSA_CURVES):
        raise ProtocolError(f"no peer has an ECDSA key on {key.curve.name}")
    return key


def _load_ecdsa(data: bytes) -> None:
    raise ProtocolError("ECDSA keys are only verified")


def _dump_spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _dump_rsa(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


class _Scheme(NamedTuple):
    """What one kind of key needs; `Any` is that kind's class in `cryptography`."""

    code: int
    load_public: Callable[[bytes], Any]
    dump_public: Callable[[Any], bytes]
    verify: Callable[[Any, bytes, bytes | memoryview], object]
    load_private: Callable[[bytes], Any]
    dump_private: Callable[[Any], bytes]
    sign: Callable[[Any, bytes | memoryview], bytes]
    generate: Callable[["Random"], bytes]


def _never(*_: object) -> bytes:
    raise UsageError("ECDSA keys are only verified")


_SCHEMES = {
    "rsa": _Scheme(
        0,
        _load_rsa_public,
        _dump_spki,
        lambda key, signature, data: key.verify(signature, data, padding.PKCS1v15(), SHA256()),
        _load_rsa,
        _dump_rsa,
        lambda key, data: key.sign(data, padding.PKCS1v15(), SHA256()),
        lambda _: _dump_rsa(rsa.generate_private_key(65537, RSA_BITS_MIN)),
    ),
    "ed25519": _Scheme(
        1,
        ed25519.Ed25519PublicKey.from_public_bytes,
        _raw,
        lambda key, signature, data: key.verify(signature, data),
        _load_ed25519,
        _dump_ed25519,
        lambda key, data: key.sign(data),
        _generate_ed25519,
    ),
    "secp256k1": _Scheme(
        2,
        _load_secp256k1_public,
        _dump_secp256k1_public,
        lambda key, signature, data: key.verify(signature, data, ec.ECDSA(SHA256())),
        _load_secp256k1,
        _dump_secp256k1,
        _sign_secp256k1,
        _generate_secp256k1,
    ),
    "ecdsa": _Scheme(
        3,
        _load_ecdsa_public,
        _dump_spki,
        lambda key, signature, data: key.verify(signature, data, ec.ECDSA(SHA256())),
        _load_ecdsa,
        _never,
        _never,
        _never,
    ),
}
_KINDS = {scheme.code: kind for kind, scheme in _SCHEMES.items()}


def _scheme(kind: str) -> _Scheme:
    if kind not in _SCHEMES:
        raise UsageError(f"no kind of key is called {kind!r}: choose one of {', '.join(_SCHEMES)}")
    return _SCHEMES[kind]
