"""How the DHT service says things in mainline: where to walk, what to hand over."""

from dataclasses import dataclass
from typing import Any

from shoal.dht.krpc import Fields
from shoal.dht.mainline.items import Item, to_fields
from shoal.dht.questions import Answer, Verb

ANNOUNCE_EVERY = 900.0  # seconds: nodes forget a peer after half an hour or so
PUT_EVERY = 3600.0  # seconds (BEP 44)


@dataclass(slots=True, frozen=True)
class Announced:
    """Where a peer of ours listens; port 0: at the port of the DHT itself."""

    port: int = 0
    seed: bool = False


@dataclass(slots=True, frozen=True)
class Mutation:
    """An item to store if what is there has this sequence number (compare and swap)."""

    item: Item
    cas: int | None = None

    @property
    def key(self) -> bytes:
        return self.item.key


class MainlineWords:
    """BEP 5 and 44: tokens are asked for on the way, then shown when storing."""

    name = "mainline"
    provide_walk = Verb.GET_PROVIDERS
    put_walk = Verb.GET_VALUE
    provide_every = ANNOUNCE_EVERY
    put_every = PUT_EVERY

    def providing(self, answer: Answer, what: Announced) -> Fields | None:
        """The rest of an announce_peer; None: this node gave no token."""
        if not answer.token:
            return None
        port = what.port or 1
        fields: Fields = {
            b"token": answer.token,
            b"port": port,
            b"implied_port": int(not what.port),
        }
        if what.seed:
            fields[b"seed"] = 1
        return fields

    def storing(self, answer: Answer, what: Mutation) -> Fields | None:
        """The rest of a put."""
        if not answer.token:
            return None
        fields = to_fields(what.item) | {b"token": answer.token}
        if what.item.salt:
            fields[b"salt"] = what.item.salt
        if what.cas is not None:
            fields[b"cas"] = what.cas
        return fields

    def better(self, one: Any, other: Any) -> bool:
        """Whether the first of two items is the more recent one."""
        return bool(one.sequence > other.sequence)
