"""The values that a Grape keeps: those used last, without any expiry.

BEP 44's values as Grenache moves them: a text of at most 1000 bytes, where BEP
44 counts its bencoded form.  A mutable one is always verified, and its sequence
number must grow, where BEP 44 lets an equal one pass.
"""

from typing import Any

from shoal.dht.krpc import CAS_MISMATCH, SEQUENCE_OLD
from shoal.dht.mainline.items import Item, fault_of

VALUES_MAX = 5000  # Grenache's default
ENCODED_MAX = 1005  # bytes: 1000 and the length in front

Fault = tuple[int, str]


class Values:
    """Items by their key; when there are too many the one least recently used goes."""

    def __init__(self, most: int = VALUES_MAX) -> None:
        self.most = most
        self._items: dict[bytes, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: bytes) -> Item | None:
        item = self._items.pop(key, None)
        if item is not None:
            self._items[key] = item  # used last
        return item

    def put(self, item: Item, cas: Any = None) -> Fault | None:
        """Keep it; or why not."""
        fault = fault_of(item, most=ENCODED_MAX) or self._conflict(item, cas)
        if fault is None:
            self._items.pop(item.key, None)
            self._items[item.key] = item
            while len(self._items) > self.most:
                del self._items[next(iter(self._items))]
        return fault

    def _conflict(self, item: Item, cas: Any) -> Fault | None:
        stored = self._items.get(item.key)
        if stored is None or not item.public_key:
            return None
        if isinstance(cas, int) and cas != stored.sequence:
            return CAS_MISMATCH, "CAS mismatch, re-read and try again"
        if item.sequence <= stored.sequence:
            return SEQUENCE_OLD, "sequence number less than current"
        return None
