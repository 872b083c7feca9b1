"""Presence as libp2p has it: multicast DNS, one service name for all peers.

Who seeks asks for the pointers under `_p2p._udp.local`; each peer answers with
one that points at a name of its own, drawn at random, and with that name's TXT
record: `dnsaddr=` and a multiaddr that ends in /p2p/ID, once for each address.
Only those count (the other records are there for those who list services).

What is offered under a number (`shoal send`) is a service, too: the question
names it as a subtype, `_7042._sub._shoal-send._udp.local`, and only those who
offer just that number answer.

libp2p specification discovery/mdns; RFC 6762; RFC 6763, section 7.1 on subtypes.
"""

from math import inf
from typing import TYPE_CHECKING

from shoal.discovery import dns
from shoal.discovery.dns import Message, Record
from shoal.discovery.lan import Found, Gone, Lan, Manners
from shoal.errors import ProtocolError, UsageError
from shoal.peer.multiaddr import Multiaddr

if TYPE_CHECKING:
    from random import Random

GROUPS = ("224.0.0.251", "ff02::fb")
PORT = 5353
HOPS = 255  # RFC 6762, 11: others may refuse less

PEERS = "_p2p._udp.local"
SENDING = "_shoal-send._udp.local"
SERVICES = "_services._dns-sd._udp.local"  # lists the services there are (RFC 6763, 9)
TTL = 120  # seconds for which an answer holds, as other libp2p nodes have it
KEY = b"dnsaddr"
NAME_SIZE = 32  # letters of a name drawn at random; the specification asks for 32 to 63
ADDRESSES_MAX = 16  # of one offer
ADDRESS_MAX = dns.TEXT_MAX - len(KEY) - 1  # bytes
SIZE_MAX = 1400  # bytes of our datagrams: one packet on every network
NUMBER_MAX = 999_999_999
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# RFC 6762: 20 to 120 ms before one speaks (6), a second between two announcements (8.3, 6)
MANNERS = Manners(first=(0.02, 0.12), again=1.0, every=inf, spacing=1.0)

Event = Found | Gone


def topic_of(number: int) -> str:
    """The name under which one asks for what is offered under a number."""
    if not 0 <= number <= NUMBER_MAX:
        raise UsageError(f"the number of an offer is 0 to {NUMBER_MAX:,}")
    return f"_{number}._sub.{SENDING}"


