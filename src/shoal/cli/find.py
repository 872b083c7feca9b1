"""shoal dht: find and store by key, on BitTorrent's DHT (or libp2p's: `cli/kad.py`).

    shoal dht peers INFOHASH                 who has a torrent
    shoal dht announce INFOHASH --port N     say that we have it
    shoal dht put TEXT, shoal dht get KEY    small values, immutable or signed
    shoal dht find ID                        the nodes closest to an id
    shoal dht crawl                          walk everywhere, count what is there
    shoal dht serve --port N                 run a node that answers others

All but serve only ask (BEP 43): a node that is gone in a second should not be
remembered by others.  --trace shows each question and what came of it.
"""

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import SystemRandom
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal.cli import kad
from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.config import Config
from shoal.dht.mainline.items import Item, make_immutable, make_mutable
from shoal.dht.mainline.service import open_mainline
from shoal.dht.mainline.words import Announced, Mutation
from shoal.dht.questions import Step
from shoal.dht.service import Dht
from shoal.dht.settings import MainlineSettings
from shoal.errors import NotFoundError, UsageError
from shoal.net.transport.udp import UdpSocket

KEY_SIZE = 20  # bytes
CRAWL_NODES = 200
Trace = Callable[[Step], None] | None


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--network", choices=["mainline", "libp2p"], default="mainline")
    first = "ask this first (libp2p: a multiaddr); repeatable"
    parser.add_argument("--bootstrap", action="append", metavar="HOST:PORT", help=first)
    parser.add_argument("--host", help="local address (all of them; profile local: loopback)")
    parser.add_argument("--bind", type=int, metavar="PORT", help="local port (any free one)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--trace", action="store_true", help="show each question")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("find", help="the nodes closest to an id").add_argument("key", metavar="ID")
    peers = verbs.add_parser("peers", help="who has a torrent")
    peers.add_argument("key", metavar="INFOHASH", help="libp2p: CID or multihash")
    peers.add_argument("--max", type=int, metavar="N", help="stop after so many")
    announce = verbs.add_parser("announce", help="say that we have a torrent")
    announce.add_argument("key", metavar="INFOHASH", help="libp2p: CID or multihash")
    announce.add_argument("--port", type=int, help="where BitTorrent (libp2p: the node) listens")
    get = verbs.add_parser("get", help="what is stored under a key")
    get.add_argument("key", help="libp2p: /ipns/ID or /pk/ID")
    get.add_argument("--salt", default="")
    put = verbs.add_parser("put", help="store up to 1,000 bytes; - reads them from stdin")
    put.add_argument("value", metavar="TEXT")
    put.add_argument("--secret", type=seed, metavar="HEX", help="sign it with this Ed25519 seed")
    put.add_argument("--salt", default="", help="one key can own many values, by salt")
    crawl = verbs.add_parser("crawl", help="walk everywhere and count")
    crawl.add_argument("--nodes", type=int, default=CRAWL_NODES, help="stop after so many")
    serve = verbs.add_parser("serve", help="run a node that answers others")
    serve.add_argument("--port", type=int, default=0, help="0: any free one")


async def run(args: Namespace, output: Output) -> int:
    trace = tracer(output) if args.trace else None
    if args.network == "libp2p":
        args.read_value = lambda: read_value(args)
        return await kad.run(args, output, trace)
    if "key" in args:
        args.key = key(args.key)
    if args.verb == "serve":
        return await serve(args, output)
    async with opened(args, server=False) as dht:
        async with asyncio.timeout(args.timeout):
            await VERBS[args.verb](args, output, dht, trace)
    return 0


@asynccontextmanager
async def opened(args: Namespace, *, server: bool) -> AsyncIterator[Dht]:
    config = load(args)
    host = args.host or ("127.0.0.1" if config.loopback_only else "0.0.0.0")
    if not config.allows(host):
        raise UsageError(f"profile local listens on loopback only, not on {host}")
    settings = replace(config.of(MainlineSettings), server=server)
    port = args.port if args.verb == "serve" else args.bind or settings.port
    if not 0 <= port < 65536:
        raise UsageError("a port is 0 to 65535")
    socket = await UdpSocket.open(host, port)
    try:
        names = [*(args.bootstrap or []), *bootstrap_of(config)]
        async with await open_mainline(
            [socket], SystemRandom(), settings=settings, bootstrap=names, allows=config.allows
        ) as dht:
            yield dht
    finally:
        await socket.aclose()


async def serve(args: Namespace, output: Output) -> int:
    async with opened(args, server=True) as dht:
        node_id = dht.carriers[0].engine.id.hex()
        host, port = dht.address
        record = {"id": node_id, "host": host, "port": port}
        output.ready(record, f"DHT node {node_id} ready: UDP {host}:{port}")
        await asyncio.get_running_loop().create_future()  # until a signal ends us
    return 0


