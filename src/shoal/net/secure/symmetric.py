"""The running state of a Noise handshake: a hash of all that was said, and a key.

Everything that either side sends is hashed into `hash`, which is the
associated data of whatever is encrypted: both sides agree on every byte, or
the next tag fails.  Each shared secret is mixed into `chaining`; at the end it
gives a key for each direction.

The Noise specification, section 5.2 (SymmetricState), with SHA-256, ChaChaPoly.
"""

from hashlib import sha256
from hmac import digest as hmac
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from shoal.errors import ProtocolError

HASH_SIZE = 32
_NONCE = Struct("<4xQ")


class SymmetricState:
    """One side's; both stay equal as long as nobody interferes."""

    def __init__(self, name: bytes, prologue: bytes = b"") -> None:
        self.hash = name.ljust(HASH_SIZE, b"\0") if len(name) <= HASH_SIZE else _sha256(name)
        self.chaining = self.hash
        self._cipher: ChaCha20Poly1305 | None = None  # None: nothing is secret yet
        self._nonce = 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.hash = _sha256(self.hash + data)

    def mix_key(self, secret: bytes) -> None:
        self.chaining, key = _derive(self.chaining, secret)
        self._cipher = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt(self, plain: bytes) -> bytes:
        """EncryptAndHash."""
        text = plain
        if self._cipher is not None:
            text = self._cipher.encrypt(_NONCE.pack(self._nonce), plain, self.hash)
            self._nonce += 1
        self.mix_hash(text)
        return text

    def decrypt(self, text: bytes) -> bytes:
        """DecryptAndHash."""
        plain = text
        if self._cipher is not None:
            try:
                plain = self._cipher.decrypt(_NONCE.pack(self._nonce), text, self.hash)
            except InvalidTag:
                raise ProtocolError("handshake that was forged or damaged") from None
            self._nonce += 1
        self.mix_hash(text)
        return plain

    @property
    def overhead(self) -> int:
        """Bytes that encryption adds now."""
        return 0 if self._cipher is None else 16

    def split(self) -> tuple[bytes, bytes]:
        """The keys from initiator to responder, and back."""
        return _derive(self.chaining, b"")


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _derive(chaining: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """HKDF with two outputs."""
    key = hmac(chaining, secret, "sha256")
    first = hmac(key, b"\x01", "sha256")
    return first, hmac(key, first + b"\x02", "sha256")
