"""Which addresses are worth telling whom.

A peer far away can do nothing with an address of our local network, and one
that names such an address to us would have us knock on our neighbours' doors.
So addresses pass between two peers only if they reach as far as the
connection between them does: on loopback everything, on a local network all
but loopback, on the Internet public addresses only.
"""

from collections.abc import Iterable
from functools import lru_cache

from shoal.codec import multihash
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

LOOPBACK, LOCAL, PUBLIC = range(3)
CACHE = 4096  # addresses and ids to remember: answers name the same ones again and again
TOLD_MAX = 16  # addresses of one peer that are told or believed


@lru_cache(CACHE)
def reach_of(address: Multiaddr) -> int:
    """From how far away it can be dialled; a name from everywhere, for all that we know."""
    ip = address.ip
    if ip is None:
        return PUBLIC
    if ip.is_loopback:
        return LOOPBACK
    return LOCAL if ip.is_private or ip.is_link_local else PUBLIC


def worth(addresses: Iterable[Multiaddr], between: Multiaddr) -> list[Multiaddr]:
    """Those that pass over a connection whose other end is there."""
    reach = reach_of(between)
    return [address for address in addresses if reach_of(address) >= reach][:TOLD_MAX]


@lru_cache(CACHE)
def group_of(address: Multiaddr) -> bytes | None:
    """The /16 (IPv4) or /32 (IPv6) whose addresses one owner may have together."""
    ip = address.ip
    if ip is None or reach_of(address) != PUBLIC:
        return None
    return ip.packed[:2] if ip.version == 4 else ip.packed[:4]


@lru_cache(CACHE)
def peer_of(data: bytes) -> PeerId | None:
    """The peer id in these bytes, if it is one."""
    try:
        return PeerId(data)
    except ProtocolError:
        return None


def is_multihash(key: bytes) -> bool:
    try:
        multihash.decode(key)
    except ProtocolError:
        return False
    return True
