"""Addresses as trackers, peer exchange and the DHT pack them.

Six bytes for IPv4 (address, port), eighteen for IPv6, one behind the other.
Port 0 cannot be dialled: such entries are left out when reading.

BEP 23 (compact peers), BEP 7 (peers6).
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice

from shoal.errors import ProtocolError

Address = tuple[str, int]  # IP address as text, port

V4_SIZE = 6  # bytes
V6_SIZE = 18  # bytes
PEERS_MAX = 2000  # of one list; honest trackers send 50 to 200


def pack(addresses: Iterable[Address], size: int = V4_SIZE) -> bytes:
    """The addresses of one family; those of the other are left out."""
    width = size - 2
    packed = ((ip_address(host).packed, port) for host, port in addresses)
    return b"".join(host + port.to_bytes(2, "big") for host, port in packed if len(host) == width)


def unpack(data: bytes, size: int = V4_SIZE) -> list[Address]:
    """Raises ProtocolError where the length is no multiple of `size`."""
    if len(data) % size:
        raise ProtocolError(f"{len(data)} bytes are no list of {size}-byte addresses")
    kind = IPv4Address if size == V4_SIZE else IPv6Address
    entries = (data[start : start + size] for start in range(0, len(data), size))
    addresses = ((str(kind(entry[:-2])), int.from_bytes(entry[-2:], "big")) for entry in entries)
    return list(islice((each for each in addresses if each[1]), PEERS_MAX))
