"""Plain values in libp2p's DHT: it keeps only what proves itself, so they are signed.

A value of ours becomes an IPNS record under our own id, the only name that we
can sign for; each further one replaces it.
"""

from collections.abc import Callable

from shoal.dht.libp2p import ipns
from shoal.dht.libp2p.core import Value
from shoal.dht.service import Dht, Watcher
from shoal.errors import UsageError
from shoal.peer.key import PrivateKey

NAME_LIFE = 48 * 3600.0  # seconds; a node signs its record anew each time that it stores it


async def put_value(
    dht: Dht,
    value: bytes,
    *,
    key: PrivateKey,
    salt: bytes,
    signed: bool,
    keep: bool = True,
    today: Callable[[], float],
    watcher: Watcher | None = None,
) -> bytes:
    """Sign a value and store it; the key under which it lies."""
    if salt or not signed:
        raise UsageError("libp2p's DHT keeps one value of a node, signed and without a salt")
    sequence = int(today() * 1000)  # of the value: to sign it anew moves only the end

    def sign() -> Value:
        return Value(*ipns.seal(key, value, sequence=sequence, ends=today() + NAME_LIFE))

    record = sign()
    if len(record.value) > ipns.RECORD_MAX:
        raise UsageError(f"a signed value takes at most {ipns.RECORD_MAX} bytes with its signature")
    await dht.put(record, keep=keep, renew=sign, watcher=watcher)
    return record.key


async def get_value(
    dht: Dht, key: bytes, salt: bytes = b"", *, watcher: Watcher | None = None
) -> bytes:
    """The value under a key: what a name stands for, or the record itself."""
    if salt:
        raise UsageError("libp2p's DHT knows no salt")
    found: Value = await dht.get(key, watcher=watcher)
    return ipns.read(key, found.value).value if key.startswith(ipns.IPNS) else found.value
