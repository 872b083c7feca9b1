"""The exchange of one content with its peers.

It keeps what we and the peers have, gathers the blocks that come into pieces,
and hands whole pieces out to be proven (`finished`).  A piece that is proven
and kept is announced to all; one that is wrong is blamed on its senders.  What
is asked of whom is in `requests`, who is served in `serving`; all meet in the
same `Remote`.

No wire, clock or disk: a dialect calls these methods with what its peers say
and writes down what the `Link` is told.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import ProtocolError
from shoal.swarm.blame import BLAMES_MAX, LEFT_MAX, STRIKES_MAX, Blame
from shoal.swarm.credit import Credit
from shoal.swarm.layout import Layout
from shoal.swarm.picker import Order, Picker
from shoal.swarm.pieces import BLOCK, PIECE_MEMORY, Bitfield, Partial, Partials
from shoal.swarm.rate import Bucket, Budget, Meter
from shoal.swarm.remote import Link, Remote, Signal, number_of
from shoal.swarm.requests import Requests

if TYPE_CHECKING:
    from random import Random

UNASKED_MAX = 4 << 20  # bytes that nobody asked for before a peer is closed


@dataclass(slots=True)
class Finished:
    """A piece whose blocks are all here, to be proven and kept."""

    piece: int
    data: memoryview | None  # None: it lies in the part file


class Exchange:
    """One content and its peers."""

    def __init__(
        self,
        layout: Layout,
        rng: "Random",
        now: float,
        *,
        have: Bitfield | None = None,
        order: Order = Order.RAREST,
        memory: int = PIECE_MEMORY,
        budget: Budget | None = None,
    ) -> None:
        self.layout = layout
        self.rng = rng
        self.have = have if have is not None else Bitfield(layout.count)
        self.picker = Picker(layout.count, rng, order)
        for piece in self.have:
            self.picker.withdraw(piece)
        self.budget = budget or Budget([Bucket(None, now)])  # what may be downloaded
        self.remotes: dict[int, Remote] = {}
        self.credit = Credit(self.remotes, self.picker.availability, layout.piece_length)
        self.partials = Partials(layout.piece_length, memory)
        self.finished: list[Finished] = []
        self.spilled: list[tuple[int, int, bytes]] = []  # (piece, begin, block) for the part file
        self.banned: dict[str, str] = {}  # address -> why
        self.down = Meter(now)
        self.wasted = 0  # bytes that came twice or failed
        self.on_finished: Callable[[], object] = lambda: None  # something is in finished or spilled
        self._blames: dict[int, Blame] = {}
        self._left: dict[int, str] = {}  # key -> address of those who gave blocks and left
        self._next_key = 1
        self._wanted_left = layout.count - len(self.have)
        self.requests = Requests(
            layout, self.have, self.remotes, self.picker, self.partials, self.budget,
            blamed=self._blames, spilled=self.spilled,
        )  # fmt: skip

    # What we want

    @property
    def complete(self) -> bool:
        """Nothing is left that we want."""
        return self._wanted_left == 0

    @property
    def seeding(self) -> bool:
        return self.have.complete

    def wants(self, piece: int) -> bool:
        return piece not in self.have and self.picker.priority[piece] > 0

    def prioritize(self, priorities: Iterable[int]) -> None:
        """How much each piece is wanted; 0 is not at all."""
        for piece, priority in enumerate(priorities):
            before = self.picker.priority[piece]
            if before == priority:
                continue
            self.picker.prioritize(piece, priority)
            on_its_way = piece in self.partials or piece in self.have
            if priority and not before and not on_its_way:
                self.picker.put_back(piece)
        self._wanted_left = sum(map(self.wants, range(self.layout.count)))
        for remote in self.remotes.values():
            remote.interesting = sum(map(self.wants, remote.has))
            self._show_interest(remote)

    # Who is there

    def join(self, link: Link, address: str, now: float) -> Remote:
        if address in self.banned:
            raise ProtocolError(f"banned: {self.banned[address]}")
        remote = Remote(self._next_key, link, address, self.layout.count, now)
        self._next_key += 1
        self.remotes[remote.key] = remote
        return remote

    def leave(self, remote: Remote) -> None:
        if self.remotes.pop(remote.key, None) is None:
            return
        self.requests.give_up(remote)
        self._stop_filling(remote)
        self._count(remote, -1)
        for partial in self.partials:
            if partial.sole == remote.key:
                partial.sole = None
        if remote.given:  # what it gave may still turn out to be bad
            self._left[remote.key] = remote.address
            while len(self._left) > LEFT_MAX:
                del self._left[next(iter(self._left))]

    def has_pieces(self, remote: Remote, has: Bitfield) -> None:
        """A bitfield, or all, or none."""
        self._count(remote, -1)
        remote.has = has
        remote.known = True
        self._count(remote, 1)
        if not has.complete:
            remote.interesting = sum(map(self.wants, has))
        else:
            remote.interesting = self._wanted_left
        self._show_interest(remote)

    def has_piece(self, remote: Remote, piece: int, now: float) -> None:
        remote.known = True
        self._check_piece(piece)
        if not remote.has.add(piece):
            return
        self.credit.appeared(remote, piece)
        if remote.counts:
            self.picker.counted([piece], 1)
            if remote.has.complete:
                self.picker.counted(remote.has, -1)
        if self.wants(piece):
            remote.interesting += 1
            self._show_interest(remote)
            self.requests.fill(remote, now)

    def _count(self, remote: Remote, change: int) -> None:
        """Its pieces come or go; a seed is not counted: it changes no rank."""
        if remote.counts and not remote.has.complete:
            self.picker.counted(remote.has, change)

    def _weigh(self, remote: Remote) -> None:
        """A piece that only takers have is as rare as one that nobody has."""
        if remote.counts == self.credit.takes(remote):
            self._count(remote, -1)
            remote.counts = not remote.counts
            self._count(remote, 1)

    def _show_interest(self, remote: Remote) -> None:
        wanted = remote.interesting > 0
        if wanted != remote.wanted:
            remote.wanted = wanted
            remote.link.tell(Signal.INTERESTED if wanted else Signal.NOT_INTERESTED)

    # What it lets us ask

    def unchoked(self, remote: Remote, now: float) -> None:
        remote.chokes = False
        remote.last_block = now
        self.requests.fill(remote, now)

    def choked(self, remote: Remote) -> None:
        remote.chokes = True
        if not remote.fast:  # a fast peer rejects each request by itself
            self.requests.give_up(remote)

    def allowed(self, remote: Remote, piece: int, now: float) -> None:
        """It serves this piece even while it chokes us."""
        self._check_piece(piece)
        if len(remote.allowed) < 64:
            remote.allowed[piece] = None
            self.requests.fill(remote, now)

    def rejected(self, remote: Remote, piece: int, begin: int, now: float) -> None:
        self._check_piece(piece)
        number = number_of(piece, begin // BLOCK)
        if remote.asked.pop(number, None) is None:
            remote.lost.pop(number, None)
            return
        self.requests.release(remote, number)
        remote.allowed.pop(piece, None)
        if not remote.chokes:  # try again later: who rejects everything is not asked in a circle
            remote.pipeline = max(1.0, remote.pipeline - 1)

    # Receiving

    def block(self, remote: Remote, piece: int, begin: int, data: memoryview, now: float) -> None:
        """A whole block is here; its bytes are copied."""
        partial = self._expected(remote, piece, begin, len(data), now)
        if partial is None:
            return
        block = begin // BLOCK
        if partial.buffer is not None:
            partial.buffer[begin : begin + len(data)] = data
        else:
            self.spilled.append((piece, begin, bytes(data)))
        self._arrived(remote, partial, block, now)

    def open_block(
        self, remote: Remote, piece: int, begin: int, length: int, now: float
    ) -> memoryview | None:
        """A block begins to arrive: where its bytes go, or None to drop them."""
        partial = self._expected(remote, piece, begin, length, now)
        if partial is None:
            return None
        block = begin // BLOCK
        remote.filling = (partial, block)
        filler = partial.filling.setdefault(block, remote.key)
        if filler == remote.key and partial.buffer is not None:
            remote.target = partial.buffer[begin : begin + length]
        else:  # who began before may never end, so a second copy is kept beside it
            remote.target = memoryview(bytearray(length))
        return remote.target

    def close_block(self, remote: Remote, now: float) -> None:
        """All bytes of the block that was opened are here."""
        filling, target = remote.filling, remote.target
        remote.filling = remote.target = None
        if filling is None or target is None:
            return
        partial, block = filling
        if partial.has(block) or self.partials.get(partial.piece) is not partial:
            self.wasted += len(target)  # another was faster
            return
        begin = block * BLOCK
        if partial.buffer is None:
            self.spilled.append((partial.piece, begin, bytes(target)))
        elif partial.filling.get(block) != remote.key:
            partial.buffer[begin : begin + len(target)] = target
        self._arrived(remote, partial, block, now)

    def _expected(
        self, remote: Remote, piece: int, begin: int, length: int, now: float
    ) -> Partial | None:
        """The piece that a block belongs to, if we asked for it and still need it."""
        block, rest = divmod(begin, BLOCK)
        number = number_of(piece, block)
        asked = remote.asked.pop(number, None)
        remote.down.count(length)
        self.down.count(length)
        partial = self.partials.get(piece)
        if asked is None:
            if number not in remote.lost:
                self._unasked(remote, length)
                return None
            del remote.lost[number]
        else:
            remote.answered(now - asked, now)
        if partial is None or partial.has(block):
            self.wasted += length
            return None
        if rest or length != partial.length(block):
            raise ProtocolError("a block of another length than we asked for")
        return partial

    def _unasked(self, remote: Remote, length: int) -> None:
        self.wasted += length
        remote.unasked += length
        if remote.unasked > UNASKED_MAX:
            raise ProtocolError("blocks that nobody asked for")

    def _arrived(self, remote: Remote, partial: Partial, block: int, now: float) -> None:
        remote.given += 1
        filler = partial.filling.pop(block, None)
        if filler is not None and filler in self.remotes:  # slower with the same block: drop it
            self.remotes[filler].target = None
        for key in self.partials.arrived(partial, block, remote.key):
            self.requests.cancel(self.remotes[key], partial, block)
        if partial.left == 0:
            self.finished.append(Finished(partial.piece, partial.buffer))
            self.on_finished()
        elif partial.buffer is None:
            self.on_finished()

    def _stop_filling(self, remote: Remote) -> None:
        if remote.filling is not None and remote.target is not None:
            partial, block = remote.filling
            if partial.filling.get(block) == remote.key:
                del partial.filling[block]
            self.partials.release(partial, block, remote.key)
        remote.filling = remote.target = None

    # Proven or not

    def proven(self, piece: int, now: float, good: list[bytes] | None = None) -> None:
        """The piece is right and kept; with `good`, the hashes of its blocks, for old blame."""
        blame = self._blames.pop(piece, None)
        if blame is not None and good is not None:
            for key in blame.guilty(good):
                self.ban(key, "it sent bad data")
        partial = self.partials.get(piece)
        if partial is not None:
            self.requests.forget(partial, put_back=False)
        if not self.have.add(piece):
            return
        if self.picker.priority[piece]:
            self._wanted_left -= 1
        for remote in list(self.remotes.values()):
            remote.link.tell(Signal.HAVE, piece)  # to seeds, too: they see who passes on
            if piece in remote.has:
                remote.interesting -= self.picker.priority[piece] > 0
                self._show_interest(remote)
        self.requests.refill(now)

    def blamed(self, piece: int) -> bool:
        """Whether `proven` wants the hashes of this piece's blocks."""
        return piece in self._blames

    def failed(self, piece: int, hashes: list[bytes], now: float) -> None:
        """The piece is wrong; `hashes` of its blocks show later which block it was."""
        partial = self.partials.get(piece)
        if partial is None:
            return
        self.wasted += partial.size
        blame = Blame(partial.senders, hashes)
        self._blames.pop(piece, None)
        self.requests.forget(partial)
        suspects = blame.suspects
        if len(suspects) == 1:
            self.ban(suspects[0], "it sent a bad piece")
            return
        self._blames[piece] = blame
        while len(self._blames) > BLAMES_MAX:
            del self._blames[next(iter(self._blames))]
        for key in suspects:
            remote = self.remotes.get(key)
            if remote is not None:
                remote.strikes += 1
                if remote.strikes > STRIKES_MAX and not remote.given > 64 * remote.strikes:
                    self.ban(key, "too many pieces failed with its help")
        self.requests.refill(now)

    def lost_piece(self, piece: int) -> None:
        """What we had cannot be read any more: fetch it again."""
        if self.have.remove(piece) and self.picker.priority[piece]:
            self._wanted_left += 1
            self.picker.put_back(piece)
            for remote in self.remotes.values():
                if piece in remote.has:
                    remote.interesting += 1
                    self._show_interest(remote)

    def ban(self, key: int, why: str) -> None:
        """Close the peer and take no other from its address; it may have left already."""
        if (remote := self.remotes.get(key)) is not None:
            self.banned[remote.address] = why
            remote.link.close(why)
            self.leave(remote)
        elif key in self._left:
            self.banned[self._left[key]] = why

    # Time

    def tick(self, now: float) -> None:
        """Measure, notice who snubs us, ask for more."""
        self.down.rate(now)
        for remote in list(self.remotes.values()):
            remote.measure(now)
            self._weigh(remote)
            waits = remote.asked or remote.target is not None
            if waits and now - remote.last_block > remote.patience():
                remote.snubs, remote.last_block = True, now
                self.requests.give_up(remote)
                self._stop_filling(remote)
        for remote in list(self.remotes.values()):
            self.requests.fill(remote, now)

    def _check_piece(self, piece: int) -> None:
        if piece >= self.layout.count:
            raise ProtocolError("a piece number beyond the content")
