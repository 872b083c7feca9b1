"""BitTorrent's wire: a handshake, then messages with a length before them.

A core for `net.wire`: bytes in, bytes out.  It decides nothing about pieces or
peers; it writes down what the exchange tells it (as its `Link`) and reports
what the peer says.  Blocks are the hot path: their headers are parsed where
they lie, and their bytes go from the receive buffer straight into the piece.

BEP 3, 6 (fast), 9 (metadata), 10 (extensions), 21 (upload only), 52 (hashes).
"""

from collections.abc import Callable
from typing import Any

from shoal.errors import ProtocolError
from shoal.swarm.allowed import allowed_fast
from shoal.swarm.extensions import Extensions
from shoal.swarm.messages import (
    ALLOWED_FAST,
    BITFIELD,
    BLOCK_HEADER,
    CANCEL,
    CHOKE,
    EARLY,
    EXTENDED,
    FAST,
    HANDSHAKE,
    HASH_REJECT,
    HASH_REQUEST,
    HASHES,
    HAVE,
    HAVE_ALL,
    HAVE_NONE,
    INTERESTED,
    LENGTH,
    NOT_INTERESTED,
    NUMBERS,
    ONE,
    PIECE,
    PLAIN,
    PROTOCOL,
    REJECT,
    REQUEST,
    THREE,
    UNCHOKE,
    encode_handshake,
    encode_message,
    expect_length,
)  # fmt: skip
from shoal.swarm.pieces import BLOCK, Bitfield, Partial
from shoal.swarm.remote import Remote, Signal
from shoal.swarm.serving import REQUEST_MAX
from shoal.swarm.session import Session

KEEP_ALIVE = 90.0  # seconds without output; libtorrent closes after 120
MESSAGE_MAX = 1 << 20  # bytes of any message but a block: a bitfield of 8 million pieces
EARLY_MAX = 256  # messages kept until the metadata is known ...
EARLY_BYTES = 1 << 20  # ... and their bytes
SERVE_AT_ONCE = 512 * 1024  # bytes written before others have their turn


