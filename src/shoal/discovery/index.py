"""A central index of who has what.

The oldest architecture: everybody tells one place what they have, and asks
it who else has it.  An entry lives until its owner says goodbye or falls
silent.  Here a key is a swarm's info-hash and an owner one address; a
tracker is this index with a network's messages in front.

No bytes, clock or sockets: the caller hands in `now` and the rng that draws
which peers an asker is told.
"""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from shoal.discovery.compact import Address

if TYPE_CHECKING:
    from random import Random

LIFE = 3900.0  # seconds an owner may be silent: two intervals of half an hour and some grace
KEYS_MAX = 100_000  # keys in the index
OWNERS_MAX = 10_000  # owners of one key
KEYS_PER_HOST_MAX = 2_000  # keys that one host may own: no host fills the index alone


@dataclass(slots=True)
class Owner:
    """One address that has (or is getting) what a key names."""

    identity: bytes
    complete: bool
    seen: float


@dataclass(slots=True)
class Entry:
    """Everybody who has one thing; dicts keep the order of the last word."""

    owners: dict[Address, Owner] = field(default_factory=dict)
    complete: int = 0
    downloaded: int = 0

    @property
    def incomplete(self) -> int:
        return len(self.owners) - self.complete


class Index:
    """Keys -> the addresses that own them, bounded and expiring."""

    def __init__(
        self,
        *,
        life: float = LIFE,
        keys_max: int = KEYS_MAX,
        owners_max: int = OWNERS_MAX,
        keys_per_host_max: int = KEYS_PER_HOST_MAX,
    ) -> None:
        self.life = life
        self.keys_max = keys_max
        self.owners_max = owners_max
        self.keys_per_host_max = keys_per_host_max
        self.entries: dict[bytes, Entry] = {}
        self._hosts: dict[str, int] = {}  # host -> entries it owns

    def add(
        self, key: bytes, address: Address, *, identity: bytes, complete: bool, now: float
    ) -> bool:
        """Remember an owner.  False when a limit leaves no room for it."""
        entry = self.entries.get(key)
        if entry is None or address not in entry.owners:
            if not self._room(entry, address):
                return False
            entry = self.entries.setdefault(key, Entry())
            self._hosts[address[0]] = self._hosts.get(address[0], 0) + 1
        else:
            entry.complete -= entry.owners.pop(address).complete
        entry.owners[address] = Owner(identity, complete, now)
        entry.complete += complete
        return True

    def remove(self, key: bytes, address: Address) -> None:
        entry = self.entries.get(key)
        if entry is None or address not in entry.owners:
            return
        entry.complete -= entry.owners.pop(address).complete
        self._hosts[address[0]] -= 1
        if not self._hosts[address[0]]:
            del self._hosts[address[0]]
        if not entry.owners and not entry.downloaded:
            del self.entries[key]

    def finished(self, key: bytes) -> None:
        """Count one more who got all of it."""
        if key in self.entries:
            self.entries[key].downloaded += 1

    def owners(
        self, key: bytes, count: int, rng: "Random", *, but: Address, complete: bool = True
    ) -> list[Address]:
        """Up to `count` owners drawn by chance; without the complete ones for one who is."""
        entry = self.entries.get(key)
        if entry is None:
            return []
        useful = [
            address
            for address, owner in entry.owners.items()
            if address != but and (complete or not owner.complete)
        ]
        return useful if len(useful) <= count else rng.sample(useful, count)

    def expire(self, now: float) -> None:
        """Forget who has been silent for `life` seconds."""
        old = now - self.life
        for key, entry in list(self.entries.items()):
            # owners stand in the order of their last word: the first young one ends the search
            silent = takewhile(lambda each: each[1].seen < old, list(entry.owners.items()))
            for address, _ in silent:
                self.remove(key, address)
            if not entry.owners:
                self.entries.pop(key, None)

    def _room(self, entry: Entry | None, address: Address) -> bool:
        if self._hosts.get(address[0], 0) >= self.keys_per_host_max:
            return False
        if entry is None:
            return len(self.entries) < self.keys_max
        return len(entry.owners) < self.owners_max