class Mdns:
    """One node on one local network: bytes in, events and `out` out."""

    def __init__(self, rng: "Random", *, manners: Manners = MANNERS) -> None:
        self.lan = Lan(manners, rng)
        self.out: list[bytes] = []
        self.malformed = 0  # datagrams that are no DNS: anybody can send some
        self._rng = rng
        self._offers: dict[str, tuple[str, tuple[str, ...]]] = {}  # topic -> our name, addresses

    @property
    def deadline(self) -> float:
        return self.lan.deadline

    @property
    def offered(self) -> list[str]:
        """The topics under which we are present."""
        return list(self._offers)

    # What we want

    def offer(self, topic: str, addresses: list[str], now: float) -> None:
        """Say that we are there, and where; another call says it anew, if it differs."""
        fit = [one for one in addresses if len(one.encode()) <= ADDRESS_MAX]
        name, before = self._offers.get(topic, ("", None))
        label = name or f"{self._draw_label()}.{_service_of(topic)}"
        said = tuple(fit[:ADDRESSES_MAX])
        if said != before:
            self.lan.offer(topic, now)
            self._offers[topic] = label, said
            if topic == PEERS:
                self.lan.offer(SERVICES, now, aloud=False)

    def withdraw(self, topic: str) -> None:
        """Say goodbye, if anybody can know of us."""
        name, _ = self._offers.pop(topic, ("", ()))
        if topic == PEERS:
            self.lan.withdraw(SERVICES)
        if self.lan.withdraw(topic):
            self.out.append(dns.encode_response([Record(topic, dns.PTR, 0, name)], []))

    def seek(self, topic: str, now: float) -> None:
        self.lan.seek(topic, now)

    def leave(self, topic: str) -> None:
        self.lan.leave(topic)

    # What others say

    def receive(self, data: bytes, source: str, now: float) -> list[Event]:
        """A datagram from this address; it costs nobody anything if it makes no sense."""
        if not self.lan.admits(source, now):
            return []
        try:
            message = dns.decode(data)
        except ProtocolError:
            self.malformed += 1
            return []
        if message.response:
            return self._read_response(message, source, now)
        self._read_query(message, now)
        return []

    def _read_query(self, message: Message, now: float) -> None:
        known: dict[str, list[str]] = {}
        for record in message.records:
            if record.kind == dns.PTR:
                known.setdefault(record.name, []).append(record.target)
        for name in dict.fromkeys(name for name, _ in message.questions):
            silent = known.get(name, ())  # will not answer: do we need no word of theirs either?
            if self.lan.seeks(name):
                ours = {*self.lan.fresh(name, now), self._name(name)}
                if ours.issuperset(silent):
                    self.lan.overheard(name, now)
            for topic in (name, *(t for t in self._offers if self._name(t) == name)):
                if self._name(topic) not in known.get(topic, ()):
                    self.lan.asked(topic, now)

    def _read_response(self, message: Message, source: str, now: float) -> list[Event]:
        texts: dict[str, tuple[bytes, ...]] = {}  # js-libp2p has a record for each address
        for one in message.records:
            if one.kind == dns.TXT:
                texts[one.name] = texts.get(one.name, ()) + one.texts
        events: list[Event | None] = []
        said: dict[str, tuple[str, ...]] = {}  # texts are read once, however many point at them
        for pointer in message.records:
            topic, name = pointer.name, pointer.target
            if pointer.kind != dns.PTR or not self.lan.seeks(topic) or name == self._name(topic):
                continue
            if pointer.ttl == 0:
                events.append(self.lan.goodbye(topic, name))
            elif name in texts:
                if name not in said:
                    said[name] = _addresses_of(texts[name])
                events.append(self.lan.heard(topic, name, said[name], source, now, pointer.ttl))
        return [event for event in events if event is not None]

    def _name(self, topic: str) -> str:
        return self._offers[topic][0] if topic in self._offers else ""

    # Time

    def tick(self, now: float) -> list[Event]:
        says, asks, gone = self.lan.tick(now)
        for topic in says:
            self.out.append(self._announcement(str(topic)))
        self.out += [self._question(str(topic), now) for topic in asks]
        return list(gone)

    def _question(self, topic: str, now: float) -> bytes:
        """With as many known answers as a packet holds: who is left out answers once more."""
        known = self.lan.fresh(topic, now)
        while len(data := dns.encode_query(topic, known, TTL // 2)) > SIZE_MAX:
            known = known[: len(known) * SIZE_MAX // len(data)]
        return data

    def _announcement(self, topic: str) -> bytes:
        if topic == SERVICES:
            return dns.encode_response([Record(SERVICES, dns.PTR, TTL, PEERS)], [])
        name, addresses = self._offers[topic]
        answers, more = [Record(topic, dns.PTR, TTL, name)], []
        for count in range(len(addresses), -1, -1):
            more = about(name, addresses[:count])
            data = dns.encode_response(answers, more)
            if len(data) <= SIZE_MAX:
                break
        return dns.encode_response(answers, more)

    def _draw_label(self) -> str:
        return "".join(self._rng.choice(LETTERS) for _ in range(NAME_SIZE))


def _service_of(topic: str) -> str:
    """A subtype's instances are named under the service itself."""
    return topic.partition("._sub.")[2] or topic


def about(name: str, addresses: tuple[str, ...]) -> list[Record]:
    """TXT says it all; SRV, A and AAAA are for programs that list any service."""
    texts = tuple(KEY + b"=" + address.encode() for address in addresses)
    records = [Record(name, dns.TXT, TTL, texts=texts)]
    host = f"{name.partition('.')[0]}.local"
    places: dict[str, int] = {}
    for address in addresses:
        try:
            place = Multiaddr.parse(address)
        except ProtocolError:
            continue
        if place.ip is not None and place.port:
            places.setdefault(str(place.ip), place.port)
    if places:
        records.append(Record(name, dns.SRV, TTL, host, next(iter(places.values()))))
    kinds = ((ip, dns.AAAA if ":" in ip else dns.A) for ip in places)
    return records + [Record(host, kind, TTL, ip) for ip, kind in kinds]


def _addresses_of(texts: tuple[bytes, ...]) -> tuple[str, ...]:
    """Some number their texts (dnsaddr2=), for a key may stand only once elsewhere."""
    found = []
    for text in texts:
        key, _, value = text.partition(b"=")
        if (
            key.lower().rstrip(b"0123456789") == KEY
            and value.isascii()
            and value.decode().isprintable()
        ):
            found.append(value.decode())
    return tuple(dict.fromkeys(found))[:ADDRESSES_MAX]
