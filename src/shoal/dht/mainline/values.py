"""Plain values in BitTorrent's DHT: up to 1,000 bytes, immutable or signed (BEP 44)."""

from collections.abc import Callable
from dataclasses import dataclass

from shoal.dht.mainline.items import Item, make_immutable, make_mutable
from shoal.dht.mainline.words import Mutation
from shoal.dht.service import Dht, Watcher
from shoal.errors import NotFoundError, ProtocolError


@dataclass(frozen=True, slots=True)
class Signer:
    """An Ed25519 key that signs values: its 32 bytes, and how it signs."""

    public_key: bytes
    sign: Callable[[bytes], bytes]


async def put_value(
    dht: Dht,
    value: bytes,
    *,
    signer: Signer | None = None,
    salt: bytes = b"",
    keep: bool = True,
    watcher: Watcher | None = None,
) -> tuple[Item, int]:
    """Store a value; what was stored, and how many nodes took it.

    A signed one is the next version of what this key has signed under this
    salt.  NotFoundError if no node took it.
    """
    item = await next_version(dht, value, signer, salt) if signer else make_immutable(value)
    taken = await dht.put(Mutation(item), keep=keep, watcher=watcher)
    if not taken:
        raise NotFoundError("no node took the value")
    return item, taken


async def get_value(dht: Dht, key: bytes, salt: bytes = b"") -> bytes:
    """The newest bytes under a key.  NotFoundError if there are none."""
    item = await dht.get(key, salt)
    if not isinstance(item.value, bytes):
        raise ProtocolError(f"what is stored under {key.hex()} is no bytes")
    return item.value


async def next_version(dht: Dht, value: bytes, signer: Signer, salt: bytes) -> Item:
    first = make_mutable(value, signer.public_key, signer.sign, sequence=1, salt=salt)
    try:
        current = await dht.get(first.key, salt)
    except NotFoundError:
        return first
    later = current.sequence + 1
    return make_mutable(value, signer.public_key, signer.sign, sequence=later, salt=salt)
