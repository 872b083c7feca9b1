"""One content as its peers meet it: known by its hash at first, then by its metadata.

A magnet link gives a hash.  Peers give the info dictionary (`MetadataFetch`)
and, for v2, the piece layers; each is proven before it is used.  Then there is
an exchange, and the peers which are connected already take part in it.

No I/O: wires call this with what their peers say; the service sets the three
callbacks and does what takes time.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from shoal.errors import ProtocolError
from shoal.swarm.exchange import Exchange
from shoal.swarm.merkle import BLOCK, HashRequest, HashTree, height_of, layer_requests, proven
from shoal.swarm.metadata import FETCHES_MAX, MetadataFetch
from shoal.swarm.serving import Serving
from shoal.swarm.torrent import Torrent, wire_hashes

if TYPE_CHECKING:
    from random import Random

METADATA_PATIENCE = 10.0  # seconds without an answer before another peer's turn comes
LAYERS_AT_ONCE = 8  # hash requests on their way to one peer
TREES_MAX = 64  # hash trees kept for answering; building one costs a pass over the layer


class Peer(Protocol):
    """A connected peer, as the session needs it."""

    def begin(self, now: float) -> None: ...  # the exchange has begun

    def want_metadata(self, size: int) -> None: ...  # its offer is welcome now

    def want_layers(self) -> None: ...  # there are piece layers to ask for

    def close(self, reason: str) -> None: ...


class Session:
    """What is known of one content, and who is connected for it."""

    def __init__(
        self,
        hash_v1: bytes | None,
        hash_v2: bytes | None,
        peer_id: bytes,
        rng: "Random",
        *,
        torrent: Torrent | None = None,
        port: int = 0,
    ) -> None:
        self.hash_v1 = hash_v1
        self.hash_v2 = hash_v2
        self.peer_id = peer_id
        self.rng = rng
        self.port = port  # on which we listen; 0: not told
        self.torrent = torrent
        self.exchange: Exchange | None = None
        self.serving: Serving | None = None
        self.peers: dict[int, Peer] = {}
        self.on_metadata: Callable[[], object] = lambda: None
        self.on_layers: Callable[[], object] = lambda: None
        self.on_peers: Callable[[], object] = lambda: None
        self._next_key = 1
        self._fetches: dict[int, MetadataFetch] = {}
        self._offers: dict[int, int] = {}  # who waits to be asked -> the size that it told
        self._layers_todo: deque[HashRequest] = deque()
        self._layers_asked: dict[int, list[HashRequest]] = {}  # by whom
        self._layers_found: dict[bytes, dict[int, bytes]] = {}  # root -> index -> hashes
        self._layers_waits: dict[int, tuple[HashRequest | None, float]] = {}  # oldest, since when
        self._trees: dict[bytes, HashTree | None] = {}

    @property
    def hashes(self) -> list[bytes]:
        """The 20 bytes by which peers know it."""
        return wire_hashes(self.hash_v1, self.hash_v2)

    @property
    def info(self) -> bytes | None:
        return self.torrent.info if self.torrent is not None else None

    @property
    def complete(self) -> bool:
        return self.exchange is not None and self.exchange.seeding

    # Peers

    def join(self, peer: Peer) -> int:
        key, self._next_key = self._next_key, self._next_key + 1
        self.peers[key] = peer
        self.on_peers()
        return key

    def leave(self, key: int) -> None:
        self.peers.pop(key, None)
        self._offers.pop(key, None)
        self.metadata_refused(key)
        self._layers_waits.pop(key, None)
        self._layers_todo.extend(self._layers_asked.pop(key, []))
        if self._layers_todo:
            self._offer_layers()
        self.on_peers()

    def begin(self, exchange: Exchange, serving: Serving, now: float) -> None:
        self.exchange = exchange
        self.serving = serving
        for peer in list(self.peers.values()):
            try:
                peer.begin(now)  # what it said before is judged only now
            except ProtocolError as error:
                peer.close(str(error))

    # Metadata

    def metadata_offered(self, key: int, size: int) -> list[int]:
        """A peer has the info dictionary: the pieces of it to ask for."""
        if self.torrent is not None or key in self._fetches:
            return []
        if len(self._fetches) >= FETCHES_MAX:
            self._offers[key] = size
            return []
        self._fetches[key] = MetadataFetch(size)
        return self._fetches[key].wanted()

    def metadata_came(self, key: int, piece: int, data: bytes) -> list[int]:
        """A piece of it; the next pieces to ask for.  ProtocolError: the peer is to blame."""
        fetch = self._fetches.get(key)
        if fetch is None or self.torrent is not None:
            return []  # somebody else was faster
        fetch.received(piece, data)
        if not fetch.complete:
            return fetch.wanted()
        self.torrent = Torrent.from_info(fetch.info(self.hash_v1, self.hash_v2))
        self.hash_v1, self.hash_v2 = self.torrent.hash_v1, self.torrent.hash_v2
        self._fetches.clear()
        self._offers.clear()
        self.on_metadata()
        if not self.torrent.has_v1:
            self._plan_layers(self.torrent, key)
        return []

    def metadata_refused(self, key: int) -> None:
        """This peer is not waited for any more: the next one's turn."""
        self._fetches.pop(key, None)
        while self._offers and len(self._fetches) < FETCHES_MAX:
            other = next(iter(self._offers))
            size = self._offers.pop(other)
            if other in self.peers:
                self.peers[other].want_metadata(size)

    def tick(self, now: float) -> None:
        """Once a second: who offers metadata and does not send it makes room for others."""
        for key, fetch in list(self._fetches.items()):
            if fetch.stalled(now, METADATA_PATIENCE) and self._offers:
                self._offers[key] = fetch.size
                self.metadata_refused(key)
        for key, asked in list(self._layers_asked.items()):
            self._hurry(key, asked, now)

    # Piece layers

    @property
    def ready(self) -> bool:
        """All that is needed to prove pieces is known; a hybrid has v1's hashes for it."""
        torrent = self.torrent
        return torrent is not None and (torrent.has_v1 or not torrent.missing_layers())

    def _plan_layers(self, torrent: Torrent, giver: int) -> None:
        base = _piece_layer(torrent)
        for file in torrent.missing_layers():
            pieces = -(-file.length // torrent.layout.piece_length)
            self._layers_found[file.root or b""] = {}
            self._layers_todo.extend(layer_requests(file.root or b"", base, pieces))
        if self._layers_todo:
            self._offer_layers(giver)
        else:
            self.on_layers()

    def _offer_layers(self, first: int = 0) -> None:
        """To all; first to the one who has proven useful."""
        for key in sorted(self.peers, key=lambda key: key != first):
            self.peers[key].want_layers()

    def next_layers(self, key: int) -> list[HashRequest]:
        """What to ask this peer for."""
        asked = self._layers_asked.setdefault(key, [])
        fresh = []
        for request in list(islice(self._layers_todo, 2 * LAYERS_AT_ONCE)):
            if len(asked) < LAYERS_AT_ONCE and request not in asked:
                self._layers_todo.remove(request)
                asked.append(request)
                fresh.append(request)
        return fresh

    def layers_came(self, key: int, request: HashRequest, hashes: list[bytes]) -> None:
        asked = self._layers_asked.get(key, [])
        if request not in asked or self.torrent is None:
            raise ProtocolError("hashes that we did not ask for")
        file = next(f for f in self.torrent.layout.files if f.root == request.root)
        pieces = -(-file.length // self.torrent.layout.piece_length)
        if not proven(request, hashes, request.base + height_of(pieces)):
            raise ProtocolError("hashes that do not lead to the root")
        asked.remove(request)
        found = self._layers_found[request.root]
        found[request.index] = b"".join(hashes[: request.length])
        if sum(map(len, found.values())) >= pieces * 32:
            whole = b"".join(found[index] for index in sorted(found))[: pieces * 32]
            self.torrent = self.torrent.with_layers({request.root: whole})
        if self.ready:
            self.on_layers()

    def _hurry(self, key: int, asked: list[HashRequest], now: float) -> None:
        """Ask others, too, when a peer does not answer; its answer is still welcome."""
        first, since = self._layers_waits.get(key, (None, now))
        if not asked or asked[0] != first:
            self._layers_waits[key] = (asked[0] if asked else None, now)
        elif now - since > METADATA_PATIENCE and not self.ready:
            self._layers_waits[key] = (first, now)
            self._layers_todo.extend(each for each in asked if each not in self._layers_todo)
            self._offer_layers()

    def layers_refused(self, key: int, request: HashRequest) -> None:
        """Another peer may have them."""
        asked = self._layers_asked.get(key, [])
        if request in asked:
            asked.remove(request)
            self._layers_todo.append(request)
            for other, peer in list(self.peers.items()):
                if other != key:
                    peer.want_layers()

    def answer_hashes(self, request: HashRequest) -> list[bytes] | None:
        """For a peer that asks; None: refuse."""
        torrent = self.torrent
        if torrent is None or not torrent.has_v2:
            return None
        if request.root not in self._trees:
            while len(self._trees) >= TREES_MAX:
                del self._trees[next(iter(self._trees))]
            self._trees[request.root] = torrent.hash_tree(request.root)
        tree = self._trees[request.root]
        try:
            return tree.answer(request) if tree is not None else None
        except ProtocolError:
            return None


def _piece_layer(torrent: Torrent) -> int:
    """The number of the layer whose hashes each cover a piece."""
    return height_of(torrent.layout.piece_length // BLOCK)
