"""Presence as BitTorrent has it: local service discovery.

Who takes part in a swarm says so to a group, every five minutes: a text in the
manner of HTTP, with the port at which it accepts peers and the info-hash (or
several of them).  There are no questions: who hears of a swarm that it is in
dials the speaker, or tells a newcomer that it is there, too.  The cookie tells
a speaker its own words.

BEP 14.
"""

from typing import TYPE_CHECKING

from shoal.discovery.lan import Found, Gone, Lan, Manners
from shoal.errors import ProtocolError

if TYPE_CHECKING:
    from random import Random

GROUPS = ("239.192.152.143", "ff15::efc0:988f")
PORT = 6771
HOPS = 1  # the groups reach further, but neighbours are who is meant

SIZE_MAX = 1400  # bytes of a datagram, as BEP 14 asks
HASHES_MAX = 25  # in a datagram of ours: 25 lines of 52 bytes are 1,300
HEARD_MAX = 64  # info-hashes that are read of a datagram
LINE = b"BT-SEARCH * HTTP/1.1"
HASH_SIZE = 20
COOKIE_MAX = 64  # characters; usual ones have 8
LIFETIME = 600.0  # seconds: two announcements, so that one may be lost
# BEP 14: every five minutes, and never more than once a minute.  A newcomer is answered, so
# that it need not wait for them; three answers are enough, for they know the others.
MANNERS = Manners(first=(0.0, 0.5), again=60.0, every=300.0, spacing=60.0, enough=3)

Event = Found | Gone


def encode(group: str, port: int, hashes: list[bytes], cookie: str) -> bytes:
    host = f"[{group}]:{PORT}" if ":" in group else f"{group}:{PORT}"
    lines = [LINE.decode(), f"Host: {host}", f"Port: {port}"]
    lines += [f"Infohash: {each.hex()}" for each in hashes]
    return "\r\n".join([*lines, f"cookie: {cookie}", "", "", ""]).encode()


def decode(data: bytes | memoryview) -> tuple[int, list[bytes], str]:
    """Port, info-hashes and cookie of an announcement; unknown headers say nothing."""
    data = bytes(data)
    if len(data) > 2 * SIZE_MAX:
        raise ProtocolError("a BT-SEARCH of over 2,800 bytes")
    first, *lines = data.split(b"\r\n")
    if first != LINE:
        raise ProtocolError("no BT-SEARCH")
    port, cookie, hashes = 0, "", []
    for line in lines:
        key, _, value = line.partition(b":")
        name, value = key.strip().lower(), value.strip()
        if name == b"port":
            port = int(value) if value.isdigit() and len(value) <= 5 else 0
        elif name == b"cookie":
            cookie = value[:COOKIE_MAX].decode("latin-1")
        elif name == b"infohash":
            hashes.append(_decode_hash(value))
    if not 0 < port < 65536 or not 0 < len(hashes) <= HEARD_MAX:
        raise ProtocolError("a BT-SEARCH without a port or with too few or too many info-hashes")
    return port, list(dict.fromkeys(hashes)), cookie


def _decode_hash(value: bytes) -> bytes:
    try:
        info_hash = bytes.fromhex(value.decode("ascii"))
    except ValueError:
        raise ProtocolError("an info-hash that is not hexadecimal") from None
    if len(info_hash) != HASH_SIZE or len(value) != 2 * HASH_SIZE:
        raise ProtocolError("an info-hash that has not 20 bytes")
    return info_hash


class Lsd:
    """One node on one group: bytes in, events and `out` out."""

    def __init__(self, rng: "Random", group: str = GROUPS[0], manners: Manners = MANNERS) -> None:
        self.lan = Lan(manners, rng)
        self.group = group
        self.out: list[bytes] = []
        self.malformed = 0
        self._cookie = f"{rng.getrandbits(32):08x}"
        self._ports: dict[bytes, int] = {}  # info-hash -> where we accept peers; 0: we do not

    @property
    def deadline(self) -> float:
        return self.lan.deadline

    def join(self, info_hash: bytes, port: int, now: float) -> None:
        """Take part in a swarm: hear of others and, if we can be dialled, be heard of."""
        self._ports[info_hash] = port
        if port:
            self.lan.offer(info_hash, now)

    def leave(self, info_hash: bytes) -> None:
        """Nothing is said: who dials us then finds that we are gone."""
        self._ports.pop(info_hash, None)
        self.lan.withdraw(info_hash)
        self.lan.leave(info_hash)

    def receive(self, data: bytes, source: str, now: float) -> list[Event]:
        """An announcement from this address: who of it takes part in what we do."""
        if not self.lan.admits(source, now):
            return []
        try:
            port, hashes, cookie = decode(data)
        except ProtocolError:
            self.malformed += 1
            return []
        if cookie == self._cookie:
            return []
        texts = (source, str(port))
        name = ":".join(texts)
        events: list[Event] = []
        for topic in hashes:
            if topic in self._ports:
                found = self.lan.heard(topic, name, texts, source, now, LIFETIME)
                if found is None:
                    self.lan.answered(topic)
                else:
                    events.append(found)
                    self.lan.asked(topic, now)
        return events

    def tick(self, now: float) -> list[Event]:
        says, _, gone = self.lan.tick(now)
        by_port: dict[int, list[bytes]] = {}
        for topic in says:
            if isinstance(topic, bytes):
                by_port.setdefault(self._ports[topic], []).append(topic)
        for port, hashes in by_port.items():
            for start in range(0, len(hashes), HASHES_MAX):
                part = hashes[start : start + HASHES_MAX]
                self.out.append(encode(self.group, port, part, self._cookie))
        return list(gone)
