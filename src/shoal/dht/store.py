"""What others ask us to keep, for a while, and what we ask others to keep.

A record is an opaque value under a key, told apart by its name (a provider,
or nothing where a key has one value); the dialect says what it is and how
long it lives.  Nobody is owed space: each record expires, a key holds so
many, one address group owns so many, all together take so many bytes; when a
limit is reached the newcomer is refused, or on a crowded key the oldest goes.

Publishing is the other side: what we stored with others is stored anew
before it expires there, since those who were closest may have gone.
Kademlia paper, section 2.5.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

KEYS_MAX = 10_000  # keys of which we keep anything
PER_KEY_MAX = 500  # records of one key
PER_GROUP_MAX = 1_000  # records from one address group
BYTES_MAX = 16 * 2**20  # all records together
RECORD_OVERHEAD = 200  # bytes that a record takes beside its value
PUBLISHED_MAX = 10_000  # things of ours that others keep


@dataclass(slots=True)
class Record:
    """A value that we keep."""

    value: Any
    size: int
    expires: float
    group: Hashable = None


class Store:
    """Records of others."""

    def __init__(
        self,
        *,
        keys_max: int = KEYS_MAX,
        per_key_max: int = PER_KEY_MAX,
        per_group_max: int = PER_GROUP_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self.keys_max = keys_max
        self.per_key_max = per_key_max
        self.per_group_max = per_group_max
        self.bytes_max = bytes_max
        self.size = 0
        self._keys: dict[bytes, dict[Hashable, Record]] = {}
        self._groups: dict[Hashable, int] = {}
        self._expiry: list[tuple[float, int, bytes, Hashable]] = []  # when, order, key, name
        self._order = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def keys(self) -> list[bytes]:
        return list(self._keys)

    def get(self, key: bytes, now: float) -> dict[Hashable, Record]:
        """The records of a key, those last stored at the end."""
        self.expire(now)
        return self._keys.get(key, {})

    def put(
        self,
        key: bytes,
        name: Hashable,
        value: Any,
        now: float,
        lifetime: float,
        *,
        size: int = 0,
        group: Hashable = None,
    ) -> bool:
        """Keep a record, in place of the one of the same name. False: a limit refuses it."""
        self.expire(now)
        size += RECORD_OVERHEAD
        records = self._keys.get(key, {})
        old = records.get(name)
        if not self._has_room(key, old, size, group):
            return False
        if old is not None:
            self._drop(key, name)
        elif len(records) >= self.per_key_max:
            self._drop(key, next(iter(records)))
        records = self._keys.setdefault(key, {})
        records[name] = Record(value, size, now + lifetime, group)
        self.size += size
        if group is not None:
            self._groups[group] = self._groups.get(group, 0) + 1
        self._order += 1
        heappush(self._expiry, (now + lifetime, self._order, key, name))
        self._compact()
        return True

    def remove(self, key: bytes, name: Hashable) -> None:
        if name in self._keys.get(key, {}):
            self._drop(key, name)

    def expire(self, now: float) -> None:
        while self._expiry and self._expiry[0][0] <= now:
            _, _, key, name = heappop(self._expiry)
            record = self._keys.get(key, {}).get(name)
            if record is not None and record.expires <= now:
                self._drop(key, name)

    def _has_room(self, key: bytes, old: Record | None, size: int, group: Hashable) -> bool:
        if key not in self._keys and len(self._keys) >= self.keys_max:
            return False
        if self.size + size - (old.size if old else 0) > self.bytes_max:
            return False
        if group is None or (old is not None and old.group == group):
            return True
        return self._groups.get(group, 0) < self.per_group_max

    def _drop(self, key: bytes, name: Hashable) -> None:
        record = self._keys[key].pop(name)
        self.size -= record.size
        if not self._keys[key]:
            del self._keys[key]
        if record.group is not None:
            self._groups[record.group] -= 1
            if not self._groups[record.group]:
                del self._groups[record.group]

    def _compact(self) -> None:
        """Records stored again and again leave their former expiries behind."""
        alive = (
            sum(len(records) for records in self._keys.values()) if self._order % 1024 == 0 else 0
        )
        if alive and len(self._expiry) > 2 * alive + 1024:
            kept: list[tuple[float, int, bytes, Hashable]] = []
            for key, records in self._keys.items():
                for name, record in records.items():
                    heappush(kept, (record.expires, len(kept), key, name))
            self._expiry = kept


@dataclass(slots=True)
class Publication:
    """Something of ours that others keep for us."""

    key: bytes
    name: Hashable  # apart from others under the same key
    value: Any
    due: float
    interval: float


class Publications:
    """What to store anew, and when."""

    def __init__(self) -> None:
        self._all: dict[tuple[bytes, Hashable], Publication] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Publication]:
        return iter(self._all.values())

    @property
    def deadline(self) -> float | None:
        return min((publication.due for publication in self._all.values()), default=None)

    def add(
        self, key: bytes, value: Any, now: float, interval: float, *, name: Hashable = None
    ) -> bool:
        """It has been stored now; store it again after each interval. False: there is no room."""
        if (key, name) not in self._all and len(self._all) >= PUBLISHED_MAX:
            return False
        self._all[key, name] = Publication(key, name, value, now + interval, interval)
        return True

    def remove(self, key: bytes, name: Hashable = None) -> None:
        self._all.pop((key, name), None)

    def due(self, now: float) -> list[Publication]:
        """Those to be stored now; each is due again an interval later."""
        ready = [publication for publication in self._all.values() if publication.due <= now]
        for publication in ready:
            publication.due = now + publication.interval
        return ready

    def hurry(self, now: float) -> None:
        """Our address has changed: everything is to be stored anew."""
        for publication in self._all.values():
            publication.due = now
