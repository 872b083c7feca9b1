"""What is wished of a transfer, and how far it is: records that people see."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from shoal.swarm.layout import Layout
from shoal.swarm.pieces import PIECE_MEMORY


@dataclass(slots=True)
class Wish:
    """How a content is to be fetched."""

    select: Sequence[str] = ()  # patterns of file names; none: everything
    numbers: Sequence[int] | None = None  # of the files wanted, as a magnet's `so` says
    sequential: bool = False
    down: float | None = None  # bytes a second
    up: float | None = None
    seed: bool = False  # go on when complete
    recheck: bool = False  # hash everything that is there
    memory: int = PIECE_MEMORY

    def wanted(self, layout: Layout) -> list[bool]:
        """Which files are wanted; pads never are."""
        files = layout.files
        if self.select:
            return [not file.pad and self._matches(file.name) for file in files]
        real = [index for index, file in enumerate(files) if not file.pad]
        if self.numbers is None:
            chosen = frozenset(real)
        else:
            chosen = frozenset(real[number] for number in self.numbers if number < len(real))
        return [index in chosen for index in range(len(files))]

    def _matches(self, name: str) -> bool:
        last = name.rpartition("/")[2]
        return any(fnmatch(name, glob) or fnmatch(last, glob) for glob in self.select)


@dataclass(slots=True)
class Progress:
    """How far a transfer is."""

    state: str  # metadata, checking, downloading, seeding, stopped
    name: str = ""
    done: int = 0  # bytes of wanted pieces that are proven and kept
    total: int = 0  # bytes wanted
    down: float = 0.0  # bytes a second
    up: float = 0.0
    peers: int = 0
    seeds: int = 0
    pieces: int = 0
    pieces_total: int = 0
    received: int = 0  # bytes of blocks since the start
    sent: int = 0
    wasted: int = 0
    problem: str = ""  # with the disk; cleared when it is over
    waiting: str = ""  # for what, when nothing moves

    @property
    def complete(self) -> bool:
        return self.state == "seeding"
