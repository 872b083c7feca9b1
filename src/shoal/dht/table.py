"""The peers that a node knows: many near it, few far away.

Bucket i holds up to K peers whose distance to us has i bits, so each bucket
covers half the space that is left.  A peer enters when it has answered us,
never because somebody named it.  Peers that live long tend to go on living,
so a full bucket keeps those it has and remembers the newcomer as a spare;
the first question that a peer leaves unanswered lets a spare take its place.

One owner of many addresses must not own a bucket: a quarter of it, at most,
comes from one address group (what a group is belongs to the dialect).

Kademlia paper, sections 2.2, 2.4 and 4.1.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

K = 20  # peers in a bucket; the paper's k
BITS = 160  # length of an id
GROUP_SHARE = 4  # one address group gets at most 1/4 of a bucket
FAILURES_MAX = 3  # unanswered questions in a row after which a peer without a successor goes
QUESTIONABLE = 900.0  # seconds of silence after which a peer is asked whether it lives (BEP 5)


@dataclass(slots=True)
class Contact:
    """Somebody who may be asked."""

    position: int  # the place of its id among all ids
    id: bytes  # as the dialect sends it; empty while we know only its address
    address: Hashable  # where the dialect sends to
    group: Hashable = None  # addresses that one owner may have together; None: not limited


@dataclass(slots=True)
class Entry:
    """A contact that has answered, and its signs of life."""

    contact: Contact
    seen: float  # when it last answered or asked
    failures: int = 0  # unanswered questions since


@dataclass(slots=True)
class Bucket:
    """Contacts at distances of one bit length."""

    entries: list[Entry] = field(default_factory=list)
    spares: list[Entry] = field(default_factory=list)  # the latest at the end
    touched: float = 0.0  # when a lookup last went here
    good: list[Contact] | None = None  # the entries without a failure, made when asked for


class Table:
    """Buckets by the bit length of the distance to `own`."""

    def __init__(self, own: int, *, k: int = K, bits: int = BITS) -> None:
        self.own = own
        self.k = k
        self.bits = bits
        self.version = 0  # grows when an answer of `closest` may have changed
        self.group_share = max(1, k // GROUP_SHARE)
        self._buckets: dict[int, Bucket] = {}
        self._indexes: list[int] = []  # of the buckets, sorted
        self._positions: dict[int, Entry] = {}
        self._addresses: dict[Hashable, Entry] = {}
        self._groups: dict[Hashable, int] = {}  # entries of each group in the whole table

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Contact]:
        for index in self._indexes:
            for entry in self._buckets[index].entries:
                yield entry.contact

    def find(self, address: Hashable) -> Contact | None:
        entry = self._addresses.get(address)
        return entry.contact if entry else None

    def answered(self, contact: Contact, now: float) -> bool:
        """The contact has proved that it is at its address. True if it is in the table now."""
        entry = self._addresses.get(contact.address)
        if entry is not None:
            if entry.contact.position == contact.position:
                self._alive(entry, now)
                return True
            self._remove(entry)  # it has taken a new id: one address has one place
        entry = self._positions.get(contact.position)
        if entry is not None:
            if not entry.failures:
                return False  # nobody takes over the id of a peer that lives
            self._remove(entry)
        return self._add(Entry(contact, now))

    def heard(self, address: Hashable, contact_id: bytes, now: float) -> bool:
        """A query came; from whom we know, it is a sign of life. True if we know it."""
        entry = self._addresses.get(address)
        if entry is None or entry.contact.id != contact_id:
            return False
        if not entry.failures:
            entry.seen = now
        return True

    def failed(self, address: Hashable) -> None:
        """A question stayed unanswered."""
        entry = self._addresses.get(address)
        if entry is None:
            return
        entry.failures += 1
        bucket = self._bucket(entry.contact.position)
        bucket.good = None
        self.version += 1
        if bucket.spares or entry.failures >= FAILURES_MAX:
            self._remove(entry)
            self._promote(bucket)

    def wants(self, contact: Contact) -> bool:
        """Whether it is worth a question to find out if this contact lives."""
        if contact.position == self.own or contact.position in self._positions:
            return False
        bucket = self._buckets.get((self.own ^ contact.position).bit_length())
        if bucket is None:
            return self._group_has_room(contact, [])
        if len(bucket.entries) < self.k or any(entry.failures for entry in bucket.entries):
            return self._group_has_room(contact, bucket.entries)
        return not bucket.spares and self._group_has_room(contact, bucket.spares)

    def closed(self, position: int) -> bool:
        """Whether nobody new is wanted there: the bucket is full of the living, and has spares."""
        bucket = self._buckets.get((self.own ^ position).bit_length())
        if bucket is None or not bucket.spares:
            return False
        return bucket.good is not None and len(bucket.good) == self.k

    def closest(self, target: int, count: int) -> list[Contact]:
        """The `count` live contacts closest to the target, in no certain order.

        The bucket where the target would be is nearest to it as a whole, then
        all nearer buckets together, then the farther ones one by one.
        """
        split = (self.own ^ target).bit_length()
        found = self._good(split)
        if len(found) == count:
            return found
        found = self._nearest(found, target, count)
        near: list[Contact] = []
        for index in self._indexes:
            if index < split:
                near += self._good(index)
        found += self._nearest(near, target, count - len(found))
        for index in self._indexes:
            if len(found) == count:
                break
            if index > split:
                found += self._nearest(self._good(index), target, count - len(found))
        return found

    def full(self, index: int) -> list[Contact] | None:
        """The contacts of a bucket that alone answers for every target in it, else None."""
        good = self._good(index)
        return good if len(good) == self.k else None

    def touch(self, target: int, now: float) -> None:
        """A lookup goes towards the target."""
        bucket = self._buckets.get((self.own ^ target).bit_length())
        if bucket is not None:
            bucket.touched = now

    def idle(self, before: float) -> list[int]:
        """Buckets where no lookup went since."""
        return [index for index in self._indexes if self._buckets[index].touched < before]

    def inside(self, index: int, rng: "Random") -> int:
        """A target that falls into the bucket."""
        return self.own ^ (1 << (index - 1) | rng.getrandbits(index - 1))

    def questionable(self, now: float, silence: float = QUESTIONABLE) -> list[Contact]:
        """Contacts not heard from for a while, or that failed and wait for a second chance."""
        return [
            entry.contact
            for index in self._indexes
            for entry in self._buckets[index].entries
            if entry.failures or now - entry.seen >= silence
        ]

    def latest(self) -> Contact | None:
        """The contact heard from last, of those that answer."""
        good = [entry for entry in self._addresses.values() if not entry.failures]
        return max(good, key=lambda entry: entry.seen).contact if good else None

    def _alive(self, entry: Entry, now: float) -> None:
        entry.seen = now
        if entry.failures:
            entry.failures = 0
            self._bucket(entry.contact.position).good = None
            self.version += 1

    def _add(self, entry: Entry) -> bool:
        contact = entry.contact
        if contact.position == self.own or not contact.id:
            return False
        bucket = self._bucket(contact.position)
        if not self._group_has_room(contact, bucket.entries):
            return False
        if not bucket.entries:
            bucket.touched = entry.seen
        if len(bucket.entries) >= self.k:
            failing = max(bucket.entries, key=lambda known: known.failures)
            if not failing.failures:
                self._spare(bucket, entry)
                return False
            self._remove(failing)
        self._enter(bucket, entry)
        return True

    def _enter(self, bucket: Bucket, entry: Entry) -> None:
        contact = entry.contact
        bucket.entries.append(entry)
        bucket.good = None
        self._positions[contact.position] = entry
        self._addresses[contact.address] = entry
        if contact.group is not None:
            self._groups[contact.group] = self._groups.get(contact.group, 0) + 1
        self.version += 1

    def _spare(self, bucket: Bucket, entry: Entry) -> None:
        spares = bucket.spares
        spares[:] = [known for known in spares if known.contact.address != entry.contact.address]
        if self._group_has_room(entry.contact, spares):
            spares.append(entry)
            del spares[: -self.k]

    def _promote(self, bucket: Bucket) -> None:
        """The spare seen last takes the free place."""
        while bucket.spares and len(bucket.entries) < self.k:
            entry = bucket.spares.pop()
            contact = entry.contact
            known = contact.position in self._positions or contact.address in self._addresses
            if not known and self._group_has_room(contact, bucket.entries):
                self._enter(bucket, entry)

    def _remove(self, entry: Entry) -> None:
        contact = entry.contact
        bucket = self._bucket(contact.position)
        bucket.entries.remove(entry)
        bucket.good = None
        del self._positions[contact.position]
        del self._addresses[contact.address]
        if contact.group is not None:
            self._groups[contact.group] -= 1
            if not self._groups[contact.group]:
                del self._groups[contact.group]
        self.version += 1

    def _group_has_room(self, contact: Contact, among: list[Entry]) -> bool:
        if contact.group is None:
            return True
        if self._groups.get(contact.group, 0) >= self.k:  # one bucketful in the whole table
            return False
        same = sum(entry.contact.group == contact.group for entry in among)
        return same < self.group_share

    def _bucket(self, position: int) -> Bucket:
        index = (self.own ^ position).bit_length()
        bucket = self._buckets.get(index)
        if bucket is None:
            bucket = self._buckets[index] = Bucket()
            self._indexes = sorted(self._buckets)
        return bucket

    def _good(self, index: int) -> list[Contact]:
        bucket = self._buckets.get(index)
        if bucket is None:
            return []
        if bucket.good is None:
            bucket.good = [entry.contact for entry in bucket.entries if not entry.failures]
        return bucket.good

    @staticmethod
    def _nearest(contacts: list[Contact], target: int, count: int) -> list[Contact]:
        if len(contacts) <= count:
            return contacts.copy()
        return nsmallest(count, contacts, key=lambda contact: contact.position ^ target)
