"""Two sides prove to each other that they know the same words, and tell nobody which.

SPAKE2 makes a strong key out of a weak password: each side sends one point of a
curve, blinded by the password, and has the same key afterwards if and only if
the passwords were equal.  Who listens learns nothing, and who takes part
with a guess learns whether that one guess was right.  Then both prove the key, the
receiver first: a guesser at the sender's door has shown its guess before it
learns anything.

The names of both sides are the peer ids which the connection's own handshake has
proved, so nobody can stand between the two and pass the points on.

RFC 9382; the group and the transcript are those of the `spake2` package (Ed25519).
"""

import hashlib
import hmac
from typing import TYPE_CHECKING

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from shoal.errors import ProtocolError

if TYPE_CHECKING:
    from random import Random

SHARE_SIZE = 33  # bytes: the side's letter and a point
PROOF_SIZE = 32  # bytes of SHA-256
RECEIVER, SENDER = b"receiver", b"sender"


class Pake:
    """One attempt, on one side.

    `share` goes to the other side, `receive` takes the other's; then `proof` is to
    be sent and `check` looks at the other's.
    """

    def __init__(
        self, password: bytes, protocol: str, receiver: bytes, sender: bytes,
        *, is_sender: bool, rng: "Random",
    ) -> None:  # fmt: skip
        self._role, self._other = (SENDER, RECEIVER) if is_sender else (RECEIVER, SENDER)
        side = SPAKE2_B if is_sender else SPAKE2_A
        name = protocol.encode() + b"\0"
        self._spake = side(password, name + receiver, name + sender, entropy_f=rng.randbytes)
        self._key = b""
        self.share: bytes = self._spake.start()

    def receive(self, share: bytes) -> None:
        """The other side's share; ProtocolError if it is none."""
        if len(share) != SHARE_SIZE:
            raise ProtocolError(f"a share of {len(share)} bytes, {SHARE_SIZE} are right")
        try:
            self._key = self._spake.finish(share)
        except (SPAKEError, NotOnCurve, ValueError, AssertionError) as error:
            raise ProtocolError(f"a share that is no point: {error}") from None

    @property
    def proof(self) -> bytes:
        return self._proof_of(self._role)

    def check(self, proof: bytes) -> bool:
        """Whether the other side has the same key."""
        return hmac.compare_digest(proof, self._proof_of(self._other))

    def _proof_of(self, role: bytes) -> bytes:
        assert self._key, "first receive"
        return hmac.new(self._key, b"shoal send: " + role, hashlib.sha256).digest()
