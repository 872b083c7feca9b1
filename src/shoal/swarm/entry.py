"""What a node remembers of one transfer: enough to go on after a restart.

Pieces are not in it: the storage finds those again beside the content.  `seen`
says how the files of a complete content looked when it was proven: if they
still look so, they are served without hashing them again.
"""

from msgspec import DecodeError, Struct, json

from shoal.errors import ProtocolError
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.resume import Seen
from shoal.swarm.torrent import Torrent

VERSION = 1
PEERS_MAX = 50  # remembered: there are other ways to find more
FOLDER = "transfers"  # in the home: one file each


class Entry(Struct, kw_only=True, omit_defaults=True):
    """One transfer, running or not."""

    id: str  # the hash by which peers know it, in hex
    name: str = ""
    link: str = ""  # the magnet it began with
    metainfo: bytes = b""
    folder: str = ""  # in which it lies
    paths: list[str] = []  # of a content of ours: where each file lies
    seen: list[Seen] = []  # size and time of change of each file of a complete one
    peers: list[tuple[str, int]] = []  # who may have it
    total: int = 0
    done: int = 0
    paused: bool = False
    finished: bool = False  # complete, and not to be served
    select: list[str] = []
    numbers: list[int] | None = None
    sequential: bool = False
    seed: bool = False
    down: float | None = None
    up: float | None = None

    def encode(self) -> bytes:
        return json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Entry":
        try:
            return json.decode(data, type=cls)
        except DecodeError as error:
            raise ProtocolError(f"no entry of a transfer: {error}") from None

    @property
    def wish(self) -> Wish:
        return Wish(
            select=self.select, numbers=self.numbers, sequential=self.sequential,
            down=self.down, up=self.up, seed=self.seed,
        )  # fmt: skip

    @property
    def torrent(self) -> Torrent | None:
        """What is known of the content; v2's piece layers may have to be asked for again."""
        return Torrent.decode(self.metainfo, whole=False) if self.metainfo else None

    @property
    def magnet(self) -> str:
        """The link by which others find it."""
        torrent = self.torrent
        return str(torrent.magnet()) if torrent is not None else self.link

    def note(self, report: Progress) -> None:
        """How far it is."""
        self.name = report.name or self.name
        if report.total:
            self.total, self.done = report.total, report.done

    def report(self, problem: str) -> Progress:
        """How far it was when it last ran."""
        state = "paused" if self.paused else "complete" if self.finished else "stopped"
        return Progress(state, self.name, done=self.done, total=self.total, problem=problem)
