"""The cores of a connection as decoders: what a stranger can say to each, and good beginnings."""

import contextlib
import random

from tests.net.secure.keys import A, B, Scripted
from tests.net.secure.test_certificate import EXTENSION
from tests.net.secure.vectors import XX_HELLOS, XX_KEYS, XX_MESSAGES, XX_PAYLOADS

from shoal.errors import ClosedError, LimitError, NotFoundError, ProtocolError
from shoal.net import multistream
from shoal.net.mux import frames
from shoal.net.mux.mplex import Mplex
from shoal.net.mux.sink import Deaf
from shoal.net.mux.yamux import Yamux
from shoal.net.secure.hybrid import hybrid
from shoal.net.secure.noise import Noise
from shoal.net.secure.payload import StaticKey, verify
from shoal.net.secure.record import LENGTH, Session
from shoal.net.secure.tls import Credentials, Tls

_INITIATOR = StaticKey(A, Scripted(b"\x12" * 32))  # those of the vectors
_RESPONDER = StaticKey(B, Scripted(b"\x22" * 32))
_CREDENTIALS = Credentials(B, random.Random(1), ["/yamux/1.0.0"])

Bytes = bytes | memoryview


def dialer(data: Bytes) -> None:
    with contextlib.suppress(NotFoundError):
        multistream.Dialer(["/a", "/b"]).receive(data)


def listener(data: Bytes) -> None:
    multistream.Listener({"/noise", "/b"}).receive(data)


def noise_initiator(data: Bytes) -> None:
    Noise(A, True, Scripted(b"\x11" * 32), static=_INITIATOR).receive(data)


def noise_responder(data: Bytes) -> None:
    Noise(B, False, random.Random(1), static=_RESPONDER).receive(data)


def noise_payload(data: Bytes) -> None:
    verify(bytes(data), _RESPONDER.public, None)


def post_quantum(data: Bytes) -> None:
    hybrid(B, False, random.Random(1), static=_RESPONDER).receive(data)


def tls(data: Bytes) -> None:
    with contextlib.suppress(ProtocolError):  # its seeds would need the secrets of its hello
        Tls(B, True, random.Random(1), credentials=_CREDENTIALS).receive(data)
    Tls(B, False, random.Random(1), credentials=_CREDENTIALS).receive(data)


def records(data: Bytes) -> None:
    Session(XX_KEYS[1], XX_KEYS[0]).open(memoryview(bytearray(data)))


def yamux(data: Bytes) -> None:
    mux = Yamux(False, 0.0, accept=lambda _: Deaf())
    with contextlib.suppress(ClosedError, LimitError):
        mux.receive(memoryview(data), 1.0)


def mplex(data: Bytes) -> None:
    Mplex(False, 0.0, accept=lambda _: Deaf()).receive(memoryview(data), 1.0)


def _frame(kind: int, flags: int, number: int, length: int, data: bytes = b"") -> bytes:
    return frames.HEADER.pack(0, kind, flags, number, length) + data


_HEADER = multistream.encode(multistream.HEADER)

IDENTIFY = (  # one message, and two that are merged
    bytes.fromhex(
        "630a24080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
        "1208047f000001060fa11a102f697066732f70696e672f312e302e302208047f00000106c000"
        "2a0a697066732f302e312e30320973686f616c2f302e31"
    ),
    bytes.fromhex("022a00043a000a0001320a"),
)
DIALERS = (_HEADER + multistream.encode("/a"), _HEADER + multistream.encode("na") * 2)
LISTENERS = (_HEADER + multistream.encode("/noise") + b"early", _HEADER + b"\x03ls\n\x03/b\n")
NOISE_INITIATOR = (LENGTH.pack(len(XX_MESSAGES[1])) + XX_MESSAGES[1],)
NOISE_RESPONDER = (LENGTH.pack(len(XX_MESSAGES[0])) + XX_MESSAGES[0],)
PAYLOADS = (XX_PAYLOADS[0],)
POST_QUANTUM = tuple(b"".join(hybrid(A, True, random.Random(seed)).out) for seed in range(2))
TLS = (b"".join(Tls(A, True, random.Random(1)).out), b"\x15\x03\x03\x00\x02\x02\x28")
EXTENSIONS = (EXTENSION, b"\x30\x04\x04\x00\x04\x00")
RECORDS = (XX_HELLOS[0] + XX_HELLOS[1], XX_HELLOS[0])
YAMUX = (
    _frame(frames.WINDOW_UPDATE, frames.SYN, 1, 0)
    + _frame(frames.DATA, frames.FIN, 1, 5, b"hello")
    + _frame(frames.PING, frames.SYN, 0, 7)
    + _frame(frames.GO_AWAY, 0, 0, 0),
    _frame(frames.DATA, frames.SYN, 3, 1, b"x") + _frame(frames.WINDOW_UPDATE, frames.RST, 3, 0),
)
MPLEX = (b"\x08\x02i1\x0a\x05hello\x0c\x00\x0e\x00", b"\x88\x01\x00\x8a\x01\x01x\x8e\x01\x00")
