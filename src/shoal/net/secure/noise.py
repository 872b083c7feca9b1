"""Noise XX with libp2p's identities: who is at the other end, in three messages.

    -> e                    an ephemeral key each, and from then on a secret;
    <- e, ee, s, es         the responder's static key and payload, encrypted;
    -> s, se                the initiator's

Each token adds a key or the product of two keys to the running state (see
`symmetric`); the payloads prove who owns the static keys (see `payload`).
Every message has a length of two bytes before it.  Afterwards all travels in
records (see `record`).

The post-quantum form adds two tokens, e1 and ekem1 (see `hybrid`); all else is
the same, so this is the one machine for both.

The Noise specification, section 5.3 and 7.5; libp2p/specs noise/README.md.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from shoal.errors import ProtocolError
from shoal.net.secure.payload import StaticKey, choose_muxer, verify
from shoal.net.secure.record import LENGTH, Session
from shoal.net.secure.symmetric import SymmetricState
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey, PublicKey, generate_exchange

if TYPE_CHECKING:
    from random import Random

PROTOCOL = "/noise"
KEY_SIZE = 32


class Pattern(NamedTuple):
    """A suite's exact name, and the tokens of its messages."""

    name: bytes
    messages: tuple[tuple[str, ...], ...]


XX = Pattern(b"Noise_XX_25519_ChaChaPoly_SHA256", (("e",), ("e", "ee", "s", "es"), ("s", "se")))


class Kem(Protocol):
    """A key encapsulation mechanism, one pair of keys of it."""

    public_size: int
    ciphertext_size: int

    def generate(self) -> bytes: ...  # our public key

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]: ...  # ciphertext, shared secret

    def decapsulate(self, ciphertext: bytes) -> bytes: ...  # the shared secret


class Noise:
    """One side of a handshake; when it is `done`, `session` carries on."""

    def __init__(
        self,
        key: PrivateKey,
        initiator: bool,
        rng: "Random",
        muxers: Sequence[str] = (),
        expected: PeerId | None = None,
        *,
        static: StaticKey | None = None,
        pattern: Pattern = XX,
        kem: Kem | None = None,
    ) -> None:
        self.out: list[bytes] = []
        self.done = False
        self.peer_key: PublicKey | None = None
        self.peer_id: PeerId | None = None
        self.muxer: str | None = None
        self._initiator = initiator
        self._muxers = list(muxers)
        self._expected = expected
        self._ephemeral = generate_exchange(rng)
        self._static = static or StaticKey(key, rng)
        self._messages = pattern.messages
        self._kem: Kem = cast("Kem", kem)  # the patterns without its tokens need none
        self._session: Session | None = None
        self._turn = 0  # which message comes next
        self._state = SymmetricState(pattern.name)
        self._their_ephemeral = self._their_static = self._their_kem = b""
        if initiator:
            self._write()

    @property
    def session(self) -> Session:
        """What carries on when the handshake is done."""
        assert self._session is not None, "the handshake is not done"
        return self._session

    @property
    def hash(self) -> bytes:
        """Of all that was said: equal on both sides, and unlike that of any other connection."""
        return self._state.hash

    def receive(self, data: bytes | memoryview) -> int:
        """Take whole messages, up to the end of the handshake."""
        at = 0
        while not self.done and len(data) - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(data, at)
            end = at + LENGTH.size + size
            if end > len(data):
                break
            self._read(bytes(data[at + LENGTH.size : end]))
            at = end
            if not self.done:
                self._write()
        return at

    def _write(self) -> None:
        message = b"".join([self._say(token) for token in self._messages[self._turn]])
        # Only what is encrypted may be told: nothing yet in the first message.
        payload = self._static.payload(self._muxers) if self._turn else b""
        message += self._state.encrypt(payload)
        self.out.append(LENGTH.pack(len(message)) + message)
        self._next()

    def _read(self, message: bytes) -> None:
        at = 0
        for token in self._messages[self._turn]:
            at = self._hear(token, message, at)
        payload = self._state.decrypt(message[at:])
        if self._turn:
            self._know(payload)
        self._next()

    def _know(self, payload: bytes) -> None:
        self.peer_key, theirs = verify(payload, self._their_static, self._expected)
        self.peer_id = PeerId.of(self.peer_key)
        ours = self._muxers
        self.muxer = choose_muxer(ours, theirs) if self._initiator else choose_muxer(theirs, ours)

    def _next(self) -> None:
        self._turn += 1
        if self._turn == len(self._messages):
            ours, theirs = self._state.split()
            if not self._initiator:
                ours, theirs = theirs, ours
            self._session = Session(ours, theirs)
            self.done = True

    # Tokens

    def _say(self, token: str) -> bytes:
        state = self._state
        if token == "e":
            public = self._ephemeral.public_key().public_bytes_raw()
            state.mix_hash(public)
            return public
        if token == "s":
            return state.encrypt(self._static.public)
        if token == "e1":
            return state.encrypt(self._kem.generate())
        if token == "ekem1":
            ciphertext, secret = self._kem.encapsulate(self._their_kem)
            told = state.encrypt(ciphertext)
            state.mix_key(secret)
            return told
        self._agree(token)
        return b""

    def _hear(self, token: str, message: bytes, at: int) -> int:
        """Take a token from the message; where the next one begins."""
        state = self._state
        if token == "e":
            self._their_ephemeral, at = _take(message, at, KEY_SIZE)
            state.mix_hash(self._their_ephemeral)
        elif token == "s":
            told, at = _take(message, at, KEY_SIZE + state.overhead)
            self._their_static = state.decrypt(told)
        elif token == "e1":
            told, at = _take(message, at, self._kem.public_size + state.overhead)
            self._their_kem = state.decrypt(told)
        elif token == "ekem1":
            told, at = _take(message, at, self._kem.ciphertext_size + state.overhead)
            state.mix_key(self._kem.decapsulate(state.decrypt(told)))
        else:
            self._agree(token)
        return at

    def _agree(self, token: str) -> None:
        """Mix in the product of two keys: the token names the initiator's first."""
        ours, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        private = self._ephemeral if ours == "e" else self._static.key
        public = self._their_ephemeral if theirs == "e" else self._their_static
        try:
            secret = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # the product is zero
            raise ProtocolError("the peer sent a key that makes no secret") from None
        self._state.mix_key(secret)


def _take(message: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(message):
        raise ProtocolError("handshake message that is too short")
    return message[at : at + size], at + size
