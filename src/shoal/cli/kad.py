"""shoal dht --network libp2p: the same verbs on the DHT that libp2p and IPFS share.

    shoal dht --network libp2p --bootstrap /ip4/.../tcp/.../p2p/ID find ID
    ... peers CID, announce CID              who has it; say that we do
    ... get /ipns/ID, put TEXT --secret HEX  what a name stands for

Content is named by its CID or its multihash (hex or base 58), values by their
namespace.  A node of its own is opened for each command; all but serve and
announce only ask, so they listen nowhere.
"""

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.codec import multibase, multihash, varint
from shoal.dht.libp2p.values import get_value, put_value
from shoal.dht.questions import Step
from shoal.dht.service import Dht
from shoal.errors import NotFoundError, ProtocolError, UsageError
from shoal.node import Node
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

NAMESPACES = ("ipns", "pk")  # whose keys end in a peer id
Trace = Callable[[Step], None] | None


async def run(args: Namespace, output: Output, trace: Trace) -> int:
    key = parse_key(args.key) if "key" in args else b""
    if args.verb == "serve":
        async with opened(args) as node:
            return await serve(node, output)
    async with opened(args) as node, asyncio.timeout(args.timeout):
        dht = await node.dht.open()
        if args.verb == "find":
            await find(node, dht, key, output, trace)
        elif args.verb == "peers":
            await peers(node, dht, key, args.max, output, trace)
        elif args.verb == "announce":
            taken = await dht.provide(key, None, keep=False, watcher=trace)
            told(output, {"peers": taken}, f"{taken} peers took it")
        elif args.verb == "get":
            value = await get_value(dht, key, watcher=trace)
            output.show({"value": text_of(value), "key": args.key}, text_of(value))
        elif args.verb == "put":
            await put(node, dht, args, output, trace)
        else:
            await crawl(dht, args.nodes, output)
    return 0


@asynccontextmanager
async def opened(args: Namespace) -> AsyncIterator[Node]:
    names = args.bootstrap or []
    for name in names:
        if not name.startswith("/"):
            raise UsageError(f"--bootstrap {name}: libp2p wants /ip4/.../tcp/.../p2p/ID")
        if name.startswith("/dnsaddr"):
            raise UsageError(f"--bootstrap {name}: the TXT records of /dnsaddr are not read")
    flags: list[tuple[str, Any]] = [("dht", ["libp2p"])]
    flags.append(("kad.mode", "server" if args.verb == "serve" else "client"))
    if names:
        flags.append(("bootstrap", names))
    config = load(args, flags)
    listen = []
    if args.verb in ("serve", "announce"):
        host = args.host or ("127.0.0.1" if config.loopback_only else "0.0.0.0")
        port = args.port or args.bind or 0
        listen = [f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"]
    async with Node(config, listen=listen) as node:
        yield node


async def serve(node: Node, output: Output) -> int:
    await node.dht.open()
    addresses = [str(address) for address in node.addresses]
    record = {"id": str(node.id), "addresses": addresses}
    output.ready(record, "\n".join([f"DHT peer {node.id} ready:", *addresses]))
    await asyncio.get_running_loop().create_future()  # until a signal ends us
    return 0


async def find(node: Node, dht: Dht, key: bytes, output: Output, trace: Trace) -> None:
    found = [contact.address for contact in await dht.closest(key, watcher=trace)]
    rows = [{"id": str(peer), "addresses": " ".join(places(node, peer))} for peer in found]
    output.table("peers", rows, ["id", "addresses"])


async def peers(
    node: Node, dht: Dht, key: bytes, most: int | None, output: Output, trace: Trace
) -> None:
    found = 0
    async for peer in dht.providers(key, watcher=trace):
        found += 1
        where = places(node, peer)
        output.show({"peer": str(peer), "addresses": where}, " ".join([str(peer), *where]))
        if found == most:
            break
    if not found:
        raise NotFoundError("nobody in the DHT has announced this")


async def put(node: Node, dht: Dht, args: Namespace, output: Output, trace: Trace) -> None:
    if not args.secret:
        raise UsageError("libp2p's DHT keeps signed values only: --secret HEX, an Ed25519 seed")
    public = Ed25519PrivateKey.from_private_bytes(args.secret).public_key().public_bytes_raw()
    key = PrivateKey("ed25519", args.secret + public)
    text = args.read_value()
    name = await put_value(
        dht, text, key=key, salt=args.salt.encode(), signed=True, keep=False,
        today=node.clock, watcher=trace,
    )  # fmt: skip
    address = f"/ipns/{PeerId(name.removeprefix(b'/ipns/'))}"
    output.show({"key": address}, address)


async def crawl(dht: Dht, nodes: int, output: Output) -> None:
    met = 0
    async for answer in dht.crawl(nodes):
        met += 1
        peer = str(answer.contact.address)
        output.show({"id": peer, "closer": len(answer.closer)}, peer)
    output.show({"peers": met}, f"{met} peers")


def told(output: Output, record: dict[str, int], text: str) -> None:
    output.show(record, text)
    if not any(record.values()):
        raise NotFoundError("no peer took it")


def places(node: Node, peer: Any) -> list[str]:
    now = asyncio.get_running_loop().time()
    return [str(address) for address in node.book.addresses(peer, now)]


def parse_key(text: str) -> bytes:
    """A peer id, the multihash of a CID, a multihash, or a key in a namespace."""
    if text.startswith("/"):
        _, namespace, name = [*text.split("/", 2), "", ""][:3]
        if namespace not in NAMESPACES:
            raise UsageError(f"{text}: values lie under /ipns/ID or /pk/ID")
        return f"/{namespace}/".encode() + peer_of(name).bytes
    for read in (multihash_of_hex, multihash_of_cid, lambda text: peer_of(text).bytes):
        try:
            return read(text)
        except (ProtocolError, ValueError, UsageError):
            continue
    raise UsageError(f"{text} is no peer id, no CID and no multihash")


def peer_of(text: str) -> PeerId:
    try:
        return PeerId.parse(text)
    except ProtocolError as error:
        raise UsageError(f"{text} is no peer id") from error


def multihash_of_hex(text: str) -> bytes:
    data = bytes.fromhex(text)
    multihash.decode(data)
    return data


def multihash_of_cid(text: str) -> bytes:
    """Of a CID of version 1; one of version 0 is its multihash in base 58, as a peer id is."""
    data = multibase.decode(text)
    version, at = varint.decode(data)
    _, at = varint.decode(data, at)
    multihash.decode(data[at:])
    if version != 1:
        raise ProtocolError("CID of an unknown version")
    return data[at:]


def text_of(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
