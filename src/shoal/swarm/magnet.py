"""Magnet links: a content by its hash alone.

`magnet:?xt=urn:btih:HASH` names a v1 info dictionary by its SHA-1 (40 hex or
32 base32 characters), `xt=urn:btmh:1220HASH` a v2 one by its SHA-256.  `dn` is
a name to show, `tr` a tracker, `x.pe` a peer, `ws` a web seed, `so` the files
wanted.  A bare hash is taken for a link, too.

BEP 9 (links), 52 (btmh), 53 (so).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

from shoal.errors import ProtocolError

LINK_MAX = 64 * 1024  # characters; longer than any browser passes on
LISTED_MAX = 256  # trackers, peers and web seeds taken from one link
FILE_NUMBER_MAX = 1 << 20  # `so` indices beyond this are ignored
SELECTED_MAX = 65_536  # files that one `so` may select

_SHA256 = "1220"  # multihash prefix: SHA-256, 32 bytes


@dataclass(slots=True, frozen=True)
class Magnet:
    """What a magnet link says."""

    hash_v1: bytes | None = None
    hash_v2: bytes | None = None
    name: str = ""
    trackers: tuple[str, ...] = ()
    peers: tuple[tuple[str, int], ...] = ()
    nodes: tuple[tuple[str, int], ...] = ()  # of the DHT
    web_seeds: tuple[str, ...] = ()
    selected: tuple[int, ...] | None = None  # None: all files

    @classmethod
    def parse(cls, text: str) -> "Magnet":
        """Read a link or a bare hash; ProtocolError if there is no hash in it."""
        text = text.strip()
        if len(text) > LINK_MAX:
            raise ProtocolError("the magnet link is too long")
        if not text.lower().startswith("magnet:"):
            return cls(**_bare_hash(text))
        link = _Reader()
        for key, value in _parameters(text[len("magnet:") :].lstrip("?")):
            link.take(key, value)
        if link.hash_v1 is None and link.hash_v2 is None:
            raise ProtocolError("the magnet link has no BitTorrent hash")
        return cls(
            link.hash_v1, link.hash_v2, link.name, tuple(link.trackers), tuple(link.peers),
            tuple(link.nodes), tuple(link.web_seeds), link.selected,
        )  # fmt: skip

    def __str__(self) -> str:
        parts = []
        if self.hash_v1:
            parts.append(f"xt=urn:btih:{self.hash_v1.hex()}")
        if self.hash_v2:
            parts.append(f"xt=urn:btmh:{_SHA256}{self.hash_v2.hex()}")
        if self.name:
            parts.append(f"dn={quote(self.name, safe='')}")
        parts += [f"tr={quote(tracker, safe='')}" for tracker in self.trackers]
        parts += [f"x.pe={_joined(peer)}" for peer in self.peers]
        parts += [f"dht={_joined(node)}" for node in self.nodes]
        parts += [f"ws={quote(seed, safe='')}" for seed in self.web_seeds]
        if self.selected is not None:
            parts.append(f"so={_ranges_text(self.selected)}")
        return "magnet:?" + "&".join(parts)


class _Reader:
    """The fields of a link while they are gathered."""

    def __init__(self) -> None:
        self.hash_v1: bytes | None = None
        self.hash_v2: bytes | None = None
        self.name = ""
        self.trackers: list[str] = []
        self.peers: list[tuple[str, int]] = []
        self.nodes: list[tuple[str, int]] = []
        self.web_seeds: list[str] = []
        self.selected: tuple[int, ...] | None = None

    def take(self, key: str, value: str) -> None:
        if key == "xt":
            self._topic(value)
        elif key == "dn":
            self.name = value
        elif key == "so":
            self.selected = tuple(_ranges(value))
        elif key in ("tr", "ws"):
            _add(self.trackers if key == "tr" else self.web_seeds, value)
        elif key in ("x.pe", "dht") and (address := host_and_port(value)):
            _add(self.peers if key == "x.pe" else self.nodes, address)

    def _topic(self, value: str) -> None:
        lower = value.lower()
        if lower.startswith("urn:btih:"):
            self.hash_v1 = _hash_v1(value[9:])
        elif lower.startswith("urn:btmh:"):
            self.hash_v2 = _hash_v2(value[9:])


def host_and_port(text: str) -> tuple[str, int] | None:
    """`HOST:PORT` or `[V6]:PORT`; None if it is neither."""
    try:
        parts = urlsplit("//" + text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    return (host, port) if host and port and parts.path == "" else None


def _add(items: list[Any], item: object) -> None:
    if item not in items and len(items) < LISTED_MAX:
        items.append(item)


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    """Key and value of each part; `tr.1` counts as `tr`, any case will do."""
    for part in query.split("&"):
        key, _, value = part.partition("=")
        yield re.sub(r"\.\d+$", "", unquote_plus(key).lower()), unquote_plus(value)


def _hash_v1(text: str) -> bytes:
    try:
        if len(text) == 40:
            return binascii.unhexlify(text)
        if len(text) == 32:
            return base64.b32decode(text.upper())
    except (binascii.Error, ValueError):
        pass
    raise ProtocolError(f"{text[:50]!r} is not a v1 hash: 40 hex or 32 base32 characters")


def _hash_v2(text: str) -> bytes:
    try:
        if len(text) == 68 and text.startswith(_SHA256):
            return binascii.unhexlify(text[4:])
    except (binascii.Error, ValueError):
        pass
    raise ProtocolError(f"{text[:80]!r} is not a v2 hash: 1220 and 64 hex characters")


def _bare_hash(text: str) -> dict[str, Any]:
    if len(text) == 64:
        return {"hash_v2": _hash_v2(_SHA256 + text)}
    if len(text) == 68:
        return {"hash_v2": _hash_v2(text)}
    return {"hash_v1": _hash_v1(text)}


def _ranges(text: str) -> Iterator[int]:
    """`0,2,4-7`; what is reversed, huge or no number is passed over."""
    count = 0
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip())
        if not match:
            continue
        first = int(match[1])
        last = int(match[2] or match[1])
        if first <= last < FILE_NUMBER_MAX and count + last - first < SELECTED_MAX:
            count += last - first + 1
            yield from range(first, last + 1)


def _ranges_text(numbers: Iterable[int]) -> str:
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _joined(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