async def find(args: Namespace, output: Output, dht: Dht, trace: Trace) -> None:
    nodes = await dht.closest(args.key, watcher=trace)
    rows = [{"id": node.id.hex(), "address": address_text(node.address)} for node in nodes]
    output.table("nodes", rows, ["id", "address"])


async def peers(args: Namespace, output: Output, dht: Dht, trace: Trace) -> None:
    found = 0
    async for peer in dht.providers(args.key, watcher=trace):
        found += 1
        output.show({"peer": address_text(peer)}, address_text(peer))
        if found == args.max:
            break
    if not found:
        raise NotFoundError(f"nobody in the DHT has announced {args.key.hex()}")


async def announce(args: Namespace, output: Output, dht: Dht, trace: Trace) -> None:
    if not 0 < (args.port or 0) < 65536:
        raise UsageError("--port is 1 to 65535")
    taken = await dht.provide(args.key, Announced(args.port), keep=False, watcher=trace)
    output.show({"nodes": taken}, f"{taken} nodes took it")
    if not taken:
        raise NotFoundError("no node took the announcement")


async def get(args: Namespace, output: Output, dht: Dht, trace: Trace) -> None:
    item = await dht.get(args.key, args.salt.encode(), watcher=trace)
    record = {"value": text_of(item.value), "key": item.key.hex()}
    if item.public_key:
        record |= {"public_key": item.public_key.hex(), "sequence": item.sequence}
    output.show(record, text_of(item.value))


async def put(args: Namespace, output: Output, dht: Dht, trace: Trace) -> None:
    value = read_value(args)
    item = await signed(dht, args, value) if args.secret else make_immutable(value)
    taken = await dht.put(Mutation(item), keep=False, watcher=trace)
    if not taken:
        raise NotFoundError("no node took the value")
    record: dict[str, Any] = {"key": item.key.hex(), "nodes": taken}
    if item.public_key:
        record |= {"public_key": item.public_key.hex(), "sequence": item.sequence}
    output.show(record, item.key.hex())


async def signed(dht: Dht, args: Namespace, value: bytes) -> Item:
    """The next version of what this secret signs under this salt."""
    secret, salt = Ed25519PrivateKey.from_private_bytes(args.secret), args.salt.encode()
    public_key = secret.public_key().public_bytes_raw()
    first = make_mutable(value, public_key, secret.sign, sequence=1, salt=salt)
    try:
        current = await dht.get(first.key, salt)
    except NotFoundError:
        return first
    sequence = current.sequence + 1
    return make_mutable(value, public_key, secret.sign, sequence=sequence, salt=salt)


async def crawl(args: Namespace, output: Output, dht: Dht, trace: Trace) -> None:
    nodes = keys = 0
    async for answer in dht.crawl(args.nodes):
        nodes += 1
        number = answer.extra.get("num", 0)
        keys += number
        record: dict[str, Any] = {
            "id": answer.contact.id.hex(),
            "address": address_text(answer.contact.address),
        }
        output.show(record | {"keys": number}, f"{record['id']}  {record['address']}  {number}")
    output.show({"nodes": nodes, "keys": keys}, f"{nodes} nodes, holding {keys} keys")


VERBS = {
    "find": find, "peers": peers, "announce": announce, "get": get, "put": put, "crawl": crawl,
}  # fmt: skip


def tracer(output: Output) -> Callable[[Step], None]:
    def show(step: Step) -> None:
        record: dict[str, Any] = {
            "trace": step.what,
            "hop": step.hop,
            "address": address_text(step.contact.address),
            "id": step.contact.id.hex(),
            "ms": round(step.seconds * 1000, 1),
            "closer": step.closer,
        }
        text = f"{'  ' * step.hop}{step.what} {record['address']} {record['id'][:12]}"
        if step.what != "asked":
            text += f" after {record['ms']} ms"
        if step.what == "answered":
            text += f", names {step.closer}"
        output.show(record, text)

    return show


def bootstrap_of(config: Config) -> list[str]:
    return [name for name in config.bootstrap if not name.startswith("/")]


def read_value(args: Namespace) -> bytes:
    return sys.stdin.buffer.read() if args.value == "-" else str(args.value).encode()


def address_text(address: Any) -> str:
    """Host and port, or a peer's id."""
    if not isinstance(address, tuple):
        return str(address)
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def text_of(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)


def key(text: str) -> bytes:
    return exactly(text, KEY_SIZE)


def seed(text: str) -> bytes:
    return exactly(text, 32)


def exactly(text: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise UsageError(f"{text} is not {size * 2} hex digits")
    return value
