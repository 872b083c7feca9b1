"""Which piece to begin next.

Rarest first keeps every piece alive in the swarm and gives us what others
want; ties are broken by chance, or else all peers would fetch the same piece.
The first pieces are picked at random, because a rare piece is slow and we
need something to trade.  Streams go in order.  When every block has been
asked for, the last ones are asked of several peers at once (end game).

Pieces are kept in buckets of equal rank, so that counting one peer's piece
costs a swap, not a sort.  Cohen, "Incentives build robustness in BitTorrent".
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from shoal.swarm.pieces import Bitfield, Partial

if TYPE_CHECKING:
    from random import Random

RANDOM_FIRST = 4  # pieces picked by chance before rarest first
PRIORITY_NONE = 0  # not wanted
PRIORITY_NORMAL = 4
PRIORITY_MAX = 7
COPIES_MAX = 3  # peers asked for one block in the end game
BESIDE_MAX = 32  # pieces tried at random before a bucket is searched from its start


class Order(Enum):
    """How pieces are chosen."""

    RAREST = "rarest"
    SEQUENTIAL = "sequential"
    RANDOM = "random"  # for comparison


class Picker:
    """The pieces that nobody was asked for yet, rarest first within each priority."""

    def __init__(self, count: int, rng: "Random", order: Order = Order.RAREST) -> None:
        self.rng = rng
        self.order = order
        self.availability = [0] * count  # peers that have it, seeds not counted
        self.priority = [PRIORITY_NORMAL] * count
        self._place = [-1] * count  # index in its bucket; -1: not to be picked
        self._buckets: dict[int, list[int]] = {}
        self._ranks: list[int] = []  # of the buckets that hold something, sorted
        self._lowest = 0  # no piece before this one waits
        shuffled = list(range(count))
        rng.shuffle(shuffled)
        for piece in shuffled:
            self._insert(piece)

    def __len__(self) -> int:
        return sum(len(self._buckets[rank]) for rank in self._ranks)

    def __contains__(self, piece: int) -> bool:
        return self._place[piece] >= 0

    def counted(self, pieces: Iterable[int], change: int) -> None:
        """A peer that is no seed has these pieces (change 1), or left with them (-1)."""
        for piece in pieces:
            waiting = self._place[piece] >= 0
            if waiting:
                self._withdraw(piece)
            self.availability[piece] += change
            if waiting:
                self._insert(piece)

    def put_back(self, piece: int) -> None:
        """The piece has to be fetched (again)."""
        if self._place[piece] < 0 and self.priority[piece]:
            self._insert(piece)

    def withdraw(self, piece: int) -> None:
        """The piece is on its way or here."""
        if self._place[piece] >= 0:
            self._withdraw(piece)

    def prioritize(self, piece: int, priority: int) -> None:
        waiting = self._place[piece] >= 0
        if waiting:
            self._withdraw(piece)
        self.priority[piece] = priority
        if waiting and priority:
            self._insert(piece)

    def next(self, has: Bitfield, *, at_random: bool = False) -> int | None:
        """The piece to begin with a peer that has these; it stays until `withdraw`."""
        if not self._ranks:
            return None
        if self.order is Order.SEQUENTIAL:
            return self._first(has)
        by_chance = at_random or self.order is Order.RANDOM
        if by_chance and (piece := self._any(has)) is not None:
            return piece
        return self._rarest(has)

    def _rarest(self, has: Bitfield) -> int | None:
        bits = has.bits
        for rank in self._ranks:
            bucket = self._buckets[rank]
            if has.complete:
                return self.rng.choice(bucket)
            for _ in range(min(BESIDE_MAX, len(bucket))):
                piece = self.rng.choice(bucket)
                if bits[piece >> 3] & 0x80 >> (piece & 7):
                    return piece
            for piece in bucket:
                if bits[piece >> 3] & 0x80 >> (piece & 7):
                    return piece
        return None

    def _any(self, has: Bitfield) -> int | None:
        """A piece of the highest priority by chance, or None after a few bad draws."""
        level = self._ranks[0] >> 32
        ranks = [rank for rank in self._ranks if rank >> 32 == level]
        weights = [len(self._buckets[rank]) for rank in ranks]
        for _ in range(BESIDE_MAX):
            bucket = self._buckets[self.rng.choices(ranks, weights)[0]]
            piece = self.rng.choice(bucket)
            if piece in has:
                return piece
        return None

    def _first(self, has: Bitfield) -> int | None:
        best: int | None = None
        level = 0
        place = self._place
        while self._lowest < len(place) and place[self._lowest] < 0:
            self._lowest += 1
        for piece in range(self._lowest, len(place)):
            if place[piece] >= 0 and self.priority[piece] > level and piece in has:
                best, level = piece, self.priority[piece]
                if level >= PRIORITY_MAX or level == self._highest():
                    break
        return best

    def _highest(self) -> int:
        return PRIORITY_MAX - (self._ranks[0] >> 32)

    def _rank(self, piece: int) -> int:
        return (PRIORITY_MAX - self.priority[piece]) << 32 | self.availability[piece]

    def _insert(self, piece: int) -> None:
        rank = self._rank(piece)
        bucket = self._buckets.get(rank)
        if bucket is None:
            bucket = self._buckets[rank] = []
            insort(self._ranks, rank)
        self._place[piece] = len(bucket)
        bucket.append(piece)
        self._lowest = min(self._lowest, piece)

    def _withdraw(self, piece: int) -> None:
        rank = self._rank(piece)
        bucket = self._buckets[rank]
        place, last = self._place[piece], bucket.pop()
        if last != piece:
            bucket[place] = last
            self._place[last] = place
        self._place[piece] = -1
        if not bucket:
            del self._buckets[rank]
            del self._ranks[bisect_left(self._ranks, rank)]


def endgame_blocks(
    partials: Iterable[Partial], has: Bitfield, key: int, limit: int
) -> list[tuple[Partial, int]]:
    """Blocks that are asked of others already and may be asked of this peer, too."""
    found: list[tuple[int, int, Partial, int]] = []
    for partial in partials:
        if partial.sole is not None or partial.piece not in has:
            continue
        for block, askers in partial.askers.items():
            if key not in askers and len(askers) < COPIES_MAX:
                found.append((len(askers), len(found), partial, block))
    found.sort(key=lambda each: each[:2])  # the least asked first
    return [(partial, block) for _, _, partial, block in found[:limit]]


def file_priorities(ranges: Sequence[range], wanted: Sequence[int], count: int) -> list[int]:
    """The priority of each piece: the highest of the files that have a byte in it."""
    result = [PRIORITY_NONE] * count
    for pieces, priority in zip(ranges, wanted, strict=True):
        for piece in pieces:
            result[piece] = max(result[piece], priority)
    return result
