"""Files that a node finds in its home: what somebody else wrote there is refused in words."""

import random
from zlib import crc32

from tests.dht.mainline_world import Wires, network
from tests.peer.keys import A

from shoal import home
from shoal.discovery.index import Index
from shoal.discovery.tracker_server import Tracker
from shoal.errors import ProtocolError, StorageError

Bytes = bytes | memoryview

_TORRENT = b"abcdefghij0123456789"


def _tracker() -> Tracker:
    tracker = Tracker(Index(), random.Random(1))
    tracker.index.add(_TORRENT, ("1.2.3.4", 5), identity=b"me", complete=True, now=0.0)
    return tracker


def _file(version: int, data: bytes) -> bytes:
    return b"shoal-home 1 peers %d %08x\n%s" % (version, crc32(data), data)


HOME_FILES = (_file(3, A.encode()), _file(1, b""), b"shoal-home 2")
TRACKER_INDICES = (_tracker().save(0.0),)
MAINLINE_TABLES = (next(iter(network(20).cores.values())).dump(),)


def home_file(data: Bytes) -> None:
    line, _, rest = bytes(data).partition(b"\n")
    try:
        home._parse("peers", "peers", 3, line, rest)
    except StorageError as error:
        raise ProtocolError(str(error)) from None


def tracker_index(data: Bytes) -> None:
    try:
        _tracker().load(bytes(data), 0.0)
    except StorageError as error:
        raise ProtocolError(str(error)) from None


def mainline_table(data: Bytes) -> None:
    Wires().add("10.0.0.1").load(bytes(data), 1000.0)
