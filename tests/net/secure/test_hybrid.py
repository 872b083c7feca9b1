"""The hybrid handshake depends on X25519 and on ML-KEM."""

import hashlib
import random

import pytest
from tests.net.secure.keys import A, B, Scripted
from tests.net.secure.vectors import (
    HYBRID_CIPHERTEXT,
    HYBRID_HASH,
    HYBRID_KEY_SHA256,
    HYBRID_KEYS,
    HYBRID_MESSAGES_SHA256,
    HYBRID_NAME_SHA256,
    HYBRID_SECRET,
)

from shoal.errors import ProtocolError
from shoal.net.secure.hybrid import XXHFS, MlKem, hybrid
from shoal.net.secure.noise import Noise
from shoal.net.secure.record import LENGTH
from shoal.peer.id import PeerId

MUXERS = ["/yamux/1.0.0"]


class Given(MlKem):
    """Encapsulates to what the vector says: the library cannot be seeded."""

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        assert sha256(public) == HYBRID_KEY_SHA256
        return HYBRID_CIPHERTEXT, HYBRID_SECRET


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def take(side: Noise) -> bytes:
    sent = b"".join(side.out)
    side.out.clear()
    return sent


def test_every_byte_is_that_of_the_vector() -> None:
    seed = b"\x31" * 32 + b"\x32" * 32
    initiator = hybrid(A, True, Scripted(b"\x11" * 32, b"\x12" * 32, seed), MUXERS)
    chance = Scripted(b"\x21" * 32, b"\x22" * 32)
    responder = hybrid(B, False, chance, MUXERS, kem=Given(chance))
    first = take(initiator)
    responder.receive(first)
    second = take(responder)
    initiator.receive(second)
    third = take(initiator)
    responder.receive(third)
    messages = [message[2:] for message in (first, second, third)]
    assert [len(message) for message in messages] == [1216, 1320, 184]
    assert [sha256(message) for message in messages] == HYBRID_MESSAGES_SHA256
    assert sha256(XXHFS.name) == HYBRID_NAME_SHA256
    assert initiator.hash == responder.hash == HYBRID_HASH
    assert responder._state.split() == tuple(HYBRID_KEYS)


def test_two_sides_agree_and_talk() -> None:
    initiator = hybrid(A, True, random.Random(1), MUXERS, PeerId.of(B.public))
    responder = hybrid(B, False, random.Random(2), MUXERS)
    for _ in range(2):
        responder.receive(take(initiator))
        initiator.receive(take(responder))
    assert initiator.done
    assert responder.done
    assert responder.peer_key == A.public
    [wire] = initiator.session.seal([b"quantum"])
    [plain], _ = responder.session.open(memoryview(wire))
    assert plain == b"quantum"


@pytest.mark.parametrize("position", [2 + 31, 2 + 32 + 500, 2 + 32 + 1104 + 3])
def test_a_changed_answer_ends_the_handshake(position: int) -> None:
    initiator = hybrid(A, True, random.Random(1))
    responder = hybrid(B, False, random.Random(2))
    responder.receive(take(initiator))
    answer = bytearray(take(responder))
    answer[position] ^= 1
    with pytest.raises(ProtocolError):
        initiator.receive(answer)


def test_a_wrong_ciphertext_gives_another_secret_and_the_next_tag_does_not_fit() -> None:
    class Liar(MlKem):
        def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
            ciphertext, secret = super().encapsulate(public)
            return ciphertext[::-1], secret

    chance = random.Random(2)
    initiator = hybrid(A, True, random.Random(1))
    responder = hybrid(B, False, chance, kem=Liar(chance))
    responder.receive(take(initiator))
    with pytest.raises(ProtocolError):
        initiator.receive(take(responder))


def test_a_bad_key_is_refused() -> None:
    responder = hybrid(B, False, random.Random(2))
    with pytest.raises(ProtocolError, match="ML-KEM"):
        responder.receive(LENGTH.pack(1216) + b"\x01" * 32 + b"\xff" * 1184)


def test_the_old_and_the_new_handshake_do_not_mix() -> None:
    responder = hybrid(B, False, random.Random(2))
    with pytest.raises(ProtocolError, match="too short"):
        responder.receive(take(Noise(A, True, random.Random(1))))
