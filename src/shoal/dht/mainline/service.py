"""Opens BitTorrent's DHT on a UDP socket (and on a second one for IPv6)."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from shoal.dht.guard import Guard
from shoal.dht.kademlia import Parameters
from shoal.dht.krpc import Address
from shoal.dht.mainline.core import Mainline
from shoal.dht.mainline.words import MainlineWords
from shoal.dht.pump import Pump
from shoal.dht.service import SAVED_VERSION, Dht, Saved
from shoal.dht.settings import MainlineSettings
from shoal.errors import ProtocolError, StorageError
from shoal.net.transport.udp import Kind, UdpSocket

if TYPE_CHECKING:
    from random import Random

RESOLVE_MAX = 10.0  # seconds for the name of a router
K = 8  # BEP 5
HOSTS_MAX = 4096  # remembered as allowed or not


async def open_mainline(
    sockets: Iterable[UdpSocket],
    rng: "Random",
    *,
    settings: MainlineSettings | None = None,
    bootstrap: Iterable[str] = (),
    saved: Saved | None = None,
    allows: Callable[[str], bool] = lambda host: True,
) -> Dht:
    """A running DHT; `async with` keeps what it publishes alive.

    `sockets` has one of each family at most. `bootstrap` names nodes as
    HOST:PORT. `allows` says which hosts may be sent to at all.
    """
    settings = settings or MainlineSettings()
    loop = asyncio.get_running_loop()
    known = await resolve([*bootstrap, *settings.routers])
    cores, pumps, dumps = [], [], []
    for socket in sockets:
        family = b"n6" if ":" in socket.address[0] else b"n4"
        core = make_core(rng, loop.time(), family, settings)
        name = f"mainline-{family.decode()}"
        if saved is not None:
            await restore(core, saved, name)
        core.join(loop.time(), [a for a in known if (":" in a[0]) == (family == b"n6")])
        pumps.append(plug(core, socket, allows))
        cores.append(core)
        dumps.append((name, core.dump))
    if len(cores) == 2:
        cores[0].twin(cores[1])
    dht = Dht(pumps, MainlineWords())
    for core in cores:
        core.moved = dht.moved
    if saved is not None:
        dht.keep_in(saved, dumps)
    return dht


def make_core(
    rng: "Random",
    now: float,
    family: bytes,
    settings: MainlineSettings,
    node_id: bytes | None = None,
) -> Mainline:
    parameters = Parameters(
        k=K,
        alpha=settings.alpha,
        paths=settings.paths,
        questionable=settings.questionable,
        server=settings.server,
        resend=True,
    )
    return Mainline(
        rng,
        now,
        node_id=node_id,
        family=family,
        parameters=parameters,
        guard=Guard(now, rate=settings.rate),
        enforce_ids=settings.enforce_ids,
    )


def plug(core: Mainline, socket: UdpSocket, allows: Callable[[str], bool]) -> Pump:
    """Connect a core to its socket."""

    known: dict[str, bool] = {}  # what `allows` said: it takes longer than to send

    def send(data: bytes, address: Address) -> None:
        allowed = known.get(address[0])
        if allowed is None:
            if len(known) >= HOSTS_MAX:
                known.clear()
            allowed = known[address[0]] = allows(address[0])
        if allowed:
            socket.send(data, address)

    pump = Pump(core, send, asyncio.get_running_loop(), socket.address)
    pump.closed = lambda: socket.leave(Kind.KRPC)
    socket.handle(Kind.KRPC, pump.receive)
    return pump


async def restore(core: Mainline, saved: Saved, name: str) -> None:
    """A table that cannot be read is a table lost, no more."""
    with suppress(StorageError, ProtocolError):
        kept = await saved.load(name, SAVED_VERSION)
        if kept is not None:
            core.load(kept.data, asyncio.get_running_loop().time())


async def resolve(names: Iterable[str]) -> list[Address]:
    """The addresses of HOST:PORT texts; names that are unknown just now are left out."""
    loop = asyncio.get_running_loop()
    found: dict[Address, None] = {}
    for name in names:
        host, _, port = name.rpartition(":")
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(RESOLVE_MAX):
                infos = await loop.getaddrinfo(host.strip("[]"), int(port))
            found |= {(str(info[4][0]), int(info[4][1])): None for info in infos}
    return list(found)
