"""Which pieces and blocks we have, want and have asked for.

A content is cut into pieces, which can be proven, and a piece into blocks of
16 KiB, which can be asked for.  A `Bitfield` says which pieces somebody has.
A `Partial` is a piece on its way: its bytes so far, which blocks nobody was
asked for yet, who was asked for the others, and who sent what, so that a
piece that turns out wrong can be blamed on somebody.

BEP 3.
"""

from collections.abc import Iterator

from shoal.errors import ProtocolError

BLOCK = 16384  # bytes asked for in one request: what every client serves


class Bitfield:
    """A set of piece numbers, as compact as on the wire."""

    __slots__ = ("bits", "count", "size")

    def __init__(self, size: int, bits: bytearray | None = None) -> None:
        self.size = size
        self.bits = bits if bits is not None else bytearray((size + 7) // 8)
        self.count = int.from_bytes(self.bits, "big").bit_count()

    @classmethod
    def full(cls, size: int) -> "Bitfield":
        return cls.decode(b"\xff" * ((size + 7) // 8), size)

    @classmethod
    def decode(cls, data: bytes | memoryview, size: int) -> "Bitfield":
        """Read a bitfield message; spare bits are cleared, as every client tolerates them."""
        if len(data) != (size + 7) // 8:
            raise ProtocolError("a bitfield of a wrong length")
        bits = bytearray(data)
        if size % 8:
            bits[-1] &= 0xFF << (8 - size % 8) & 0xFF
        return cls(size, bits)

    def encode(self) -> bytes:
        return bytes(self.bits)

    def __contains__(self, piece: int) -> bool:
        return bool(self.bits[piece >> 3] & 0x80 >> (piece & 7))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        for at, byte in enumerate(self.bits):
            if byte:
                for bit in range(8):
                    if byte & 0x80 >> bit:
                        yield at * 8 + bit

    @property
    def complete(self) -> bool:
        return self.count == self.size

    def add(self, piece: int) -> bool:
        """False if it was there already."""
        if piece in self:
            return False
        self.bits[piece >> 3] |= 0x80 >> (piece & 7)
        self.count += 1
        return True

    def remove(self, piece: int) -> bool:
        if piece not in self:
            return False
        self.bits[piece >> 3] ^= 0x80 >> (piece & 7)
        self.count -= 1
        return True

    def common(self, other: "Bitfield") -> int:
        """How many pieces both have."""
        return (int.from_bytes(self.bits, "big") & int.from_bytes(other.bits, "big")).bit_count()

    def lacks(self, other: "Bitfield") -> int:
        """How many pieces the other has and we do not."""
        return other.count - self.common(other)


class Partial:
    """A piece on its way."""

    __slots__ = (
        "askers",
        "blocks",
        "buffer",
        "filling",
        "free",
        "left",
        "piece",
        "senders",
        "size",
        "sole",
    )

    def __init__(self, piece: int, size: int, buffer: memoryview | None) -> None:
        self.piece = piece
        self.size = size  # bytes that travel
        self.buffer = buffer  # None: too large for memory, blocks go to the part file
        self.blocks = -(-size // BLOCK)
        self.free = list(range(self.blocks - 1, -1, -1))  # nobody was asked; the last goes next
        self.askers: dict[int, list[int]] = {}  # block -> keys of the peers asked, in order
        self.senders: list[int | None] = [None] * self.blocks  # key of who sent each block
        self.filling: dict[int, int] = {}  # block -> key of the peer whose bytes are arriving
        self.left = self.blocks  # blocks not here yet
        self.sole: int | None = None  # key of the only peer that may send: who sends badly is known

    def length(self, block: int) -> int:
        return min(BLOCK, self.size - block * BLOCK)

    def take(self, key: int, limit: int) -> list[int]:
        """Up to `limit` blocks that nobody was asked for, now asked of this peer."""
        free = self.free
        taken = [free.pop() for _ in range(min(limit, len(free)))]
        for block in taken:
            self.askers[block] = [key]
        return taken

    def release(self, block: int, key: int) -> bool:
        """The peer will not send it; True if now nobody is asked for it."""
        askers = self.askers.get(block)
        if askers is None or key not in askers:
            return False
        askers.remove(key)
        if askers:
            return False
        del self.askers[block]
        self.free.append(block)
        return True

    def arrived(self, block: int, key: int) -> list[int]:
        """The block is here; the other peers that were asked for it, for cancels."""
        self.senders[block] = key
        self.left -= 1
        askers = self.askers.pop(block, None)
        if askers is None:  # given up as lost, and then it came
            self.free.remove(block)
            return []
        return [asked for asked in askers if asked != key]

    def has(self, block: int) -> bool:
        return self.senders[block] is not None


PIECE_MEMORY = 64 << 20  # bytes of pieces on their way; larger pieces wait in the part file
SPILL_SHARE = 4  # a piece of more than this part of the memory goes through the part file
SPARE_BUFFERS = 16  # piece buffers kept for the next pieces: new memory costs page faults


class Partials:
    """All pieces on their way, within a bound of memory."""

    def __init__(self, piece_length: int, memory: int = PIECE_MEMORY) -> None:
        self.memory = memory
        self.used = 0  # bytes of the buffers
        self.open: dict[int, Partial] = {}  # those with blocks that nobody was asked for
        self._all: dict[int, Partial] = {}
        self._spare: list[bytearray] = []
        self._usual = min(piece_length, memory // SPILL_SHARE)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Partial]:
        return iter(self._all.values())

    def __contains__(self, piece: int) -> bool:
        return piece in self._all

    def get(self, piece: int) -> Partial | None:
        return self._all.get(piece)

    def room_for(self, size: int) -> bool:
        return self.spills(size) or self.used + size <= self.memory

    def spills(self, size: int) -> bool:
        """Too large for memory: its blocks go to the part file one by one."""
        return size > self.memory // SPILL_SHARE

    def begin(self, piece: int, size: int) -> Partial:
        buffer = None
        if not self.spills(size):
            self.used += size
            fits = self._spare and size <= self._usual
            whole = self._spare.pop() if fits else bytearray(max(size, self._usual))
            buffer = memoryview(whole)[:size]
        partial = self._all[piece] = self.open[piece] = Partial(piece, size, buffer)
        return partial

    def idle(self) -> Partial | None:
        """The emptiest piece that nobody is asked for."""
        idle = [partial for partial in self if not partial.askers and partial.left]
        return max(idle, key=lambda partial: partial.left, default=None)

    def take(self, partial: Partial, key: int, limit: int) -> list[int]:
        blocks = partial.take(key, limit)
        if not partial.free:
            self.open.pop(partial.piece, None)
        return blocks

    def release(self, partial: Partial, block: int, key: int) -> None:
        if partial.release(block, key) and partial.piece in self._all:
            self.open[partial.piece] = partial

    def arrived(self, partial: Partial, block: int, key: int) -> list[int]:
        others = partial.arrived(block, key)
        if not partial.free:
            self.open.pop(partial.piece, None)
        return others

    def end(self, partial: Partial) -> None:
        """The piece is kept, or its bytes are of no use."""
        del self._all[partial.piece]
        self.open.pop(partial.piece, None)
        if partial.buffer is not None:
            self.used -= partial.size
            whole, partial.buffer = partial.buffer.obj, None
            if len(self._spare) < SPARE_BUFFERS and isinstance(whole, bytearray):
                self._spare.append(whole)
