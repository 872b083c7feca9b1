"""What a BitTorrent client and a UDP tracker say to each other: both sides.

A client first asks for a connection id, which proves that it can receive at
its address, and then announces or scrapes with it.  Lost datagrams are sent
again after 15, 30, 60 ... seconds.  The reply carries the transaction number
of the request.

BEP 15 (UDP tracker), BEP 41 (the URL's path and query as an option).
"""

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

from shoal.discovery.compact import V4_SIZE, V6_SIZE, pack, unpack
from shoal.discovery.tracker import (
    EVENTS,
    HASH_SIZE,
    INTERVAL_MAX,
    INTERVAL_MIN,
    WANTED_MAX,
    Announce,
    Answer,
    Counters,
)
from shoal.errors import ProtocolError, RefusedError

if TYPE_CHECKING:
    from random import Random

MAGIC = 0x41727101980  # the protocol id in a connect request
CONNECT, ANNOUNCE, SCRAPE, ERROR = range(4)
OPTION_END, OPTION_NOP, OPTION_URL = range(3)
OPTION_MAX = 255  # bytes of one URL option
URL_MAX = 2048  # bytes of path and query
CONNECTION_LIFE = 60.0  # seconds that a connection id may be used
TIMEOUT = 15.0  # seconds before the first retransmission; doubles
TRIES_MAX = 4  # BEP 15 goes on for an hour; a tier's next tracker is sooner
SCRAPES_MAX = 74  # hashes in one datagram

_HEAD = Struct(">QII")  # connection id, action, transaction
_REPLY = Struct(">II")  # action, transaction
_ANNOUNCE = Struct(">20s20sQQQIIIiH")
_COUNTS = Struct(">III")


@dataclass(slots=True)
class Request:
    """A datagram as a tracker reads it."""

    connection: int
    action: int
    transaction: int
    announce: Announce | None = None
    hashes: tuple[bytes, ...] = ()
    url: str = ""


def encode_connect(transaction: int) -> bytes:
    return _HEAD.pack(MAGIC, CONNECT, transaction)


def encode_announce(connection: int, transaction: int, announce: Announce, url: str = "") -> bytes:
    """`url` is the path and query of the tracker's URL, if it has any."""
    body = _ANNOUNCE.pack(
        announce.info_hash,
        announce.peer_id,
        announce.downloaded,
        announce.left,
        announce.uploaded,
        EVENTS.index(announce.event),
        0,
        announce.key,
        announce.wanted,
        announce.port,
    )
    return _HEAD.pack(connection, ANNOUNCE, transaction) + body + _encode_url(url)


def encode_scrape(connection: int, transaction: int, hashes: list[bytes]) -> bytes:
    return _HEAD.pack(connection, SCRAPE, transaction) + b"".join(hashes[:SCRAPES_MAX])


def decode_request(data: bytes) -> Request:
    if len(data) < _HEAD.size:
        raise ProtocolError("a UDP tracker request of fewer than 16 bytes")
    connection, action, transaction = _HEAD.unpack_from(data)
    request = Request(connection, action, transaction)
    if action == CONNECT and connection != MAGIC:
        raise ProtocolError("a connect request without the protocol id")
    if action == ANNOUNCE:
        request.announce = _decode_announce(data)
        request.url = _decode_url(data[_HEAD.size + _ANNOUNCE.size :])
    elif action == SCRAPE:
        body = data[_HEAD.size :]
        starts = range(0, len(body) - HASH_SIZE + 1, HASH_SIZE)
        request.hashes = tuple(body[start : start + HASH_SIZE] for start in starts)[:SCRAPES_MAX]
    elif action != CONNECT:
        raise ProtocolError(f"UDP tracker action {action}")
    return request


def encode_connected(transaction: int, connection: int) -> bytes:
    return _REPLY.pack(CONNECT, transaction) + connection.to_bytes(8, "big")


def encode_answer(transaction: int, answer: Answer, *, v6: bool = False) -> bytes:
    """Peers of the asker's own family only: the reply cannot mix them."""
    counters = answer.counters
    counts = _COUNTS.pack(answer.interval, counters.incomplete, counters.complete)
    return (
        _REPLY.pack(ANNOUNCE, transaction) + counts + pack(answer.peers, V6_SIZE if v6 else V4_SIZE)
    )


def encode_scraped(transaction: int, counters: list[Counters]) -> bytes:
    rows = (_COUNTS.pack(each.complete, each.downloaded, each.incomplete) for each in counters)
    return _REPLY.pack(SCRAPE, transaction) + b"".join(rows)


def encode_error(transaction: int, reason: str) -> bytes:
    return _REPLY.pack(ERROR, transaction) + reason.encode()


def decode_connected(data: bytes) -> int:
    """The connection id."""
    body = _reply(data, CONNECT)
    if len(body) < 8:
        raise ProtocolError("a connect reply without a connection id")
    return int.from_bytes(body[:8], "big")


