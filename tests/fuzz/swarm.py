"""What BitTorrent's peers and the makers of torrents can hand us."""

import struct

from tests.swarm.pairs import Node, torrent_of

from shoal.codec import bencode
from shoal.swarm.bittorrent import PeerWire
from shoal.swarm.magnet import Magnet
from shoal.swarm.merkle import HashRequest
from shoal.swarm.messages import (
    BITFIELD,
    EXTENDED,
    HASH_REQUEST,
    HAVE,
    HAVE_ALL,
    INTERESTED,
    PIECE,
    REQUEST,
    UNCHOKE,
    UT_METADATA,
    Hello,
    encode_handshake,
    encode_message,
    encode_range,
)
from shoal.swarm.pieces import Bitfield
from shoal.swarm.resume import Resume
from shoal.swarm.torrent import Torrent

Bytes = bytes | memoryview

_SMALL = {version: torrent_of(40_000, version, 16384) for version in ("v1", "v2", "hybrid")}
_HYBRID = _SMALL["hybrid"]
_FOLDER = {
    b"name": b"folder",
    b"piece length": 16384,
    b"pieces": bytes(40),
    b"files": [
        {b"length": 16000, b"path": [b"a", b"..", b"b"]},
        {b"length": 384, b"path": [b".pad", b"384"], b"attr": b"p"},
        {b"length": 5, b"path": [b"a", b"B"], b"path.utf-8": [b"a", b"b"]},
    ],
}
_HAVE = Bitfield(_HYBRID.layout.count)
_HAVE.add(1)

TORRENTS = (
    *(torrent.encode() for torrent in _SMALL.values()),
    bencode.encode(
        {
            b"info": _FOLDER,
            b"announce-list": [[b"http://a/"], [b"udp://b:1"]],
            b"url-list": b"http://c/",
            b"nodes": [[b"router", 6881]],
            b"creation date": 1,
        }
    ),
)
INFOS = (*(torrent.info for torrent in _SMALL.values()), bencode.encode(_FOLDER))
MAGNETS = (
    str(_HYBRID.magnet((("1.2.3.4", 5), ("::1", 6)))).encode()
    + b"&so=0,2,4-7&tr.1=http%3A//x&dn=a",
    (_HYBRID.hash_v1 or b"").hex().encode(),
    b"magnet:?xt=urn:btih:" + b"a2" * 16,
)
HELLOS = (Hello({b"ut_metadata": 3}, 250, 1000, 6881, "client", True).encode(),)
RESUMES = (Resume(_HAVE, [(40_000, 1)], [True]).encode(),)

_SHAKEN = encode_handshake(_HYBRID.hashes[0], b"-YY0000-abcdefghijkl", v2=True)
_NUMBERS = struct.Struct(">III").pack
_RANGE = HashRequest(_HYBRID.layout.files[0].root or b"", 0, 0, 4, 0)
HANDSHAKES = (_SHAKEN, _SHAKEN + encode_message(HAVE_ALL))
WIRES = (
    encode_message(BITFIELD, _HAVE.encode())
    + encode_message(UNCHOKE)
    + encode_message(INTERESTED)
    + encode_message(HAVE, (0).to_bytes(4))
    + encode_message(REQUEST, _NUMBERS(0, 0, 16384)),
    encode_message(HAVE_ALL)
    + encode_message(UNCHOKE)
    + encode_message(PIECE, _NUMBERS(1, 0, 0)[:8], b"data")
    + encode_message(HASH_REQUEST, encode_range(_RANGE)),
    encode_message(EXTENDED, b"\0", HELLOS[0])
    + encode_message(EXTENDED, bytes([UT_METADATA]), b"d8:msg_typei0e5:piecei0ee"),
)
METADATA = (
    encode_message(EXTENDED, b"\0", Hello({b"ut_metadata": 3}, None, 100).encode())
    + encode_message(
        EXTENDED, bytes([UT_METADATA]), b"d8:msg_typei1e5:piecei0e10:total_sizei100ee" + bytes(100)
    )
    + encode_message(HAVE_ALL),
    encode_message(EXTENDED, b"\0", Hello({b"ut_metadata": 3}, None, len(_HYBRID.info)).encode())
    + encode_message(EXTENDED, bytes([UT_METADATA]), b"d8:msg_typei1e5:piecei0ee" + _HYBRID.info),
)


def torrent(data: Bytes) -> None:
    """Whatever is accepted can be written again and reads back."""
    found = Torrent.decode(data)
    assert Torrent.decode(found.encode()).hashes == found.hashes


def info(data: Bytes) -> None:
    Torrent.from_info(bytes(data))


def magnet(text: str) -> None:
    """Whatever is accepted can be written again and reads back."""
    found = Magnet.parse(text)
    again = Magnet.parse(str(found))
    assert (again.hash_v1, again.hash_v2) == (found.hash_v1, found.hash_v2)


def hello(data: Bytes) -> None:
    Hello.decode(memoryview(data))


def resume(data: Bytes) -> None:
    Resume.decode(bytes(data), _HYBRID.layout)


def handshake(data: Bytes) -> None:
    _accepting(True).receive(memoryview(data), 1.0)


def wire(data: Bytes) -> None:
    """A peer with whom hands are shaken: we have the content or are getting it, by turns."""
    end = _accepting(len(data) % 2 == 1)
    end.receive(memoryview(_SHAKEN), 1.0)
    end.receive(memoryview(data), 1.0)
    end.tick(200.0)


def metadata(data: Bytes) -> None:
    """We have a magnet link alone."""
    end = _accepting(False, knows=False)
    end.receive(memoryview(_SHAKEN), 1.0)
    end.receive(memoryview(data), 1.0)


def _accepting(has: bool, *, knows: bool = True) -> PeerWire:
    session = Node(_HYBRID, has, knows=knows).session
    return PeerWire(lambda each: session if each in session.hashes else None, "127.0.0.1")
