"""Which addresses to dial, and which peer goes when there are too many.

Addresses come from trackers, the DHT, links and peers, more than anybody needs
and many of them dead.  Each is tried at once and then ever more rarely.  When
all places are taken, a peer goes that is of no use to either side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shoal.swarm.remote import Remote

Address = tuple[str, int]  # host and port

KNOWN_MAX = 2000  # addresses kept for one content
RETRY_FIRST = 2.0  # seconds until a failed address is tried again ...
RETRY_FACTOR = 3.0  # ... and how much longer after each failure
TRIES_MAX = 7  # failures in a row after which it is forgotten: about half an hour
SETTLING = 30.0  # seconds that a new peer is left alone


@dataclass(slots=True)
class Known:
    """An address and how it went."""

    due: float
    failures: int = 0
    busy: bool = False  # being dialled, or connected


class Candidates:
    """Addresses of one content."""

    def __init__(self) -> None:
        self._known: dict[Address, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, addresses: Iterable[Address], now: float) -> int:
        """How many of them are new."""
        count = 0
        for address in addresses:
            if address not in self._known and len(self._known) < KNOWN_MAX and address[1]:
                self._known[address] = Known(now)
                count += 1
        return count

    def next(self, limit: int, now: float) -> list[Address]:
        """Whom to dial now."""
        due = [a for a, known in self._known.items() if not known.busy and known.due <= now]
        due.sort(key=lambda address: self._known[address].failures)
        chosen = due[: max(limit, 0)]
        for address in chosen:
            self._known[address].busy = True
        return chosen

    @property
    def good(self) -> list[Address]:
        """Those that answered when last dialled, or are being dialled now."""
        return [a for a, known in self._known.items() if known.busy and not known.failures]

    @property
    def deadline(self) -> float | None:
        """When the next address may be tried."""
        return min((known.due for known in self._known.values() if not known.busy), default=None)

    def ended(self, address: Address, now: float, *, useful: bool) -> None:
        """The dial failed, or the connection is over."""
        known = self._known.get(address)
        if known is None:
            return
        known.busy = False
        known.failures = 0 if useful else known.failures + 1
        if known.failures >= TRIES_MAX:
            del self._known[address]
        else:
            known.due = now + RETRY_FIRST * RETRY_FACTOR ** max(known.failures - 1, 0)

    def forget(self, host: str) -> None:
        """The host is banned."""
        for address in [each for each in self._known if each[0] == host]:
            del self._known[address]


def least_useful(remotes: Sequence[Remote], seeding: bool, now: float) -> Remote | None:
    """Who goes when a place is needed: never a newcomer, nor one with whom bytes flow.

    First goes who neither gives nor wants anything, then who has been idle longest.
    """
    idle = [r for r in remotes if now - r.since > SETTLING and not (r.up.last or r.down.last)]

    def use(remote: Remote) -> tuple[bool, float]:
        mutual = remote.wants or (remote.interesting > 0 and not seeding)
        return (mutual, remote.since)

    return min(idle, key=use, default=None)
