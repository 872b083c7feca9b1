"""Noise XXhfs: the same handshake, safe against a later quantum computer.

Whoever records a connection today could open it once X25519 is broken.  So the
initiator also sends a key of ML-KEM-768 (e1) and the responder answers with a
secret encapsulated to it (ekem1): the keys depend on both, and stay secret as
long as one of them holds.  Who is who is still proven by signatures of today,
which nobody can forge in retrospect.

    -> e, e1        <- e, ee, ekem1, s, es        -> s, se

Decapsulation never fails: with a wrong ciphertext it gives another secret, and
the next tag does not fit.

A draft (libp2p/specs #727), whose protocol id is not settled: it is a setting.
FIPS 203; the Noise HFS extension, with the secret mixed in after its ciphertext.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from shoal.errors import ProtocolError
from shoal.net.secure.noise import Kem, Noise, Pattern
from shoal.net.secure.payload import StaticKey
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

if TYPE_CHECKING:
    from random import Random

PROTOCOL = "/noise-mlkem768-hfs/0.2.0"  # what running implementations use

XXHFS = Pattern(
    b"Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256",
    (("e", "e1"), ("e", "ee", "ekem1", "s", "es"), ("s", "se")),
)
SEED_SIZE = 64  # FIPS 203: d and z


class MlKem:
    """ML-KEM-768 with one pair of keys."""

    public_size = 1184
    ciphertext_size = 1088

    def __init__(self, rng: "Random") -> None:
        self._rng = rng

    def generate(self) -> bytes:
        self._key = MLKEM768PrivateKey.from_seed_bytes(self._rng.randbytes(SEED_SIZE))
        return self._key.public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        try:
            secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
        except ValueError:
            raise ProtocolError("the peer sent a bad ML-KEM key") from None
        return ciphertext, secret

    def decapsulate(self, ciphertext: bytes) -> bytes:
        return self._key.decapsulate(ciphertext)


def hybrid(
    key: PrivateKey,
    initiator: bool,
    rng: "Random",
    muxers: Sequence[str] = (),
    expected: PeerId | None = None,
    *,
    static: StaticKey | None = None,
    kem: Kem | None = None,
) -> Noise:
    """One side of the hybrid handshake."""
    return Noise(
        key,
        initiator,
        rng,
        muxers,
        expected,
        static=static,
        pattern=XXHFS,
        kem=kem or MlKem(rng),
    )
