"""What proves in a Noise handshake whose connection it is.

Noise knows static X25519 keys only.  The payload names the libp2p identity and
carries its signature over the static key, and says which muxers the sender
offers, which saves the round trips to negotiate one later.

libp2p/specs noise/README.md, "libp2p data in handshake messages".
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shoal.codec.protobuf import Message, field
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey, PublicKey, generate_exchange

if TYPE_CHECKING:
    from random import Random

SIGNED = b"noise-libp2p-static-key:"  # stands before the key that is signed
MUXERS_MAX = 32  # that a peer may offer


class Extensions(Message):
    """What a side can do beyond the handshake."""

    webtransport_certhashes: list[bytes] = field(1, most=MUXERS_MAX)
    stream_muxers: list[str] = field(2, most=MUXERS_MAX)


class Payload(Message):
    """The encrypted word of each side."""

    identity_key: bytes = field(1)
    identity_sig: bytes = field(2)
    extensions: Extensions | None = field(4)


class StaticKey:
    """Our static key, signed by our identity; one may serve all connections of a host."""

    def __init__(self, identity: PrivateKey, rng: "Random") -> None:
        self.key = generate_exchange(rng)
        self.public = self.key.public_key().public_bytes_raw()
        self._identity_key = identity.public.encode()
        self._signature = identity.sign(SIGNED + self.public)

    def payload(self, muxers: Sequence[str]) -> bytes:
        extensions = Extensions(stream_muxers=list(muxers)) if muxers else None
        return Payload(
            identity_key=self._identity_key, identity_sig=self._signature, extensions=extensions
        ).encode()


def verify(data: bytes, static: bytes, expected: PeerId | None) -> tuple[PublicKey, list[str]]:
    """Whose payload this is, and the muxers it offers; ProtocolError if that is not proven."""
    payload = Payload.decode(data)
    key = PublicKey.decode(payload.identity_key)
    if not key.verify(SIGNED + static, payload.identity_sig):
        raise ProtocolError("the peer does not own the identity that it claims")
    check_expected(key, expected)
    return key, payload.extensions.stream_muxers if payload.extensions else []


def check_expected(key: PublicKey, expected: PeerId | None) -> None:
    """Refuse a peer that is not the one we meant to reach."""
    found = PeerId.of(key)
    if expected is not None and found != expected:
        raise ProtocolError(f"{found} answered where {expected} was expected")


def choose_muxer(initiators: Sequence[str], responders: Sequence[str]) -> str | None:
    """The initiator's first that the responder has too."""
    return next((muxer for muxer in initiators if muxer in responders), None)
