"""Two sides of Noise agree on keys and learn who the other is, or close."""

import random

import pytest
from hypothesis import given, strategies as st
from tests.net.secure.keys import A, B, Scripted
from tests.net.secure.vectors import XX_HASH, XX_HELLOS, XX_KEYS, XX_MESSAGES, XX_PAYLOADS

from shoal.errors import ProtocolError
from shoal.net.secure.noise import Noise
from shoal.net.secure.payload import SIGNED, Payload, StaticKey, choose_muxer, verify
from shoal.net.secure.record import LENGTH
from shoal.net.secure.symmetric import SymmetricState
from shoal.peer.id import PeerId

YAMUX = "/yamux/1.0.0"


def pair(**changes: object) -> tuple[Noise, Noise]:
    initiator = Noise(A, True, Scripted(b"\x11" * 32, b"\x12" * 32), [YAMUX])
    responder = Noise(B, False, Scripted(b"\x21" * 32, b"\x22" * 32), [YAMUX], **changes)
    return initiator, responder


def take(side: Noise) -> bytes:
    sent = b"".join(side.out)
    side.out.clear()
    return sent


def shake(initiator: Noise, responder: Noise) -> list[bytes]:
    """All messages, until nobody has more to say."""
    messages = []
    speaker, hearer = initiator, responder
    while sent := take(speaker):
        messages.append(sent)
        assert hearer.receive(sent) == len(sent)
        speaker, hearer = hearer, speaker
    return messages


def test_every_byte_is_that_of_the_vector() -> None:
    initiator, responder = pair()
    messages = shake(initiator, responder)
    assert [message[2:] for message in messages] == XX_MESSAGES
    assert [LENGTH.unpack_from(message)[0] for message in messages] == [32, 216, 184]
    assert initiator.hash == responder.hash == XX_HASH
    assert initiator._state.split() == tuple(XX_KEYS)
    said = [initiator.session.seal([b"hello"]), initiator.session.seal([b"hello"])]
    said.append(responder.session.seal([b"hello"]))
    assert [b"".join(parts) for parts in said] == XX_HELLOS


def test_payloads_are_those_of_the_vector() -> None:
    for key, seed, payload in ((B, 0x22, XX_PAYLOADS[0]), (A, 0x12, XX_PAYLOADS[1])):
        static = StaticKey(key, Scripted(bytes([seed]) * 32))
        assert static.payload([YAMUX]) == payload
        assert verify(payload, static.public, PeerId.of(key.public)) == (key.public, [YAMUX])


def test_both_learn_who_the_other_is_and_which_muxer_to_use() -> None:
    initiator, responder = pair()
    shake(initiator, responder)
    for side, other in ((initiator, B), (responder, A)):
        assert side.done
        assert side.peer_key == other.public
        assert side.peer_id == PeerId.of(other.public)
        assert side.muxer == YAMUX


def test_a_message_is_read_when_it_is_whole_and_nothing_behind_the_handshake() -> None:
    initiator, responder = pair()
    for side, other in ((responder, initiator), (initiator, responder)):
        wire = take(other) + b""
        for end in range(len(wire)):
            assert side.receive(wire[:end]) == 0
        assert side.receive(memoryview(wire)) == len(wire)
    wire = take(initiator)
    record = b"".join(initiator.session.seal([b"early"]))
    assert responder.receive(wire + record) == len(wire)
    plain, used = responder.session.open(memoryview(bytearray(record)))
    assert (b"".join(plain), used) == (b"early", len(record))


def test_one_static_key_serves_many_connections() -> None:
    chance = random.Random(3)
    static = StaticKey(A, chance)
    for _ in range(2):
        initiator = Noise(A, True, chance, static=static)
        responder = Noise(B, False, chance)
        shake(initiator, responder)
        assert responder.peer_key == A.public
        assert responder._their_static == static.public