class PeerWire:
    """One connection to a peer."""

    def __init__(
        self,
        find: Callable[[bytes], Session | None],
        address: str,
        *,
        session: Session | None = None,
        info_hash: bytes = b"",
        ours: str = "",
    ) -> None:
        self.out: list[Any] = []
        self.address = address  # the peer's host
        self.session = session
        self.remote: Remote | None = None
        self.peer_id = b""
        self.extensions: Extensions | None = None
        self.over = ""  # why it ended
        self.wake: Callable[[], object] = lambda: None  # there is output
        self.shut: Callable[[str], object] = lambda reason: None
        self.on_ready: Callable[[], object] = lambda: None  # the handshake is done
        self._find = find
        self._sent_hash = info_hash
        self._key = 0  # in the session
        self._shaken = False
        self._fast = False
        self._early: list[tuple[int, bytes]] = []
        self._early_bytes = 0
        self._left = self._size = 0  # bytes of a block that are still to come, and of all
        self._busy = False  # inside `receive` or `tick`: what we write leaves afterwards
        self._paused = False  # the peer does not keep up with what we write
        self._now = 0.0
        self._quiet_until = 0.0
        if session is not None:
            self._greet(session, info_hash)

    # What the wire calls

    def receive(self, view: memoryview, now: float) -> int:
        self._now = now
        self._busy = True
        try:
            at = self._receive(view, now)
            self._after(now)
        finally:
            self._busy = False
        return at

    def _receive(self, view: memoryview, now: float) -> int:
        at, end = 0, len(view)
        if not self._shaken:
            if not self._shake(view, now):
                return 0
            at = HANDSHAKE
        elif self._left:
            at = self._more(view, now)
        while end - at > 4 and not self.over:
            length = LENGTH.unpack_from(view, at)[0]
            kind = view[at + 4]
            if kind == PIECE and length > 9:
                if end - at < 13:
                    break
                at = self._block(view, at, length - 9, now)
            elif not length:
                at += 4
            elif length > MESSAGE_MAX:
                raise ProtocolError("a message that is too long")
            elif end - at < 4 + length:
                break
            else:
                self._message(kind, view[at + 5 : at + 4 + length], now)
                at += 4 + length
        if end - at == 4 and not any(view[at:end]):  # a keep-alive comes alone
            at = end
        return end if self.over else at

    @property
    def deadline(self) -> float | None:
        due = self._quiet_until if self._shaken else None
        if self.remote is not None and self.remote.uploads and not self._paused:
            ready: float | None = self._serving.ready(self.remote, self._now)
            if ready is not None and (due is None or ready < due):
                return ready
        return due

    def tick(self, now: float) -> None:
        self._now = now
        self._busy = True
        if now >= self._quiet_until:
            self.out.append(b"\0\0\0\0")
        self._after(now)
        self._busy = False

    def closed(self, error: Exception | None) -> None:
        self.over = self.over or str(error or "closed")
        if self.session is not None and self._key:
            if self.remote is not None and self.session.exchange is not None:
                self.session.exchange.leave(self.remote)
            self.session.leave(self._key)
            self._key = 0

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def _after(self, now: float) -> None:
        """What follows from what came: more requests, blocks to send."""
        remote = self.remote
        if remote is not None and not self.over:
            self._exchange.requests.fill(remote, now)
            if remote.uploads and not self._paused:
                self._serve(remote, now)
        if self.out:
            self._quiet_until = now + KEEP_ALIVE

    def _serve(self, remote: Remote, now: float) -> None:
        serving, out, sent = self._serving, self.out, 0
        while sent < SERVE_AT_ONCE:
            upload = serving.next_block(remote, now)
            if upload is None:
                return
            piece, begin, data = upload
            size = len(data)
            out.append(BLOCK_HEADER.pack(9 + size, PIECE, piece, begin))
            out.append(data)
            sent += size

    @property
    def _exchange(self) -> Any:
        return self.session.exchange  # type: ignore[union-attr]

    @property
    def _serving(self) -> Any:
        return self.session.serving  # type: ignore[union-attr]

    # Handshake

    def _greet(self, session: Session, info_hash: bytes) -> None:
        both = len(session.hashes) > 1 and info_hash == session.hashes[0]
        self.out.append(encode_handshake(info_hash, session.peer_id, v2=both))

    def _shake(self, view: memoryview, now: float) -> bool:
        known = min(len(view), len(PROTOCOL))
        if view[:known] != PROTOCOL[:known]:
            raise ProtocolError("no BitTorrent handshake")
        if len(view) < HANDSHAKE:
            return False
        reserved, info_hash = view[20:28], bytes(view[28:48])
        self.peer_id = bytes(view[48:68])
        if self.session is None:
            self.session = self._find(info_hash)
            if self.session is None:
                raise ProtocolError("a content that we do not have")
            self._greet(self.session, info_hash)
        elif info_hash not in self.session.hashes:
            raise ProtocolError("another content than we asked for")
        if self.peer_id == self.session.peer_id:
            raise ProtocolError("this is ourselves")
        self._shaken = True
        self._fast = bool(reserved[7] & 0x04)
        self._key = self.session.join(self)
        self.extensions = Extensions(self.out, self.session, self._key)
        if reserved[5] & 0x10:
            self.extensions.greet(dialled=bool(self._sent_hash))
        if self.session.exchange is not None:
            self.begin(now)
        self.on_ready()
        return True

    def begin(self, now: float) -> None:
        """Take part in the exchange; what the peer said before counts now."""
        if self.remote is not None or self.over:
            return
        exchange = self._exchange
        self.remote = exchange.join(self, self.address, now)
        self.remote.fast = self._fast
        self._note_queue()
        self._send_pieces(exchange.have)
        self._grant(exchange.have)
        early, self._early = self._early, []
        for kind, body in early:
            self._message(kind, memoryview(body), now)
        self.wake()

    def _send_pieces(self, have: Bitfield) -> None:
        if self._fast and have.complete:
            self.out.append(encode_message(HAVE_ALL))
        elif self._fast and not len(have):
            self.out.append(encode_message(HAVE_NONE))
        elif len(have):
            self.out.append(encode_message(BITFIELD, have.encode()))

    def _grant(self, have: Bitfield) -> None:
        """A few pieces that a newcomer may have though it is choked."""
        if not self._fast or self.remote is None or self.session is None:
            return
        pieces = allowed_fast(self.address, self.session.hashes[0], have.size)
        self.remote.granted = frozenset(piece for piece in pieces if piece in have)
        for piece in pieces:
            if piece in self.remote.granted:
                self.out.append(ONE.pack(5, ALLOWED_FAST, piece))

    # Link: what the exchange tells the peer

    def ask(self, partial: Partial, blocks: list[int]) -> None:
        pack, piece = THREE.pack, partial.piece
        last = partial.blocks - 1
        self.out.append(
            b"".join(
                [
                    pack(
                        13,
                        REQUEST,
                        piece,
                        block * BLOCK,
                        BLOCK if block < last else partial.length(block),
                    )
                    for block in blocks
                ]
            )
        )
        self._wake()

    def tell(self, signal: Signal, piece: int = 0, begin: int = 0, length: int = 0) -> None:
        plain = PLAIN.get(signal)
        if plain is not None:
            self.out.append(plain)
        elif signal is Signal.HAVE:
            self.out.append(ONE.pack(5, HAVE, piece))
        elif signal is Signal.CANCEL:
            self.out.append(THREE.pack(13, CANCEL, piece, begin, length))
        elif signal is Signal.REJECT:
            self.out.append(THREE.pack(13, REJECT, piece, begin, length))
        self._wake()

    def close(self, reason: str) -> None:
        if not self.over:
            self.over = reason
            self.shut(reason)

    def want_metadata(self, size: int) -> None:
        if self.extensions is not None and not self.over:
            self.extensions.want_metadata(size)
            self._wake()

    def want_layers(self) -> None:
        if self.extensions is not None and not self.over:
            self.extensions.want_layers()
            self._wake()

    def _wake(self) -> None:
        if not self._busy:
            self.wake()

    # Messages

    def _block(self, view: memoryview, at: int, size: int, now: float) -> int:
        if size > REQUEST_MAX:
            raise ProtocolError("a block that is too long")
        _, _, piece, begin = BLOCK_HEADER.unpack_from(view, at)
        start, end = at + 13, at + 13 + size
        remote = self.remote
        if end <= len(view):
            if remote is not None:
                self._exchange.block(remote, piece, begin, view[start:end], now)
            return end
        self._size = self._left = size
        if remote is not None:
            self._exchange.open_block(remote, piece, begin, size, now)
        return start + self._more(view[start:], now)

    def _more(self, view: memoryview, now: float) -> int:
        """The next bytes of a block that began before."""
        count = min(self._left, len(view))
        remote = self.remote
        if remote is not None and remote.target is not None:
            at = self._size - self._left
            remote.target[at : at + count] = view[:count]
        self._left -= count
        if not self._left and remote is not None:
            self._exchange.close_block(remote, now)
        return count

    def _message(self, kind: int, body: memoryview, now: float) -> None:
        if kind in FAST and not self._fast:
            raise ProtocolError("a message of the fast extension, which was not agreed on")
        if kind >= EXTENDED:
            self._extend(kind, body)
            return
        handler = _HANDLERS.get(kind)
        if handler is None:
            return  # of an extension that we do not know
        if self.remote is None:
            self._keep_early(kind, body)
        else:
            handler(self, body, now)

    def _extend(self, kind: int, body: memoryview) -> None:
        extensions = self.extensions
        if extensions is None:
            return
        if kind == EXTENDED:
            extensions.receive(body)
            self._note_queue()
        elif kind == HASH_REQUEST:
            extensions.on_hash_request(body)
        elif kind == HASHES:
            extensions.on_hashes(body)
        elif kind == HASH_REJECT:
            extensions.on_hash_reject(body)

    def _note_queue(self) -> None:
        if self.remote is not None and self.extensions is not None:
            self.remote.queue = self.extensions.queue

    def _keep_early(self, kind: int, body: memoryview) -> None:
        if kind not in EARLY:
            return
        self._early_bytes += len(body)
        if len(self._early) >= EARLY_MAX or self._early_bytes > EARLY_BYTES:
            raise ProtocolError("too many messages before the metadata is known")
        self._early.append((kind, bytes(body)))

    def _on_choke(self, body: memoryview, now: float) -> None:
        expect_length(body, 0)
        self._exchange.choked(self.remote)

    def _on_unchoke(self, body: memoryview, now: float) -> None:
        expect_length(body, 0)
        self._exchange.unchoked(self.remote, now)

    def _on_interested(self, body: memoryview, now: float) -> None:
        expect_length(body, 0)
        self._serving.interested(self.remote, now)

    def _on_not_interested(self, body: memoryview, now: float) -> None:
        expect_length(body, 0)
        self._serving.not_interested(self.remote)

    def _on_have(self, body: memoryview, now: float) -> None:
        expect_length(body, 4)
        self._exchange.has_piece(self.remote, LENGTH.unpack(body)[0], now)

    def _on_bitfield(self, body: memoryview, now: float) -> None:
        exchange = self._exchange
        exchange.has_pieces(self.remote, Bitfield.decode(body, exchange.layout.count))

    def _on_have_all(self, body: memoryview, now: float) -> None:
        expect_length(body, 0)
        exchange = self._exchange
        exchange.has_pieces(self.remote, Bitfield.full(exchange.layout.count))

    def _on_have_none(self, body: memoryview, now: float) -> None:
        expect_length(body, 0)
        exchange = self._exchange
        exchange.has_pieces(self.remote, Bitfield(exchange.layout.count))

    def _on_request(self, body: memoryview, now: float) -> None:
        expect_length(body, 12)
        self._serving.requested(self.remote, *NUMBERS.unpack(body))

    def _on_cancel(self, body: memoryview, now: float) -> None:
        expect_length(body, 12)
        self._serving.cancelled(self.remote, *NUMBERS.unpack(body))

    def _on_reject(self, body: memoryview, now: float) -> None:
        expect_length(body, 12)
        piece, begin, _ = NUMBERS.unpack(body)
        self._exchange.rejected(self.remote, piece, begin, now)

    def _on_allowed_fast(self, body: memoryview, now: float) -> None:
        expect_length(body, 4)
        self._exchange.allowed(self.remote, LENGTH.unpack(body)[0], now)


_HANDLERS: dict[int, Callable[[PeerWire, memoryview, float], None]] = {
    CHOKE: PeerWire._on_choke,
    UNCHOKE: PeerWire._on_unchoke,
    INTERESTED: PeerWire._on_interested,
    NOT_INTERESTED: PeerWire._on_not_interested,
    HAVE: PeerWire._on_have,
    BITFIELD: PeerWire._on_bitfield,
    REQUEST: PeerWire._on_request,
    CANCEL: PeerWire._on_cancel,
    HAVE_ALL: PeerWire._on_have_all,
    HAVE_NONE: PeerWire._on_have_none,
    REJECT: PeerWire._on_reject,
    ALLOWED_FAST: PeerWire._on_allowed_fast,
}
