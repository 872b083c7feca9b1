"""A peer as the exchange sees it: what it has, what passes between us, how fast.

`asked` holds our requests on their way.  How many there should be follows from
the peer's rate: enough to cover the round trip and a little queue, so that its
link never idles, and no more, so that little is lost when it chokes us.
"""

from collections import deque
from enum import Enum
from typing import Protocol

from shoal.swarm.pieces import BLOCK, Bitfield, Partial
from shoal.swarm.rate import Meter

ASKED_FIRST = 16  # requests at once to a peer we know nothing of
ASKED_LEAST = 2  # one arrives while the next is on its way
QUEUE_TIME = 2.0  # seconds of a peer's rate that are asked ahead
QUEUE_DEFAULT = 250  # requests that a peer takes when it does not say (libtorrent's old default)
SNUB_FIRST = 20.0  # seconds without a block before we know the peer's pace
SNUB_LEAST, SNUB_MOST = 6.0, 60.0  # bounds of the adaptive wait
LOST_MAX = 1024  # requests given up that may still be answered


class Signal(Enum):
    """What the exchange tells a peer, apart from requests and blocks."""

    CHOKE = "choke"
    UNCHOKE = "unchoke"
    INTERESTED = "interested"
    NOT_INTERESTED = "not interested"
    HAVE = "have"
    CANCEL = "cancel"
    REJECT = "reject"
    READY = "ready"  # blocks that it asked for can be sent now


class Link(Protocol):
    """A connection to a peer: a dialect writes down what it is told."""

    def ask(self, partial: Partial, blocks: list[int]) -> None: ...

    def tell(self, signal: Signal, piece: int = 0, begin: int = 0, length: int = 0) -> None: ...

    def close(self, reason: str) -> None: ...


class Remote:
    """One peer."""

    __slots__ = (
        "address", "allowed", "asked", "chokes", "counts", "current", "down", "entrusted",
        "fast", "filling", "given", "granted", "has", "interesting", "key", "known", "last_block",
        "lent", "link", "lost", "passed", "pipeline", "queue", "rtt", "since", "snubs", "strikes",
        "target", "unasked", "unchoked", "unchoked_at", "up", "uploads", "wanted", "wants",
    )  # fmt: skip

    def __init__(self, key: int, link: Link, address: str, pieces: int, now: float) -> None:
        self.key = key
        self.link = link
        self.address = address  # the host, without a port: bans hold for it
        self.since = now
        self.fast = False  # speaks BEP 6
        self.has = Bitfield(pieces)
        self.counts = True  # its copies make a piece less rare: it may pass them on
        self.known = False  # it has told what it has
        self.interesting = 0  # pieces it has that we want
        self.chokes = True  # it serves nothing to us now
        self.wants = False  # it is interested
        self.unchoked = False  # we serve it
        self.unchoked_at = now
        self.wanted = False  # we told it that we are interested
        self.allowed: dict[int, None] = {}  # pieces it serves even when it chokes us
        self.granted: frozenset[int] = frozenset()  # pieces we serve even when we choke it
        self.asked: dict[int, float] = {}  # request number -> when; in order
        self.lost: dict[int, None] = {}  # given up, may still come
        self.current: Partial | None = None  # asked last
        self.filling: tuple[Partial, int] | None = None  # whose bytes are arriving
        self.target: memoryview | None = None  # and where they go; None: nowhere
        self.uploads: deque[tuple[int, int, int]] = deque()  # what it asked for
        self.given = 0  # blocks it sent that we could use
        self.lent = 0  # bytes we sent it while we downloaded ourselves
        self.entrusted = 0  # pieces it got from us that nobody else had
        self.passed = 0  # those of them that then appeared at others
        self.unasked = 0  # bytes it sent that nobody asked for
        self.down = Meter(now)
        self.up = Meter(now)
        self.queue = QUEUE_DEFAULT
        self.pipeline = float(ASKED_FIRST)
        self.rtt = 0.0  # the shortest time from request to block lately; 0: unknown
        self.last_block = now
        self.snubs = False  # sends nothing although asked
        self.strikes = 0  # pieces that failed with its help

    def window(self) -> int:
        """How many requests should be on their way."""
        if self.snubs:
            return 1
        return max(ASKED_LEAST, min(int(self.pipeline), self.queue))

    def answered(self, waited: float, now: float) -> None:
        """A block that we asked for came: like TCP, one more may be on its way."""
        if not self.rtt or waited < self.rtt:
            self.rtt = waited
        self.last_block = now
        self.snubs = False
        if self.pipeline < self.queue:
            self.pipeline += 1

    def measure(self, now: float) -> None:
        """Once a second: fit the pipeline to the rate."""
        self.up.rate(now)
        rate = self.down.rate(now)
        ahead = rate / BLOCK * (QUEUE_TIME + self.rtt)
        self.pipeline = min(self.pipeline, max(1.5 * ahead, ASKED_FIRST / 2))
        self.rtt *= 1.05  # forget an old minimum slowly

    def patience(self) -> float:
        """Seconds without a block after which the peer counts as snubbing us."""
        rate = self.down.last
        if not self.given or not rate:
            return SNUB_FIRST
        expected = self.rtt + len(self.asked) * BLOCK / rate
        return min(max(3 * expected, SNUB_LEAST), SNUB_MOST)

    def lose(self, number: int) -> None:
        """Remember a request that we gave up: its answer is no offence."""
        self.lost[number] = None
        while len(self.lost) > LOST_MAX:
            del self.lost[next(iter(self.lost))]


def number_of(piece: int, block: int) -> int:
    """One number for a block of a piece; a piece has at most 2^16 blocks."""
    return piece << 16 | block
