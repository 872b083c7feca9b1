"""shoal up, shoal ping and shoal id: a node, and who it is."""

import asyncio
import os
import socket
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from random import Random, SystemRandom
from statistics import median

from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.disk import Disk
from shoal.errors import NotFoundError, UnreachableError, UsageError
from shoal.home import IDENTITY_VERSION, Home
from shoal.net.identify import PING
from shoal.net.introduction import ping as measure
from shoal.net.stream import Stream
from shoal.node import Node
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey
from shoal.web.server import Door
from shoal.web.settings import DaemonSettings

JOINING = 2.0  # seconds that the ready line waits for the DHTs; they go on joining after it
PINGS_MAX = 1_000_000
TIMEOUT_MAX = 86_400.0  # seconds: a day


def configure(parser: ArgumentParser) -> None:
    """The arguments of the three, told apart by the program's name."""
    name = parser.prog.split()[-1]
    if name == "up":
        parser.add_argument(
            "--listen", action="append", metavar="ADDRESS", help="accept connections here"
        )
    elif name == "ping":
        parser.add_argument("address", help="of a peer: /ip4/.../tcp/.../p2p/ID")
        parser.add_argument("--count", type=int, default=4, metavar="N", help="pings to send")
        parser.add_argument(
            "--timeout", type=float, default=10.0, metavar="SECONDS", help="for the next answer"
        )


async def run(args: Namespace, output: Output) -> int:
    commands = {"up": up, "ping": ping, "id": show_id}
    return await commands[args.command](args, output)


async def up(args: Namespace, output: Output) -> int:
    """Run a node, with its door, until a signal ends it."""
    async with Node(load(args), keep=True, listen=args.listen) as node, Door(node) as door:
        await start_services(node)
        addresses = [str(address) for address in node.addresses]
        record = {"id": str(node.id), "addresses": addresses, "pid": os.getpid()}
        lines = [f"node {node.id} is up", *(f"  {address}" for address in addresses)]
        output.ready({**record, "socket": door.socket, "url": door.url}, "\n".join(lines))
        notify("READY=1")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            notify("STOPPING=1")
    return 0


async def start_services(node: Node) -> None:
    """Those of the settings; and what was transferred when the node last ended goes on."""
    chosen = node.config.of(DaemonSettings).services
    if "swarm" in chosen:
        await node.swarm.open()
    if "dht" in chosen and node.dht.networks:
        opening = [asyncio.ensure_future(node.dht.open(name)) for name in node.dht.networks]
        done, _ = await asyncio.wait(opening, timeout=JOINING)
        for each in done:
            each.result()  # a busy port is told at once; who has joined later is waited for by none
    assert node.home is not None
    await node.swarm.keep_in(node.home)


def notify(state: str) -> None:
    """Tell systemd, if it started us and wants to know (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        name = "\0" + address[1:] if address.startswith("@") else address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to, suppress(OSError):
            to.sendto(state.encode(), name)


async def ping(args: Namespace, output: Output) -> int:
    if not 1 <= args.count <= PINGS_MAX:
        raise UsageError(f"--count is 1 to {PINGS_MAX}")
    if not 0 < args.timeout <= TIMEOUT_MAX:
        raise UsageError(f"--timeout is over 0 and at most {TIMEOUT_MAX:g} seconds")
    trips: list[float] = []
    async with Node(load(args), listen=[]) as node:
        stream = await reach(node, args)
        sent = await send_pings(stream, node.rng, args, trips)
    if not trips:
        raise NotFoundError(f"no answer within {args.timeout:g} s")
    middle = round(median(trips) * 1e6, 1)
    record = {"sent": sent, "received": len(trips), "median_us": middle}
    output.show(record, f"{len(trips)} of {sent} answered, median {middle:.0f} µs")
    return 0


async def reach(node: Node, args: Namespace) -> Stream:
    try:
        async with asyncio.timeout(args.timeout):
            return await node.open(args.address, PING)
    except TimeoutError:
        late = {args.address: f"no answer within {args.timeout:g} s"}
        raise UnreachableError("the peer could not be reached in time", late) from None


async def send_pings(stream: Stream, rng: Random, args: Namespace, trips: list[float]) -> int:
    """One after another; how many were sent before one was lost."""
    for number in range(args.count):
        try:
            async with asyncio.timeout(args.timeout):
                trips.append(await measure(stream, rng))
        except TimeoutError:
            return number + 1
    return int(args.count)


async def show_id(args: Namespace, output: Output) -> int:
    disk = Disk()
    home = Home(disk, load(args).home)
    try:
        kept = await home.load("identity", IDENTITY_VERSION)  # even while a node runs there
        if kept is None:
            async with home:
                fresh = PrivateKey.generate(SystemRandom())
                secret = await home.identity(fresh.encode)
        else:
            secret = kept.data
    finally:
        await disk.close()
    peer = PeerId.of(PrivateKey.decode(secret).public)
    output.show({"id": str(peer)}, str(peer))
    return 0