def decode_answer(data: bytes, *, v6: bool = False) -> Answer:
    body = _reply(data, ANNOUNCE)
    if len(body) < _COUNTS.size:
        raise ProtocolError("an announce reply of fewer than 20 bytes")
    interval, incomplete, complete = _COUNTS.unpack_from(body)
    size = V6_SIZE if v6 else V4_SIZE
    peers = body[_COUNTS.size :]
    return Answer(
        peers=unpack(peers[: len(peers) // size * size], size),
        interval=min(max(interval, INTERVAL_MIN), INTERVAL_MAX),
        counters=Counters(complete=complete, incomplete=incomplete),
    )


def decode_scraped(data: bytes) -> list[Counters]:
    body = _reply(data, SCRAPE)
    rows = _COUNTS.iter_unpack(body[: len(body) // _COUNTS.size * _COUNTS.size])
    return [Counters(complete, incomplete, done) for complete, done, incomplete in rows]


def transaction_of(data: bytes) -> int | None:
    """Which request this datagram answers; None if it cannot be a tracker's reply."""
    return _REPLY.unpack_from(data)[1] if len(data) >= _REPLY.size else None


class Conversation:
    """One announce or scrape at one UDP tracker, until it answers or is given up.

    The caller sends what `out` holds, hands over replies with `receive` and
    calls `tick` at `deadline`.  `result` is set at the end, `failed` when
    nothing came after TRIES_MAX tries.
    """

    def __init__(
        self, question: Announce | list[bytes], rng: "Random", *, url: str = "", v6: bool = False
    ) -> None:
        self.question = question
        self.out: list[bytes] = []
        self.deadline: float | None = None
        self.result: Answer | list[Counters] | None = None
        self.failed = False
        self._rng = rng
        self._url = url
        self._v6 = v6
        self._connection: int | None = None
        self._transaction = 0
        self._tries = 0

    def start(self, now: float, connection: int | None = None) -> None:
        """`connection` is an id from an earlier conversation that still lives."""
        self._connection = connection
        self._send(now)

    def receive(self, data: bytes, now: float) -> None:
        """Raises RefusedError with the tracker's words; strangers' datagrams are ignored."""
        if transaction_of(data) != self._transaction or self.result is not None:
            return
        if self._connection is None:
            self._connection = decode_connected(data)
            self._tries = 0
            self._send(now)
            return
        announcing = isinstance(self.question, Announce)
        self.result = decode_answer(data, v6=self._v6) if announcing else decode_scraped(data)
        self.deadline = None

    @property
    def connection(self) -> int | None:
        """The id to reuse for the tracker's next CONNECTION_LIFE seconds."""
        return self._connection

    def tick(self, now: float) -> None:
        if self.deadline is None or now < self.deadline:
            return
        if self._tries >= TRIES_MAX:
            self.failed, self.deadline = True, None
            return
        if self._tries > 1:
            self._connection = None  # it may have grown old while we waited
        self._send(now)

    def _send(self, now: float) -> None:
        self._transaction = self._rng.getrandbits(32)
        self.deadline = now + TIMEOUT * 2**self._tries
        self._tries += 1
        self.out.append(self._message())

    def _message(self) -> bytes:
        if self._connection is None:
            return encode_connect(self._transaction)
        if isinstance(self.question, Announce):
            return encode_announce(self._connection, self._transaction, self.question, self._url)
        return encode_scrape(self._connection, self._transaction, self.question)


def _reply(data: bytes, action: int) -> bytes:
    """The body of the reply to `action`."""
    if len(data) < _REPLY.size:
        raise ProtocolError("a UDP tracker reply of fewer than 8 bytes")
    got = _REPLY.unpack_from(data)[0]
    if got == ERROR:
        words = data[_REPLY.size :].split(b"\0")[0].decode("utf-8", "replace")
        raise RefusedError(words[:500] or "no reason given")
    if got != action:
        raise ProtocolError(f"a UDP tracker answered action {action} with {got}")
    return data[_REPLY.size :]


def _decode_announce(data: bytes) -> Announce:
    if len(data) < _HEAD.size + _ANNOUNCE.size:
        raise ProtocolError("a UDP announce of fewer than 98 bytes")
    info_hash, peer_id, downloaded, left, uploaded, event, _, key, wanted, port = (
        _ANNOUNCE.unpack_from(data, _HEAD.size)
    )
    if not port:
        raise RefusedError("port must be 1 to 65535")
    return Announce(
        info_hash=info_hash,
        peer_id=peer_id,
        port=port,
        uploaded=uploaded,
        downloaded=downloaded,
        left=left,
        event=EVENTS[event] if event < len(EVENTS) else "",
        wanted=WANTED_MAX if wanted < 0 else min(wanted, WANTED_MAX),
        key=key,
    )


def _encode_url(url: str) -> bytes:
    data = url.encode()[:URL_MAX]
    parts = (data[start : start + OPTION_MAX] for start in range(0, len(data), OPTION_MAX))
    return b"".join(bytes([OPTION_URL, len(part)]) + part for part in parts)


def _decode_url(data: bytes) -> str:
    """The URL options of an announce; others are skipped, a cut one ends the list."""
    parts = []
    at = 0
    while at < len(data) and data[at] != OPTION_END:
        if data[at] == OPTION_NOP:
            at += 1
            continue
        if at + 1 >= len(data):
            break
        end = at + 2 + data[at + 1]
        if data[at] == OPTION_URL:
            parts.append(data[at + 2 : end])
        at = end
    return b"".join(parts)[:URL_MAX].decode("utf-8", "replace")
