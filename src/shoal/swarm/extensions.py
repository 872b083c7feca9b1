"""What BitTorrent's peers say beside pieces: who they are, metadata, hashes of v2.

One `Extensions` belongs to one `PeerWire` and writes into its `out`.  Messages
are sent with the numbers that the peer has given to its extensions.

BEP 9 (metadata), BEP 10 (extended handshake), BEP 52 (hash requests).
"""

from typing import Any

from shoal.codec import bencode
from shoal.errors import ProtocolError
from shoal.swarm.merkle import HASH, HASHES_MAX, split, uncle_count
from shoal.swarm.messages import (
    CLIENT,
    EXTENDED,
    EXTENDED_HANDSHAKE,
    HASH_REJECT,
    HASH_REQUEST,
    HASHES,
    RANGE,
    UT_METADATA,
    Hello,
    decode_range,
    encode_message,
    encode_range,
    expect_length,
)  # fmt: skip
from shoal.swarm.metadata import METADATA_PIECE
from shoal.swarm.remote import QUEUE_DEFAULT
from shoal.swarm.serving import QUEUE_MAX
from shoal.swarm.session import Session

ANSWERS_MAX = 1 << 20  # bytes of hashes that wait to be sent to one peer; more is refused
METADATA_COPIES = 8  # times that we send one peer the whole metadata


class Extensions:
    """The extended side of one connection."""

    def __init__(self, out: list[Any], session: Session, key: int) -> None:
        self.out = out
        self.session = session
        self.key = key  # of this connection in the session
        self.client = ""  # what the peer calls itself
        self.port = 0  # on which it listens, if it said so
        self.queue = QUEUE_DEFAULT  # requests that it lets wait
        self._numbers: dict[bytes, int] = {}  # the peer's numbers for extensions
        self._metadata_sent = 0
        self._answered = 0  # bytes of hashes in `out`

    def greet(self, *, dialled: bool) -> None:
        session = self.session
        hello = Hello({b"ut_metadata": UT_METADATA}, QUEUE_MAX, client=CLIENT.decode())
        hello.metadata_size = len(session.info or b"")
        hello.port = session.port if dialled else 0  # who dialled us knows it
        hello.upload_only = session.complete
        self._send(EXTENDED_HANDSHAKE, hello.encode())

    def _send(self, number: int, body: bytes) -> None:
        self.out.append(encode_message(EXTENDED, bytes([number]), body))

    def receive(self, body: memoryview) -> None:
        if not len(body):
            raise ProtocolError("an extended message without a number")
        if body[0] == EXTENDED_HANDSHAKE:
            self._on_hello(body[1:])
        elif body[0] == UT_METADATA:
            self._on_metadata(body[1:])

    def _on_hello(self, body: memoryview) -> None:
        hello = Hello.decode(body)
        if hello is None:
            return
        self._numbers.update(hello.numbers)
        self.client = hello.client or self.client
        self.port = hello.port or self.port
        if hello.queue is not None:
            self.queue = min(hello.queue, QUEUE_MAX)
        if hello.metadata_size and self._numbers.get(b"ut_metadata"):
            self.want_metadata(hello.metadata_size)

    def want_metadata(self, size: int) -> None:
        self._ask_metadata(self.session.metadata_offered(self.key, size))

    def _ask_metadata(self, pieces: list[int]) -> None:
        number = self._numbers.get(b"ut_metadata", 0)
        for piece in pieces if number else ():
            message = bencode.encode({b"msg_type": 0, b"piece": piece})
            self._send(number, message)

    def _on_metadata(self, body: memoryview) -> None:
        fields, end = bencode.decode_prefix(body, lenient=True)
        session = self.session
        if not isinstance(fields, dict):
            raise ProtocolError("a metadata message that is no dictionary")
        kind, piece = fields.get(b"msg_type"), fields.get(b"piece")
        if not isinstance(kind, int) or not isinstance(piece, int):
            raise ProtocolError("a metadata message without a type or piece")
        if kind == 0:
            self._send_metadata(session, piece)
        elif kind == 1:
            self._ask_metadata(session.metadata_came(self.key, piece, bytes(body[end:])))
        elif kind == 2:
            session.metadata_refused(self.key)

    def _send_metadata(self, session: Session, piece: int) -> None:
        info = session.info
        number = self._numbers.get(b"ut_metadata", 0)
        if not number:
            return
        start = piece * METADATA_PIECE
        enough = METADATA_COPIES * (len(info or b"") + METADATA_PIECE)
        if info is None or not 0 <= start < len(info) or self._metadata_sent > enough:
            refusal = {b"msg_type": 2, b"piece": piece}
            self._send(number, bencode.encode(refusal))
            return
        self._metadata_sent += METADATA_PIECE
        fields = {b"msg_type": 1, b"piece": piece, b"total_size": len(info)}
        data = info[start : start + METADATA_PIECE]
        self._send(number, bencode.encode(fields) + data)

    # Hashes of v2

    def on_hash_request(self, body: memoryview) -> None:
        expect_length(body, RANGE.size)
        request = decode_range(body)
        if not self.out:
            self._answered = 0  # they have left
        greedy = self._answered >= ANSWERS_MAX
        answer = None if greedy else self.session.answer_hashes(request)
        if answer is None:
            self.out.append(encode_message(HASH_REJECT, bytes(body)))
        else:
            self.out.append(encode_message(HASHES, bytes(body), *answer))
            self._answered += HASH * len(answer)

    def on_hashes(self, body: memoryview) -> None:
        request = decode_range(body)
        hashes = body[RANGE.size :]
        if request.length > HASHES_MAX or len(hashes) != HASH * (
            request.length + uncle_count(request)
        ):
            raise ProtocolError("a message with a wrong number of hashes")
        self.session.layers_came(self.key, request, split(bytes(hashes)))
        self.want_layers()

    def on_hash_reject(self, body: memoryview) -> None:
        expect_length(body, RANGE.size)
        self.session.layers_refused(self.key, decode_range(body))

    def want_layers(self) -> None:
        """Ask for piece layers, if the session wants any."""
        for each in self.session.next_layers(self.key):
            self.out.append(encode_message(HASH_REQUEST, encode_range(each)))
