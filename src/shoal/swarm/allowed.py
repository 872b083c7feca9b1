"""Which pieces a newcomer may fetch though it is choked.

The set follows from its address and the content's hash, so every peer grants
the same few pieces to the same newcomer: enough to have something to trade,
useless for living off it.

BEP 6, "allowed fast".
"""

from hashlib import sha1
from ipaddress import IPv4Address

COUNT = 5  # pieces granted; libtorrent grants as many


def allowed_fast(address: str, info_hash: bytes, pieces: int, count: int = COUNT) -> list[int]:
    """The pieces for a peer; the BEP defines it for IPv4 only, so others get none."""
    try:
        network = bytes([*IPv4Address(address).packed[:3], 0])  # one set for a whole /24
    except ValueError:
        return []
    found: dict[int, None] = {}
    state = network + info_hash
    while len(found) < min(count, pieces):
        state = sha1(state, usedforsecurity=False).digest()
        for at in range(0, 20, 4):
            if len(found) < min(count, pieces):
                found[int.from_bytes(state[at : at + 4], "big") % pieces] = None
    return list(found)
