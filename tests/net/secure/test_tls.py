"""Two sides of TLS 1.3 learn who the other is, or close."""

import contextlib
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st
from OpenSSL import SSL
from tests.net.secure.keys import A, B

from shoal.errors import ProtocolError
from shoal.net.secure import certificate
from shoal.net.secure.tls import RECORD_HEADER, Credentials, Tls, drain, reason
from shoal.peer.id import PeerId

YAMUX, MPLEX = "/yamux/1.0.0", "/mplex/6.7.0"


def credentials(
    identity: object = A, muxers: list[str] | None = None, ago: timedelta = timedelta(0)
) -> Credentials:
    clock = lambda: datetime.now(UTC) - ago  # noqa: E731
    return Credentials(identity, random.Random(1), muxers or [], clock)


def initiator(**changes: object) -> Tls:
    return Tls(A, True, random.Random(1), **changes)


def responder(**changes: object) -> Tls:
    return Tls(B, False, random.Random(2), **changes)


def take(side: Tls) -> bytes:
    sent = b"".join(side.out)
    side.out.clear()
    return sent


def feed(side: Tls, data: bytes) -> None:
    """The handshake, and what comes behind it."""
    used = side.receive(data)
    if used < len(data):
        assert side.done
        plain, rest = side.session.open(memoryview(data)[used:])
        assert used + rest == len(data)
        assert not b"".join(plain)


def shake(one: Tls, two: Tls) -> None:
    while one.out or two.out:
        feed(two, take(one))
        feed(one, take(two))


def test_both_learn_who_the_other_is_and_which_muxer_to_use() -> None:
    one = initiator(muxers=[YAMUX, MPLEX], expected=PeerId.of(B.public))
    two = responder(muxers=[MPLEX, YAMUX])
    shake(one, two)
    assert (one.done, two.done) == (True, True)
    assert (one.peer_key, two.peer_key) == (B.public, A.public)
    assert (one.peer_id, two.peer_id) == (PeerId.of(B.public), PeerId.of(A.public))
    assert (one.muxer, two.muxer) == (YAMUX, YAMUX)


def test_bytes_travel_both_ways_in_records() -> None:
    one, two = initiator(), responder()
    shake(one, two)
    assert one.muxer is None
    data = random.Random(1).randbytes(100_000)
    for sender, receiver in ((one.session, two.session), (two.session, one.session)):
        wire = b"".join(sender.seal([data[:10], memoryview(data)[10:]]))
        heard = b""
        for start in range(0, len(wire), 30_000):
            part = memoryview(wire)[start : start + 30_000]
            plain, used = receiver.open(part)
            assert used == len(part)
            heard += b"".join(plain)
        assert heard == data
        assert sender.seal([]) == []


def test_byte_at_a_time_and_nothing_behind_the_handshake_is_taken() -> None:
    one, two = initiator(), responder()
    for side, other in ((two, one), (one, two), (two, one)):
        data = take(other)
        if other.done:
            data += b"".join(other.session.seal([b"early"]))
        waiting = b""
        for byte in data:
            waiting += bytes([byte])
            waiting = waiting[side.receive(waiting) :]
        if side.done and waiting:
            assert b"".join(side.session.open(memoryview(waiting))[0]) == b"early"
    assert two.done


def test_one_certificate_serves_many_connections() -> None:
    ours = credentials(muxers=[YAMUX])
    for _ in range(2):
        one, two = initiator(credentials=ours, muxers=[YAMUX]), responder(muxers=[YAMUX])
        shake(one, two)
        assert two.peer_key == A.public
        assert two.muxer == YAMUX


def test_another_peer_than_expected_is_refused() -> None:
    one, two = initiator(expected=PeerId.of(A.public)), responder()
    two.receive(take(one))
    with pytest.raises(ProtocolError, match="answered"):
        one.receive(take(two))
    assert not one.done


def test_a_certificate_out_of_its_time_is_refused() -> None:
    late = credentials(ago=timedelta(hours=-2))
    one, two = initiator(credentials=late), responder()
    with pytest.raises(ProtocolError, match="not valid now"):
        shake(one, two)


