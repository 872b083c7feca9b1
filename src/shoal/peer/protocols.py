"""The words of multiaddrs: each one's name, code, and how its value is written.

A word's value has a fixed size in bytes, none at all, or any length (then its
length stands before it as a varint).  `to_bytes` and `to_text` mirror each other.

multiformats/multiaddr, protocols.csv and its protocols/ pages.
"""

import re
from base64 import b32decode, b32encode
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from shoal.codec import multibase, multihash
from shoal.errors import ProtocolError
from shoal.peer.id import PeerId

VALUE_MAX = 512  # bytes of one value; a host name has at most 253, a unix path 107

ANY_SIZE = -1  # the length stands before the value

_NOT_PLAIN = re.compile(rb"[^A-Za-z0-9\-_.!~*'()]")  # all that encodeURIComponent escapes
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NAME = re.compile(r"[^/\s\x00-\x1f\x7f]+")  # what can stand between two slashes


class Protocol(NamedTuple):
    """One word of an address; `size` counts the bytes of its value."""

    name: str
    code: int
    size: int = 0
    to_bytes: Callable[[str], bytes] = str.encode
    to_text: Callable[[bytes], str] = bytes.decode


def _ip4_to_bytes(text: str) -> bytes:
    return IPv4Address(text).packed


def _ip4_to_text(data: bytes) -> str:
    return str(IPv4Address(data))


def _ip6_to_bytes(text: str) -> bytes:
    if "%" in text:
        raise ProtocolError("the zone of an IPv6 address is a word of its own: /ip6zone/eth0/ip6")
    return IPv6Address(text).packed


def _ip6_to_text(data: bytes) -> str:
    return str(IPv6Address(data))


def _number_to_bytes(text: str, size: int) -> bytes:
    if not (text.isascii() and text.isdigit()) or len(text) > 5:
        raise ProtocolError(f"{text[:20]!r} is not a number")
    if int(text) >> 8 * size:
        raise ProtocolError(f"{text} is over {(1 << 8 * size) - 1}")
    return int(text).to_bytes(size)


def _port_to_bytes(text: str) -> bytes:
    return _number_to_bytes(text, 2)


def _prefix_length_to_bytes(text: str) -> bytes:
    return _number_to_bytes(text, 1)


def _number_to_text(data: bytes) -> str:
    return str(int.from_bytes(data))


def _name_to_bytes(text: str) -> bytes:
    if not _NAME.fullmatch(text):
        raise ProtocolError(f"{text[:20]!r} is not a name")
    return text.encode()


def _name_to_text(data: bytes) -> str:
    text = data.decode()
    if not _NAME.fullmatch(text):
        raise ProtocolError(f"{text[:20]!r} is not a name")
    return text


def _path_to_bytes(text: str) -> bytes:
    data = text.encode()
    if not data or _STRAY_PERCENT.search(data):
        raise ProtocolError(f"{text[:20]!r} is not a path with its slashes as %2F")
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), data)


def _path_to_text(data: bytes) -> str:
    if not data:
        raise ProtocolError("a path is empty")
    return _NOT_PLAIN.sub(lambda found: b"%%%02X" % found[0][0], data).decode()


def _peer_to_bytes(text: str) -> bytes:
    return PeerId.parse(text).bytes


def _peer_to_text(data: bytes) -> str:
    return str(PeerId(data))


def _certhash_to_bytes(text: str) -> bytes:
    data = multibase.decode(text)
    multihash.decode(data)
    return data


def _certhash_to_text(data: bytes) -> str:
    multihash.decode(data)
    return multibase.encode(data, "base64url")


def _onion_to_bytes(text: str, letters: int) -> bytes:
    host, _, port = text.partition(":")
    if len(host) != letters or port == "0":
        raise ProtocolError(f"{text[:20]!r} is not an onion address with a port")
    return b32decode(host.upper()) + _port_to_bytes(port)


def _onion2_to_bytes(text: str) -> bytes:
    return _onion_to_bytes(text, 16)


def _onion3_to_bytes(text: str) -> bytes:
    return _onion_to_bytes(text, 56)


def _onion_to_text(data: bytes) -> str:
    if not any(data[-2:]):
        raise ProtocolError("an onion address has port 0")
    return f"{b32encode(data[:-2]).decode().lower()}:{_number_to_text(data[-2:])}"


_WITH_VALUE = (
    Protocol("ip4", 4, 4, _ip4_to_bytes, _ip4_to_text),
    Protocol("tcp", 6, 2, _port_to_bytes, _number_to_text),
    Protocol("dccp", 33, 2, _port_to_bytes, _number_to_text),
    Protocol("ip6", 41, 16, _ip6_to_bytes, _ip6_to_text),
    Protocol("ip6zone", 42, ANY_SIZE, _name_to_bytes, _name_to_text),
    Protocol("ipcidr", 43, 1, _prefix_length_to_bytes, _number_to_text),
    Protocol("dns", 53, ANY_SIZE, _name_to_bytes, _name_to_text),
    Protocol("dns4", 54, ANY_SIZE, _name_to_bytes, _name_to_text),
    Protocol("dns6", 55, ANY_SIZE, _name_to_bytes, _name_to_text),
    Protocol("dnsaddr", 56, ANY_SIZE, _name_to_bytes, _name_to_text),
    Protocol("sctp", 132, 2, _port_to_bytes, _number_to_text),
    Protocol("udp", 273, 2, _port_to_bytes, _number_to_text),
    Protocol("unix", 400, ANY_SIZE, _path_to_bytes, _path_to_text),
    Protocol("p2p", 421, ANY_SIZE, _peer_to_bytes, _peer_to_text),
    Protocol("onion", 444, 12, _onion2_to_bytes, _onion_to_text),
    Protocol("onion3", 445, 37, _onion3_to_bytes, _onion_to_text),
    Protocol("sni", 449, ANY_SIZE, _name_to_bytes, _name_to_text),
    Protocol("certhash", 466, ANY_SIZE, _certhash_to_bytes, _certhash_to_text),
    Protocol("http-path", 481, ANY_SIZE, _path_to_bytes, _path_to_text),
    Protocol("memory", 777, ANY_SIZE, _name_to_bytes, _name_to_text),
)
_WITHOUT_VALUE = {
    "webrtc-direct": 280,
    "webrtc": 281,
    "p2p-circuit": 290,
    "udt": 301,
    "utp": 302,
    "https": 443,
    "tls": 448,
    "noise": 454,
    "quic": 460,
    "quic-v1": 461,
    "webtransport": 465,
    "ws": 477,
    "wss": 478,
    "http": 480,
}
_ALL = (*_WITH_VALUE, *(Protocol(name, code) for name, code in _WITHOUT_VALUE.items()))

BY_CODE = {protocol.code: protocol for protocol in _ALL}
BY_NAME = {protocol.name: protocol for protocol in _ALL}
BY_NAME["ipfs"] = BY_NAME["p2p"]  # its old name
