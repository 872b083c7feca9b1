"""What a BitTorrent client and an HTTP tracker say to each other: both sides.

A client announces itself with a GET request whose query holds its info-hash,
peer id, port and counters; the answer is a bencoded dictionary with peers and
the seconds to wait.  A scrape asks for the counters of a swarm alone.

BEP 3 (tracker), 7 (IPv6), 12 (tiers), 23 (compact), 24 (external ip), 48 (scrape).
Real trackers bend these: failures come with status 200, fields are missing,
`interval` may be 0, keys may be text-encoded; reading is generous, writing is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from shoal.codec import bencode
from shoal.discovery.compact import PEERS_MAX, V4_SIZE, V6_SIZE, Address, pack, unpack
from shoal.errors import ProtocolError, RefusedError

HASH_SIZE = 20  # bytes of an info-hash; a v2 hash is truncated to them
PEER_ID_SIZE = 20  # bytes
EVENTS = ("", "completed", "started", "stopped")  # the index is BEP 15's number
WANTED = 200  # peers asked for, as libtorrent does
WANTED_MAX = 200  # peers a tracker of ours names at most
QUERY_MAX = 4096  # bytes of a query string
INTERVAL = 1800  # seconds, where a tracker names none
INTERVAL_MIN = 60  # seconds; some trackers answer 0
INTERVAL_MAX = 24 * 3600  # seconds; a tracker may not silence us for longer


@dataclass(slots=True)
class Announce:
    """One client's word about one swarm; counters in bytes."""

    info_hash: bytes
    peer_id: bytes
    port: int
    uploaded: int = 0
    downloaded: int = 0
    left: int = 0
    event: str = ""
    wanted: int = WANTED
    key: int = 0  # recognises the client when its address changes
    compact: bool = True
    host: str = ""  # where the tracker saw the request come from


@dataclass(slots=True)
class Counters:
    """How many have all of it, are getting it, ever finished it."""

    complete: int = 0
    incomplete: int = 0
    downloaded: int = 0


@dataclass(slots=True)
class Answer:
    """What a tracker says to an announce; `interval` in seconds."""

    peers: list[Address] = field(default_factory=list)
    interval: int = INTERVAL
    counters: Counters = field(default_factory=Counters)
    warning: str = ""
    tracker_id: bytes = b""


def announce_url(base: str, announce: Announce, tracker_id: bytes = b"") -> str:
    """The URL to GET; one info-hash a request."""
    query = (
        f"info_hash={quote_from_bytes(announce.info_hash, safe='')}"
        f"&peer_id={quote_from_bytes(announce.peer_id, safe='')}&port={announce.port}"
        f"&uploaded={announce.uploaded}&downloaded={announce.downloaded}&left={announce.left}"
        f"&key={announce.key:08X}&numwant={announce.wanted}&compact=1&no_peer_id=1"
    )
    if announce.event:
        query += f"&event={announce.event}"
    if tracker_id:
        query += f"&trackerid={quote_from_bytes(tracker_id, safe='')}"
    return f"{base}{'&' if '?' in base else '?'}{query}"


def scrape_url(base: str, info_hash: bytes) -> str | None:
    """The scrape URL of an announce URL, None where the tracker cannot have one."""
    path, mark, query = base.partition("?")
    folder, _, last = path.rpartition("/")
    if not last.startswith("announce"):
        return None
    url = f"{folder}/scrape{last.removeprefix('announce')}{mark}{query}"
    return f"{url}{'&' if mark else '?'}info_hash={quote_from_bytes(info_hash, safe='')}"


def read_query(query: bytes) -> Announce:
    """A tracker's view of an announce: the raw query string of the URL."""
    fields = _fields(query)
    info_hash, peer_id = fields.get("info_hash", b""), fields.get("peer_id", b"")
    if len(info_hash) != HASH_SIZE:
        raise RefusedError("info_hash must be 20 bytes")
    if len(peer_id) != PEER_ID_SIZE:
        raise RefusedError("peer_id must be 20 bytes")
    port = _number(fields, "port", -1)
    event = fields.get("event", b"").decode("ascii", "replace")
    if not 0 < port < 65536:
        raise RefusedError("port must be 1 to 65535")
    return Announce(
        info_hash=info_hash,
        peer_id=peer_id,
        port=port,
        uploaded=_number(fields, "uploaded"),
        downloaded=_number(fields, "downloaded"),
        left=_number(fields, "left"),
        event=event if event in EVENTS else "",
        wanted=min(_number(fields, "numwant", 50), WANTED_MAX),
        key=_key(fields.get("key", b"")),
        compact=fields.get("compact", b"1") != b"0",
    )


