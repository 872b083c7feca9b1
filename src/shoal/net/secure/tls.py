"""TLS 1.3 as libp2p uses it: both sides show a certificate, nobody signs for others.

OpenSSL does the protocol between two memory buffers; the certificate (see
`certificate`) says who is at the other end.  ALPN names the muxers, so that
none has to be negotiated afterwards.

The handshake takes one TLS record at a time, so that it takes no byte of what
follows it.  pyOpenSSL is loaded when the first channel is made.

libp2p/specs tls/tls.md; RFC 8446.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING

from shoal.errors import ProtocolError
from shoal.lazy import Lazy
from shoal.net.secure.payload import check_expected
from shoal.net.secure.record import Bytes
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey, PublicKey

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from OpenSSL import SSL

    from shoal.net.secure import certificate
else:
    SSL = Lazy("OpenSSL.SSL")
    certificate = Lazy("shoal.net.secure.certificate")

PROTOCOL = "/tls/1.0.0"
LIBP2P = b"libp2p"  # in ALPN: no muxer is agreed on yet
RECORD_HEADER = Struct(">BHH")  # type, version, length
RECORD_MAX = 16_384 + 256  # bytes: RFC 8446, section 5.2
READ_SIZE = 65_536  # bytes taken from OpenSSL at a time; it gives at most one record
SERIAL_BITS = 64


class Credentials:
    """A certificate with its key: one set may serve all connections of a host."""

    def __init__(
        self,
        identity: PrivateKey,
        rng: "Random",
        muxers: Sequence[str] = (),
        clock: "Callable[[], datetime] | None" = None,
    ) -> None:
        self.clock = clock or certificate.utc_now
        self.muxers = list(muxers)
        key = certificate.generate_key(rng)
        serial = rng.getrandbits(SERIAL_BITS) | 1
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_min_proto_version(SSL.TLS1_3_VERSION)
        self.context.set_options(SSL.OP_NO_TICKET)
        self.context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        self.context.use_certificate(certificate.make(identity, key, serial, self.clock()))
        self.context.use_privatekey(key)
        # Whatever the certificate is, `verify` below judges it: OpenSSL knows no self-signed ones.
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        names = [*(muxer.encode() for muxer in muxers), LIBP2P]
        self.context.set_alpn_protos(names)
        self.context.set_alpn_select_callback(
            lambda _, offered: next(
                (name for name in offered if name in names), SSL.NO_OVERLAPPING_PROTOCOLS
            )
        )


class Tls:
    """One side of a handshake; when it is `done`, `session` carries on."""

    def __init__(
        self,
        key: PrivateKey,
        initiator: bool,
        rng: "Random",
        muxers: Sequence[str] = (),
        expected: PeerId | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> None:
        self.out: list[bytes] = []
        self.done = False
        self.peer_key: PublicKey | None = None
        self.peer_id: PeerId | None = None
        self.muxer: str | None = None
        self._initiator = initiator
        self._expected = expected
        self._credentials = credentials or Credentials(key, rng, muxers)
        self._connection = SSL.Connection(self._credentials.context, None)
        self.session = TlsSession(self._connection)
        if initiator:
            self._connection.set_connect_state()
            self._advance()
        else:
            self._connection.set_accept_state()

    def receive(self, data: bytes | bytearray | memoryview) -> int:
        """Take whole TLS records, up to the end of the handshake."""
        at = 0
        while not self.done and len(data) - at >= RECORD_HEADER.size:
            _, _, size = RECORD_HEADER.unpack_from(data, at)
            if size > RECORD_MAX:
                raise ProtocolError(f"TLS record of {size} bytes")
            end = at + RECORD_HEADER.size + size
            if end > len(data):
                break
            self._connection.bio_write(bytes(data[at:end]))
            at = end
            self._advance()
        return at

    def _advance(self) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.out += drain(self._connection)  # the alert
            raise ProtocolError(f"TLS handshake failed: {reason(error)}") from None
        else:
            self._know()
        self.out += drain(self._connection)

    def _know(self) -> None:
        chain = self._connection.get_peer_cert_chain() or []
        if len(chain) != self._initiator:  # a server's does not count the first
            raise ProtocolError("more than one certificate")
        try:
            found = self._connection.get_peer_certificate(as_cryptography=True)
        except ValueError as error:  # good enough for OpenSSL only
            raise ProtocolError("certificate that is damaged") from error
        assert found is not None, "OpenSSL was told to require one"
        self.peer_key = certificate.verify(found, self._credentials.clock())
        check_expected(self.peer_key, self._expected)
        self.peer_id = PeerId.of(self.peer_key)
        agreed = self._connection.get_alpn_proto_negotiated()
        self.muxer = agreed.decode() if agreed not in (b"", LIBP2P) else None
        self.done = True


class TlsSession:
    """A TLS channel after its handshake; what it opens is copied, unlike Noise's."""

    overhead = 22  # bytes a record has beside its data: header, content type, tag

    def __init__(self, connection: "SSL.Connection") -> None:
        self._connection = connection

    def open(self, view: memoryview) -> tuple[list[memoryview], int]:
        """Decrypt what is whole; OpenSSL keeps the rest, so all is used up."""
        plain = []
        try:
            self._connection.bio_write(bytes(view))
            while True:
                plain.append(memoryview(self._connection.recv(READ_SIZE)))
        except (SSL.WantReadError, SSL.ZeroReturnError):  # no more, now or ever
            return plain, len(view)
        except SSL.Error as error:
            raise ProtocolError(f"TLS failed: {reason(error)}") from None

    def seal(self, parts: list[Bytes]) -> list[Bytes]:
        """These bytes as records."""
        data = b"".join(parts)
        try:
            if data:
                self._connection.sendall(data)
        except SSL.Error as error:
            raise ProtocolError(f"TLS failed: {reason(error)}") from None
        return [*drain(self._connection)]


def drain(connection: "SSL.Connection") -> list[bytes]:
    """What OpenSSL wants to send."""
    pieces = []
    try:
        while True:
            pieces.append(connection.bio_read(READ_SIZE))
    except SSL.WantReadError:
        return pieces


def reason(error: Exception) -> str:
    """OpenSSL's words: errors hold a list of (library, function, reason)."""
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(detail[-1]) for detail in details) or type(error).__name__
