"""Who is served, and with what.

Peers queue their requests here.  The choker says whose are answered; the
budget, how fast.  Bytes are read from the disk in chunks of the line, more
than one block at a time and a little ahead of need, and stay in a bounded
cache: eight peers that fetch the same content read it once.  Only proven
pieces are ever served: a chunk that was read before one of its pieces was
proven is read again.

BEP 3 (choking), BEP 6 (rejects, allowed fast).
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shoal.swarm.blame import STRIKES_MAX
from shoal.swarm.choker import Candidate, Choker
from shoal.swarm.credit import Credit
from shoal.swarm.layout import Layout
from shoal.swarm.pieces import Bitfield
from shoal.swarm.rate import Bucket, Budget, Meter
from shoal.swarm.remote import Remote, Signal

if TYPE_CHECKING:
    from random import Random

CHUNK = 1 << 20  # bytes read at a time at most: as much as a few thread hops cost
CACHE = 32 << 20  # bytes of chunks kept
QUEUE_MAX = 2000  # requests of one peer that may wait; libtorrent asks up to this many
REQUEST_MAX = 128 * 1024  # bytes of one request: what old clients take
AHEAD = 64  # requests looked ahead for chunks to read
NEWCOMER_AGE = 45.0  # seconds: a peer that came later than this is new to the choker
MEASURE_INTERVAL = 1.0  # seconds between looks at the rates

Upload = tuple[int, int, memoryview]  # piece, begin, bytes


class Serving:
    """The upload side of one content."""

    def __init__(
        self,
        layout: Layout,
        have: Bitfield,
        remotes: Mapping[int, Remote],
        rng: "Random",
        now: float,
        *,
        credit: Credit | None = None,
        choker: Choker | None = None,
        budget: Budget | None = None,
        cache: int = CACHE,
    ) -> None:
        self.layout = layout
        self.have = have
        self.remotes = remotes
        self.credit = credit or Credit(remotes, [0] * layout.count, layout.piece_length)
        self.choker = choker or Choker(rng)
        self.budget = budget or Budget([Bucket(None, now)])
        self.up = Meter(now)
        self.seeding = False  # we want nothing more: the choker changes its measure
        self.to_load: list[int] = []  # chunks to read from the disk
        self.on_load: Callable[[], object] = lambda: None  # something is in to_load
        self._cache: OrderedDict[int, memoryview] = OrderedDict()
        self.chunk = chunk_size(layout.piece_length)
        self._cache_max = max(cache // self.chunk, 4)
        self._loading: dict[int, list[int]] = {}  # chunk -> keys of the peers that wait for it
        self._stale: dict[int, None] = {}  # being read while one of its pieces changed

    # What peers ask

    def interested(self, remote: Remote, now: float) -> None:
        """It wants something; while there is a free place, it need not wait for the choker."""
        remote.wants = True
        unchoked = sum(each.unchoked for each in self.remotes.values())
        if self.choker.has_room(unchoked, taker=self.credit.takes(remote)):
            self.serve(remote, now)

    def not_interested(self, remote: Remote) -> None:
        remote.wants = False

    def requested(self, remote: Remote, piece: int, begin: int, length: int) -> None:
        if self._may_have(remote, piece, begin, length) and len(remote.uploads) < QUEUE_MAX:
            remote.uploads.append((piece, begin, length))
        elif remote.fast:
            remote.link.tell(Signal.REJECT, piece, begin, length)

    def cancelled(self, remote: Remote, piece: int, begin: int, length: int) -> None:
        try:
            remote.uploads.remove((piece, begin, length))
        except ValueError:
            return  # it was sent or refused already
        if remote.fast:
            remote.link.tell(Signal.REJECT, piece, begin, length)

    def _may_have(self, remote: Remote, piece: int, begin: int, length: int) -> bool:
        if piece >= self.layout.count or piece not in self.have:
            return False
        if not 0 < length <= REQUEST_MAX or begin + length > self.layout.piece_size(piece):
            return False
        return remote.unchoked or piece in remote.granted

    # Sending

    def next_block(self, remote: Remote, now: float) -> Upload | None:
        """The next block to send to this peer; None while it has to wait."""
        while remote.uploads:
            piece, begin, length = remote.uploads[0]
            if piece not in self.have:  # it could not be read
                remote.uploads.popleft()
                if remote.fast:
                    remote.link.tell(Signal.REJECT, piece, begin, length)
                continue
            data = self._find(remote, piece * self.layout.piece_length + begin, length)
            if data is None or not self.budget.take(length, now):
                return None
            remote.uploads.popleft()
            remote.up.count(length)
            self.up.count(length)
            self.credit.sent(remote, piece, length, seeding=self.seeding)
            return piece, begin, data
        return None

    def ready(self, remote: Remote, now: float) -> float | None:
        """When the next block may be sent; None if it waits for something else than time."""
        if not remote.uploads:
            return None
        piece, begin, length = remote.uploads[0]
        start = piece * self.layout.piece_length + begin
        for chunk in self.chunks_of(start, length):
            if chunk in self._loading:
                self._load(chunk, remote)  # it will be told
                return None
        return self.budget.ready(length, now)

    def _find(self, remote: Remote, start: int, length: int) -> memoryview | None:
        first, at = divmod(start, self.chunk)
        chunk = self._cache.get(first)
        self._read_ahead(remote)
        if chunk is None:
            self._load(first, remote)
            return None
        if at + length <= self.chunk:
            return chunk[at : at + length]
        following = self._cache.get(first + 1)
        if following is None:
            self._load(first + 1, remote)
            return None
        return memoryview(bytes(chunk[at:]) + bytes(following[: at + length - self.chunk]))

    def _read_ahead(self, remote: Remote) -> None:
        piece, begin, _ = remote.uploads[min(AHEAD, len(remote.uploads) - 1)]
        chunk = (piece * self.layout.piece_length + begin) // self.chunk
        if chunk not in self._cache and len(self._loading) < self._cache_max // 4:
            self._load(chunk, None)

    def _load(self, chunk: int, remote: Remote | None) -> None:
        new = chunk not in self._loading
        waiting = self._loading.setdefault(chunk, [])
        if remote is not None and remote.key not in waiting:
            waiting.append(remote.key)
        if new:
            self.to_load.append(chunk)
            self.on_load()

    def loaded(self, chunk: int, data: memoryview | None) -> None:
        """The chunk was read; None: it could not be, and its pieces are `lost`."""
        waiting = self._loading.pop(chunk, [])
        if chunk in self._stale:
            del self._stale[chunk]
        elif data is not None:
            self._cache[chunk] = data
            while len(self._cache) > self._cache_max:
                self._cache.popitem(last=False)
        for key in waiting:
            if key in self.remotes:
                self.remotes[key].link.tell(Signal.READY)

    def chunks_of(self, start: int, length: int) -> range:
        return range(start // self.chunk, (start + max(length, 1) - 1) // self.chunk + 1)

    def changed(self, piece: int) -> None:
        """The piece on the disk is another now."""
        start = piece * self.layout.piece_length
        for chunk in self.chunks_of(start, self.layout.piece_size(piece)):
            self._cache.pop(chunk, None)
            if chunk in self._loading:
                self._stale[chunk] = None

    # Choosing

    @property
    def deadline(self) -> float:
        return self.choker.deadline

    def tick(self, now: float) -> None:
        self.up.rate(now)
        due = now >= self.choker.deadline
        if due or any(self._overdrawn(remote) for remote in self.remotes.values()):
            peers = [self._candidate(remote, now) for remote in self.remotes.values()]
            if due:
                chosen = self.choker.decide(peers, seeding=self.seeding, now=now)
            else:
                chosen = self.choker.filled(peers, self._solvent())
            self._serve_only(chosen, now)

    def _overdrawn(self, remote: Remote) -> bool:
        """It was served on trial, and has had enough of it."""
        trial = remote.unchoked and not self.seeding and not remote.down.last
        return trial and self.credit.takes(remote)

    def _solvent(self) -> list[int]:
        remotes = self.remotes.values()
        return [r.key for r in remotes if r.unchoked and not self._overdrawn(r)]

    def _serve_only(self, chosen: list[int], now: float) -> None:
        for remote in list(self.remotes.values()):
            if remote.key in chosen:
                self.serve(remote, now)
            elif remote.unchoked:
                self._choke(remote, now)

    def _candidate(self, remote: Remote, now: float) -> Candidate:
        """What the choker may know of a peer."""
        return Candidate(
            key=remote.key,
            interested=remote.wants,
            unchoked=remote.unchoked,
            received=remote.down.last,
            sent=remote.up.last,
            since=remote.unchoked_at,
            progress=len(remote.has) / max(1, remote.has.size),
            newcomer=now - remote.since < NEWCOMER_AGE,
            snubbing=remote.snubs,
            blameless=remote.strikes <= STRIKES_MAX,
            passes=remote.passed > 0,
            taker=self.credit.takes(remote),
        )

    def serve(self, remote: Remote, now: float) -> None:
        if not remote.unchoked:
            remote.unchoked = True
            remote.unchoked_at = now
            remote.link.tell(Signal.UNCHOKE)

    def _choke(self, remote: Remote, now: float) -> None:
        remote.unchoked = False
        remote.unchoked_at = now
        remote.link.tell(Signal.CHOKE)
        refused = [each for each in remote.uploads if each[0] not in remote.granted]
        kept = [each for each in remote.uploads if each[0] in remote.granted]
        remote.uploads.clear()
        if remote.fast:
            remote.uploads.extend(kept)
            for piece, begin, length in refused:
                remote.link.tell(Signal.REJECT, piece, begin, length)


def chunk_size(piece_length: int) -> int:
    """A whole piece, or an even part of a long one: peers ask for pieces in any order."""
    size = piece_length
    while size > CHUNK and size % 2 == 0:
        size //= 2
    return size if size <= CHUNK else CHUNK