def read_scrape_query(query: bytes) -> list[bytes]:
    """The info-hashes that a scrape asks for."""
    pairs = (part.partition(b"=") for part in query[:QUERY_MAX].split(b"&"))
    hashes = [unquote_to_bytes(value) for name, _, value in pairs if name == b"info_hash"]
    if not hashes or any(len(each) != HASH_SIZE for each in hashes):
        raise RefusedError("info_hash must be 20 bytes")
    return hashes


def encode_answer(answer: Answer, *, compact: bool = True) -> bytes:
    message: dict[bytes, Any] = {
        b"complete": answer.counters.complete,
        b"incomplete": answer.counters.incomplete,
        b"interval": answer.interval,
        b"min interval": min(answer.interval, INTERVAL_MIN),
    }
    if compact:
        message[b"peers"] = pack(answer.peers, V4_SIZE)
        message[b"peers6"] = pack(answer.peers, V6_SIZE)
    else:
        message[b"peers"] = [{b"ip": ip.encode(), b"port": port} for ip, port in answer.peers]
    return bencode.encode(message)


def encode_failure(reason: str) -> bytes:
    return bencode.encode({b"failure reason": reason.encode()})


def encode_scrape(counters: Mapping[bytes, Counters]) -> bytes:
    files = {
        info_hash: {
            b"complete": each.complete,
            b"downloaded": each.downloaded,
            b"incomplete": each.incomplete,
        }
        for info_hash, each in counters.items()
    }
    return bencode.encode({b"files": files})


def read_answer(body: bytes) -> Answer:
    """An announce's answer.  RefusedError carries the tracker's own words."""
    message = _dictionary(body)
    peers = _peers(message.get(b"peers", b""))
    if isinstance(peers6 := message.get(b"peers6", b""), bytes):
        peers += unpack(peers6, V6_SIZE)
    interval = _count(message, b"interval", INTERVAL)
    least = _count(message, b"min interval", 0)
    return Answer(
        peers=peers[:PEERS_MAX],
        interval=min(max(interval or INTERVAL_MIN, least), INTERVAL_MAX),
        counters=_counters(message),
        warning=_text(message.get(b"warning message", b"")),
        tracker_id=_bytes(message.get(b"tracker id", b"")),
    )


def read_scrape(body: bytes, info_hash: bytes) -> Counters:
    """The counters of one swarm.  A lone entry counts even under a mangled key."""
    files = _dictionary(body).get(b"files", {})
    if not isinstance(files, dict):
        raise ProtocolError("a scrape without files")
    entry = files.get(info_hash)
    if entry is None and len(files) == 1:
        entry = next(iter(files.values()))
    return _counters(entry) if isinstance(entry, dict) else Counters()


def _dictionary(body: bytes) -> dict[bytes, Any]:
    message = bencode.decode(body, lenient=True)
    if not isinstance(message, dict):
        raise ProtocolError("the tracker's answer is no dictionary")
    if b"failure reason" in message:
        raise RefusedError(_text(message[b"failure reason"]))
    return message


def _counters(message: dict[bytes, Any]) -> Counters:
    names = (b"complete", b"incomplete", b"downloaded")
    return Counters(*(_count(message, name, 0) for name in names))


def _peers(value: object) -> list[Address]:
    if isinstance(value, bytes):
        return unpack(value, V4_SIZE)
    if not isinstance(value, list):
        raise ProtocolError("peers are neither bytes nor a list")
    found = (_peer(entry) for entry in value[:PEERS_MAX])
    return [peer for peer in found if peer]


def _peer(entry: object) -> Address | None:
    """One peer of the long form; names instead of addresses are left out."""
    if not isinstance(entry, dict):
        return None
    port = entry.get(b"port")
    try:
        host = str(ip_address(_text(entry.get(b"ip", b""))))
    except ValueError:
        return None
    return (host, port) if isinstance(port, int) and 0 < port < 65536 else None


def _fields(query: bytes) -> dict[str, bytes]:
    if len(query) > QUERY_MAX:
        raise RefusedError("the query is too long")
    pairs = (part.partition(b"=") for part in query.split(b"&"))
    return {name.decode("latin-1"): unquote_to_bytes(value) for name, _, value in pairs}


def _number(fields: dict[str, bytes], name: str, default: int = 0) -> int:
    text = fields.get(name, b"")
    if not text:
        return default
    if not text.isdigit() or len(text) > 19:
        raise RefusedError(f"{name} must be a number")
    return int(text)


def _key(text: bytes) -> int:
    """`key` is opaque, often hexadecimal: its last eight bytes as a number."""
    try:
        return int(text[-8:], 16)
    except ValueError:
        return int.from_bytes(text[-8:], "big")


def _count(message: dict[bytes, Any], name: bytes, default: int) -> int:
    value = message.get(name, default)
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else default


def _text(value: object) -> str:
    return value.decode("utf-8", "replace")[:500] if isinstance(value, bytes) else ""


def _bytes(value: object) -> bytes:
    return value[:256] if isinstance(value, bytes) else b""
