"""Those who break the rules, for the tests of the host."""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from tests.net.hosts import make_offer

from shoal.net.host import Host
from shoal.net.mux.frames import HEADER
from shoal.net.secure.noise import Noise
from shoal.net.secure.payload import StaticKey
from shoal.net.transport.tcp import Tcp
from shoal.peer.key import PrivateKey

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, RST = 1, 8


def frame(kind: int, flags: int, number: int, length: int, version: int = 0) -> bytes:
    return HEADER.pack(version, kind, flags, number, length)


class Rude:
    """A muxer that says what it likes and listens to nobody."""

    deadline = None
    unread = 0

    def __init__(self, says: bytes, initiator: bool, now: float) -> None:
        self.out: list[bytes] = [says]
        self.accept: Any = None

    def receive(self, view: memoryview, now: float) -> int:
        return len(view)

    def open_stream(self, sink: Any) -> object:
        return object()

    def send(self, channel: object, data: bytes) -> int:
        return len(data)

    def consumed(self, channel: object, count: int) -> None: ...

    def end(self, channel: object, how: str) -> None: ...

    def tick(self, now: float) -> None: ...

    def go_away(self) -> None: ...

    def closed(self, error: Exception | None) -> None: ...


def rude_host(says: bytes, seed: int = 66) -> Host:
    return Host(make_offer(seed, muxers={"/yamux/1.0.0": partial(Rude, says)}), [Tcp()])


def forging_host(seed: int = 67) -> Host:
    """Signs its static key with another identity than it claims."""
    rng = Random(seed)
    key, other = PrivateKey.generate(rng), PrivateKey.generate(rng)
    static = StaticKey(key, rng)
    static._signature = StaticKey(other, rng)._signature
    return Host(
        make_offer(seed, key=key, securities={"/noise": partial(Noise, static=static)}), [Tcp()]
    )


class Raw(asyncio.Protocol):
    """A connection without any protocol; remembers whether it was closed."""

    def __init__(self, says: bytes = b"") -> None:
        self.says = says
        self.closed = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.says)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True


async def connect(ip: str, port: int, make: Callable[[], Raw]) -> Raw:
    _, protocol = await asyncio.get_running_loop().create_connection(make, ip, port)
    return protocol
