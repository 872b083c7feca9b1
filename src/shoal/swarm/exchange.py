"""The exchange of one content with its peers.

It keeps what we and the peers have, asks each peer for as many blocks as its
link carries, gathers blocks into pieces, and hands whole pieces out to be
proven (`finished`).  A piece that is proven and kept is announced to all; one
that is wrong is fetched again from a single peer, and the good copy tells who
lied.  Who is served, and how, is in `serving`; both meet in the same `Remote`.

No wire, clock or disk: a dialect calls these methods with what its peers say
and writes down what the `Link` is told.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.errors import ProtocolError
from shoal.swarm.layout import Layout
from shoal.swarm.picker import RANDOM_FIRST, Order, Picker, endgame_blocks
from shoal.swarm.pieces import BLOCK, PIECE_MEMORY, Bitfield, Blame, Partial, Partials
from shoal.swarm.rate import Bucket, Budget, Meter
from shoal.swarm.remote import Link, Remote, Signal, number_of

if TYPE_CHECKING:
    from random import Random

SPILLED_MAX = 256  # blocks that wait to be written there
UNASKED_MAX = 4 << 20  # bytes that nobody asked for before a peer is closed
STRIKES_MAX = 3  # pieces that failed with a peer's help before it is banned without proof
BLAMES_MAX = 64  # failed pieces remembered
ENDGAME_AT_ONCE = 1  # blocks asked twice of one idle peer: each may be wasted
MEASURE_INTERVAL = 1.0  # seconds between looks at every peer's rate


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
        self.partials = Partials(layout.piece_length, memory)
        self.finished: list[Finished] = []
        self.spilled: list[tuple[int, int, bytes]] = []  # (piece, begin, block) for the part file
        self.banned: dict[str, str] = {}  # address -> why
        self.down = Meter(now)
        self.wasted = 0  # bytes that came twice or failed
        self.deadline = now
        self.on_finished: Callable[[], object] = lambda: None  # something is in finished or spilled
        self._blames: dict[int, Blame] = {}
        self._next_key = 1
        self._wanted_left = layout.count - len(self.have)
        self._starved = False  # the budget held somebody back
        self._full = False  # the memory did

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
        remote = Remote(self._next_key, link, address, self.layout.count, now)
        self._next_key += 1
        self.remotes[remote.key] = remote
        return remote

    def leave(self, remote: Remote) -> None:
        if self.remotes.pop(remote.key, None) is None:
            return
        self._give_up(remote)
        self._stop_filling(remote)
        if not remote.has.complete:
            self.picker.counted(remote.has, -1)
        for partial in self.partials:
            if partial.sole == remote.key:
                partial.sole = None

    def has_pieces(self, remote: Remote, has: Bitfield) -> None:
        """A bitfield, or all, or none."""
        if not remote.has.complete:
            self.picker.counted(remote.has, -1)
        remote.has = has
        remote.known = True
        if not has.complete:
            self.picker.counted(has, 1)
            remote.interesting = sum(map(self.wants, has))
        else:
            remote.interesting = self._wanted_left
        self._show_interest(remote)

    def has_piece(self, remote: Remote, piece: int, now: float) -> None:
        remote.known = True
        self._check_piece(piece)
        if not remote.has.add(piece):
            return
        self.picker.counted([piece], 1)
        if remote.has.complete:  # a seed is not counted: it changes no rank
            self.picker.counted(remote.has, -1)
        if self.wants(piece):
            remote.interesting += 1
            self._show_interest(remote)
            self.fill(remote, now)

    def _show_interest(self, remote: Remote) -> None:
        wanted = remote.interesting > 0
        if wanted != remote.wanted:
            remote.wanted = wanted
            remote.link.tell(Signal.INTERESTED if wanted else Signal.NOT_INTERESTED)

    # Asking

    def unchoked(self, remote: Remote, now: float) -> None:
        remote.chokes = False
        remote.last_block = now
        self.fill(remote, now)

    def choked(self, remote: Remote) -> None:
        remote.chokes = True
        if not remote.fast:  # a fast peer rejects each request by itself
            self._give_up(remote)

    def allowed(self, remote: Remote, piece: int, now: float) -> None:
        """It serves this piece even while it chokes us."""
        self._check_piece(piece)
        if len(remote.allowed) < 64:
            remote.allowed[piece] = None
            self.fill(remote, now)

    def rejected(self, remote: Remote, piece: int, begin: int, now: float) -> None:
        self._check_piece(piece)
        number = number_of(piece, begin // BLOCK)
        if remote.asked.pop(number, None) is None:
            remote.lost.pop(number, None)
            return
        self._release(remote, number)
        remote.allowed.pop(piece, None)
        if not remote.chokes:  # try again later: who rejects everything is not asked in a circle
            remote.pipeline = max(1.0, remote.pipeline - 1)

    def fill(self, remote: Remote, now: float) -> None:
        """Ask the peer for as much as its pipeline has room for."""
        room = remote.window() - len(remote.asked)
        if room <= 0 or remote.interesting <= 0 or (remote.chokes and not remote.allowed):
            return
        if room * 4 < remote.window() and remote.asked:
            return  # a few at a time cost more than they bring
        while room > 0 and (partial := self._choose(remote)) is not None:
            room -= self._ask(remote, partial, room, now)
            if self._starved:
                return
        few = len(remote.asked) < ENDGAME_AT_ONCE
        if room > 0 and few and not remote.chokes and self._all_asked():
            self._end_game(remote, min(room, ENDGAME_AT_ONCE), now)

    def _all_asked(self) -> bool:
        return not self.picker and all(partial.sole for partial in self.partials.open.values())

    def _ask(self, remote: Remote, partial: Partial, room: int, now: float) -> int:
        if not self.budget.unlimited:
            if not self.budget.take(BLOCK, now):
                self._starved = True
                self.deadline = min(self.deadline, self.budget.ready(BLOCK, now))
                return 0
            room = 1
        blocks = self.partials.take(partial, remote.key, room)
        if not remote.asked:
            remote.last_block = now  # its time to answer begins
        for block in blocks:
            remote.asked[number_of(partial.piece, block)] = now
        remote.current = partial
        remote.link.ask(partial, blocks)
        return len(blocks)

    def _choose(self, remote: Remote) -> Partial | None:
        """The piece to ask of next: the one being asked, one begun by others, a new one."""
        self._starved = False
        if remote.chokes:
            return self._choose_allowed(remote)
        current = remote.current
        if current is not None and current.free and self._may_send(remote, current):
            return current
        for partial in self.partials.open.values():
            if self._may_send(remote, partial):
                return partial
        few = len(self.have) + len(self.partials) < RANDOM_FIRST
        piece = self.picker.next(remote.has, at_random=few)
        return None if piece is None else self._begin(piece, remote)

    def _choose_allowed(self, remote: Remote) -> Partial | None:
        for piece in remote.allowed:
            partial = self.partials.open.get(piece)
            if partial is not None and self._may_send(remote, partial):
                return partial
            if piece in self.picker and piece in remote.has:
                return self._begin(piece, remote)
        return None

    def _may_send(self, remote: Remote, partial: Partial) -> bool:
        if partial.piece not in remote.has or partial.piece not in self.partials:
            return False
        return partial.sole is None or partial.sole == remote.key

    def _begin(self, piece: int, remote: Remote) -> Partial | None:
        size = self.layout.data_size(piece)
        if len(self.spilled) > SPILLED_MAX or not (
            self.partials.room_for(size) or self._drop_idle()
        ):
            self._full = True
            return None
        self.picker.withdraw(piece)
        partial = self.partials.begin(piece, size)
        if piece in self._blames:  # failed before: whoever sends it now is answerable alone
            partial.sole = remote.key
        return partial

    def _drop_idle(self) -> bool:
        """Make room: forget a piece whose senders have left."""
        partial = self.partials.idle()
        if partial is not None:
            self._forget(partial)
        return partial is not None

    def _end_game(self, remote: Remote, room: int, now: float) -> None:
        for partial, block in endgame_blocks(self.partials, remote.has, remote.key, room):
            if not self.budget.take(BLOCK, now):
                return
            partial.askers[block].append(remote.key)
            remote.asked[number_of(partial.piece, block)] = now
            remote.link.ask(partial, [block])

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
            self._cancel(self.remotes[key], partial, block)
        if partial.left == 0:
            self.finished.append(Finished(partial.piece, partial.buffer))
            self.on_finished()
        elif partial.buffer is None:
            self.on_finished()

    def _cancel(self, remote: Remote, partial: Partial, block: int) -> None:
        number = number_of(partial.piece, block)
        if remote.asked.pop(number, None) is not None:
            remote.lose(number)
            remote.link.tell(Signal.CANCEL, partial.piece, block * BLOCK, partial.length(block))

    def _give_up(self, remote: Remote) -> None:
        """Nothing that we asked of this peer is expected any more."""
        for number in list(remote.asked):
            self._release(remote, number)
            remote.lose(number)
        remote.asked.clear()
        remote.current = None

    def _release(self, remote: Remote, number: int) -> None:
        partial = self.partials.get(number >> 16)
        if partial is not None:
            self.partials.release(partial, number & 0xFFFF, remote.key)

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
            self._forget(partial, put_back=False)
        if not self.have.add(piece):
            return
        if self.picker.priority[piece]:
            self._wanted_left -= 1
        for remote in list(self.remotes.values()):
            if piece not in remote.has:
                remote.link.tell(Signal.HAVE, piece)
            else:
                remote.interesting -= self.picker.priority[piece] > 0
                self._show_interest(remote)
        self._refill(now)

    def _refill(self, now: float) -> None:
        """There is room again: ask those who had to wait for it."""
        if self._full:
            self._full = False
            for remote in self.remotes.values():
                self.fill(remote, now)

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
        self._forget(partial)
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
        self._refill(now)

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
        if (remote := self.remotes.get(key)) is not None:
            self.banned[remote.address] = why
            remote.link.close(why)
            self.leave(remote)

    def _forget(self, partial: Partial, *, put_back: bool = True) -> None:
        for block, askers in list(partial.askers.items()):
            for key in askers:
                self._cancel(self.remotes[key], partial, block)
        for key in partial.filling.values():
            if key in self.remotes:
                self.remotes[key].target = None
        self.partials.end(partial)
        if put_back:
            self.picker.put_back(partial.piece)

    # Time

    def tick(self, now: float) -> None:
        """Measure, notice who snubs us, ask for more."""
        self.deadline = now + MEASURE_INTERVAL
        self.down.rate(now)
        for remote in list(self.remotes.values()):
            remote.measure(now)
            waits = remote.asked or remote.target is not None
            if waits and now - remote.last_block > remote.patience():
                remote.snubs, remote.last_block = True, now
                self._give_up(remote)
                self._stop_filling(remote)
        for remote in list(self.remotes.values()):
            self.fill(remote, now)

    def _check_piece(self, piece: int) -> None:
        if piece >= self.layout.count:
            raise ProtocolError("a piece number beyond the content")
