"""Which blocks are asked of whom.

Every peer has a pipeline, and `fill` keeps it full: first with the rest of the
piece it is at, then of pieces that others began, then with a new one, which
the picker names.  What a peer will not send any more is free for others.

Cohen, "Incentives build robustness in BitTorrent", sections 2.3 and 2.4; BEP 3, 6.
"""

from collections.abc import Container, Mapping, Sized

from shoal.swarm.layout import Layout
from shoal.swarm.picker import RANDOM_FIRST, Picker, endgame_blocks
from shoal.swarm.pieces import BLOCK, Bitfield, Partial, Partials
from shoal.swarm.rate import Budget
from shoal.swarm.remote import Remote, Signal, number_of

SPILLED_MAX = 256  # blocks that wait to be written to the part file
ENDGAME_AT_ONCE = 1  # blocks asked twice of one idle peer: each may be wasted


class Requests:
    """The requests of one content, on their way to all peers."""

    def __init__(
        self,
        layout: Layout,
        have: Bitfield,
        remotes: Mapping[int, Remote],
        picker: Picker,
        partials: Partials,
        budget: Budget,
        *,
        blamed: Container[int] = (),
        spilled: Sized = (),
    ) -> None:
        """`blamed` pieces failed before; `spilled` blocks wait to be written."""
        self.layout = layout
        self.have = have
        self.remotes = remotes
        self.picker = picker
        self.partials = partials
        self.budget = budget  # what may be downloaded
        self._blamed = blamed
        self._spilled = spilled
        self._starved = False  # the budget held somebody back
        self._full = False  # the memory did

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
        if len(self._spilled) > SPILLED_MAX or not (
            self.partials.room_for(size) or self._drop_idle()
        ):
            self._full = True
            return None
        self.picker.withdraw(piece)
        partial = self.partials.begin(piece, size)
        if piece in self._blamed:  # failed before: whoever sends it now is answerable alone
            partial.sole = remote.key
        return partial

    def _drop_idle(self) -> bool:
        """Make room: forget a piece whose senders have left."""
        partial = self.partials.idle()
        if partial is not None:
            self.forget(partial)
        return partial is not None

    def _end_game(self, remote: Remote, room: int, now: float) -> None:
        for partial, block in endgame_blocks(self.partials, remote.has, remote.key, room):
            if not self.budget.take(BLOCK, now):
                return
            partial.askers[block].append(remote.key)
            remote.asked[number_of(partial.piece, block)] = now
            remote.link.ask(partial, [block])

    def cancel(self, remote: Remote, partial: Partial, block: int) -> None:
        number = number_of(partial.piece, block)
        if remote.asked.pop(number, None) is not None:
            remote.lose(number)
            remote.link.tell(Signal.CANCEL, partial.piece, block * BLOCK, partial.length(block))

    def give_up(self, remote: Remote) -> None:
        """Nothing that we asked of this peer is expected any more."""
        for number in list(remote.asked):
            self.release(remote, number)
            remote.lose(number)
        remote.asked.clear()
        remote.current = None

    def release(self, remote: Remote, number: int) -> None:
        partial = self.partials.get(number >> 16)
        if partial is not None:
            self.partials.release(partial, number & 0xFFFF, remote.key)

    def forget(self, partial: Partial, *, put_back: bool = True) -> None:
        """The piece is kept, or its bytes are of no use."""
        for block, askers in list(partial.askers.items()):
            for key in askers:
                self.cancel(self.remotes[key], partial, block)
        for key in partial.filling.values():
            if key in self.remotes:
                self.remotes[key].target = None
        self.partials.end(partial)
        if put_back:
            self.picker.put_back(partial.piece)

    def refill(self, now: float) -> None:
        """There is room again: ask those who had to wait for it."""
        if self._full:
            self._full = False
            for remote in self.remotes.values():
                self.fill(remote, now)