class Plain:
    """A peer on OpenSSL that keeps fewer rules."""

    def __init__(self, context: SSL.Context, *, client: bool) -> None:
        self.connection = SSL.Connection(context, None)
        if client:
            self.connection.set_connect_state()
        else:
            self.connection.set_accept_state()

    def say(self, heard: bytes = b"") -> bytes:
        if heard:
            self.connection.bio_write(heard)
        with contextlib.suppress(SSL.WantReadError):
            self.connection.do_handshake()
        return b"".join(drain(self.connection))


def converse(plain: Plain, side: Tls) -> None:
    heard = take(side)
    for _ in range(4):
        side.receive(plain.say(heard))
        heard = take(side)


def test_a_client_without_a_certificate_is_refused() -> None:
    plain = Plain(SSL.Context(SSL.TLS_METHOD), client=True)
    with pytest.raises(ProtocolError, match="certificate"):
        converse(plain, responder())


def test_an_older_version_is_refused_with_an_alert() -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    plain = Plain(context, client=True)
    side = responder()
    with pytest.raises(ProtocolError, match="protocol"):
        converse(plain, side)
    assert take(side)[0] == 21


@pytest.mark.parametrize("client", [True, False])
def test_a_second_certificate_is_refused(client: bool) -> None:
    context = credentials().context
    extra = certificate.make(B, certificate.generate_key(random.Random(3)), 5, datetime.now(UTC))
    context.add_extra_chain_cert(extra)
    side = responder() if client else initiator()
    with pytest.raises(ProtocolError, match="more than one"):
        converse(Plain(context, client=client), side)


@pytest.mark.parametrize("names", [[], [b"h2"], [b"libp2p"]])
def test_without_a_common_muxer_none_is_agreed_on(names: list[bytes]) -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    key = certificate.generate_key(random.Random(3))
    context.use_certificate(certificate.make(A, key, 5, datetime.now(UTC)))
    context.use_privatekey(key)
    if names:
        context.set_alpn_protos(names)
    side = responder(muxers=[YAMUX])
    converse(Plain(context, client=True), side)
    assert side.done
    assert side.muxer is None


def test_a_farewell_is_no_error_and_damage_is_one() -> None:
    one, two = initiator(), responder()
    shake(one, two)
    wire = bytearray(b"".join(one.session.seal([b"x" * 100])))
    one._connection.shutdown()
    bye = b"".join(drain(one._connection))
    damaged = bytearray(wire)
    damaged[50] ^= 1
    plain, _ = two.session.open(memoryview(bytes(wire) + bye))
    assert b"".join(plain) == b"x" * 100
    third, fourth = initiator(), responder()
    shake(third, fourth)
    with pytest.raises(ProtocolError, match="TLS failed"):
        fourth.session.open(memoryview(damaged))
    with pytest.raises(ProtocolError, match="TLS failed"):
        fourth.session.seal([b"more"])


def test_a_record_longer_than_the_protocol_allows_is_refused() -> None:
    with pytest.raises(ProtocolError, match="16641"):
        responder().receive(RECORD_HEADER.pack(22, 0x301, 16_641))


def test_an_error_without_details_still_has_a_name() -> None:
    assert reason(SSL.Error()) == "Error"


class Damaged:
    """A connection whose certificate OpenSSL likes and the other library does not."""

    def do_handshake(self) -> None:
        pass

    def get_peer_cert_chain(self) -> None:
        return None

    def get_peer_certificate(self, *, as_cryptography: bool) -> None:
        raise ValueError(as_cryptography)


def test_a_certificate_that_cannot_be_read_is_refused() -> None:
    side = responder()
    side._connection = Damaged()
    with pytest.raises(ProtocolError, match="damaged"):
        side._advance()


@given(st.binary(min_size=1, max_size=100))
def test_garbage_raises_protocol_errors_only(data: bytes) -> None:
    for side in (responder(credentials=SHARED), initiator(credentials=SHARED)):
        with contextlib.suppress(ProtocolError):
            side.receive(RECORD_HEADER.pack(22, 0x303, len(data)) + data)
        assert not side.done


SHARED = credentials()