@pytest.mark.parametrize(
    ("initiators", "responders", "chosen"),
    [
        (["/yamux/1.0.0", "/mplex/6.7.0"], ["/mplex/6.7.0", "/yamux/1.0.0"], "/yamux/1.0.0"),
        (["/mplex/6.7.0", "/yamux/1.0.0"], ["/yamux/1.0.0"], "/yamux/1.0.0"),
        (["/quic"], ["/yamux/1.0.0"], None),
        ([], ["/yamux/1.0.0"], None),
        (["/yamux/1.0.0"], [], None),
    ],
)
def test_the_initiators_first_muxer_that_both_have_is_chosen(
    initiators: list[str], responders: list[str], chosen: str | None
) -> None:
    assert choose_muxer(initiators, responders) == chosen
    chance = random.Random(4)
    initiator = Noise(A, True, chance, initiators)
    responder = Noise(B, False, chance, responders)
    shake(initiator, responder)
    assert initiator.muxer == responder.muxer == chosen


def test_another_peer_than_expected_is_refused() -> None:
    chance = random.Random(5)
    expected = PeerId.of(A.public)
    initiator, responder = Noise(A, True, chance, expected=expected), Noise(B, False, chance)
    responder.receive(take(initiator))
    with pytest.raises(ProtocolError, match=f"{PeerId.of(B.public)} answered"):
        initiator.receive(take(responder))
    assert not initiator.done


def test_a_payload_in_the_first_message_and_unknown_fields_are_ignored() -> None:
    initiator, responder = pair()
    wire = LENGTH.pack(35) + take(initiator)[2:] + b"abc"
    assert responder.receive(wire) == len(wire)
    signed = Payload(A.public.encode(), A.sign(SIGNED + b"s" * 32)).encode()
    assert verify(signed + b"\x1a\x03old\x52\x01x", b"s" * 32, None) == (A.public, [])


@pytest.mark.parametrize("position", [0, 31, 32, 70, 90, 200])
def test_any_changed_byte_ends_the_handshake(position: int) -> None:
    initiator, responder = pair()
    first = bytearray(take(initiator))
    if position < 32:
        first[2 + position] ^= 1
    responder.receive(first)
    second = bytearray(take(responder))
    if position >= 32:
        second[2 + position] ^= 1
    with pytest.raises(ProtocolError):
        initiator.receive(second)


def test_a_bad_signature_is_refused() -> None:
    forged = Payload(A.public.encode(), B.sign(SIGNED + b"s" * 32)).encode()
    with pytest.raises(ProtocolError, match="does not own"):
        verify(forged, b"s" * 32, None)


def test_a_key_that_makes_no_secret_is_refused() -> None:
    _, responder = pair()
    with pytest.raises(ProtocolError, match="no secret"):
        responder.receive(LENGTH.pack(32) + bytes(32))


@pytest.mark.parametrize("size", [0, 31])
def test_a_short_message_is_refused(size: int) -> None:
    _, responder = pair()
    with pytest.raises(ProtocolError, match="too short"):
        responder.receive(LENGTH.pack(size) + bytes(size))


def test_a_second_message_that_ends_before_its_payload_is_refused() -> None:
    initiator, _ = pair()
    with pytest.raises(ProtocolError):
        initiator.receive(LENGTH.pack(80) + XX_MESSAGES[1][:80])


@given(st.binary(min_size=1, max_size=300))
def test_garbage_raises_protocol_errors_only(data: bytes) -> None:
    for side in pair():
        try:
            side.receive(LENGTH.pack(len(data)) + data)
            assert not side.done
        except ProtocolError:
            pass
    with pytest.raises(ProtocolError):
        verify(data, b"s" * 32, None)


def test_a_name_of_up_to_32_bytes_is_its_own_hash() -> None:
    short = SymmetricState(b"Noise_NN")
    again = SymmetricState(b"Noise_NN" + bytes(24))
    assert short.hash == again.hash
