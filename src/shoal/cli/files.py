"""shoal share, shoal get and shoal torrent: files given to and fetched from many peers.

shoal share PATH...            serve files and folders; prints a magnet link for each
shoal get LINK|FILE.torrent    fetch a content; goes on where it stopped
shoal torrent show|make|check  look at a torrent, make one, check files against one
"""

import asyncio
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom
from typing import Any

from shoal.cli.output import Bar, Output
from shoal.cli.settings import load
from shoal.config import Config
from shoal.dht.mainline.service import open_mainline
from shoal.dht.mainline.words import Announced
from shoal.disk import Disk
from shoal.errors import NotFoundError, ShoalError, UnreachableError, UsageError
from shoal.net.transport.udp import UdpSocket
from shoal.net.web import Web
from shoal.quantity import format_rate, format_size, parse_rate, parse_size
from shoal.swarm.magnet import Magnet, host_and_port
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.service import Swarm
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.sources import DhtSource, TrackerSource, fetch_by
from shoal.swarm.storage import Storage
from shoal.swarm.torrent import METAINFO_MAX, Torrent
from shoal.swarm.transfer import Source, Transfer

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
SHOW_EVERY = 0.5  # seconds between two lines of progress


def configure(parser: ArgumentParser) -> None:
    """The arguments of the three, told apart by the program's name."""
    name = parser.prog.split()[-1]
    {"share": configure_share, "get": configure_get, "torrent": configure_torrent}[name](parser)


def configure_share(parser: ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder")
    parser.add_argument("--up", type=rate, metavar="RATE", help="upload limit, such as 1M")
    parser.add_argument("--torrent", metavar="OUT.torrent", help="write the torrent of one PATH")
    add_recipe(parser)
    add_network(parser)


def configure_get(parser: ArgumentParser) -> None:
    parser.add_argument("link", metavar="LINK|FILE", help="a magnet link, a hash or a .torrent")
    parser.add_argument("-o", "--output", default=".", metavar="DIR", help="the folder for it")
    parser.add_argument(
        "--select", action="append", default=[], metavar="GLOB", help="only files like this"
    )
    parser.add_argument("--sequential", action="store_true", help="from the beginning to the end")
    parser.add_argument("--down", type=rate, metavar="RATE", help="download limit, such as 5M")
    parser.add_argument("--up", type=rate, metavar="RATE", help="upload limit, such as 1M")
    parser.add_argument("--seed", action="store_true", help="serve it on when complete")
    parser.add_argument("--recheck", action="store_true", help="hash everything that is there")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="give up when nothing came for so long"
    )
    add_network(parser)


def configure_torrent(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="what a torrent says")
    show.add_argument("file", metavar="FILE.torrent")
    make = verbs.add_parser("make", help="make a torrent of a file or folder")
    make.add_argument("path", metavar="PATH")
    make.add_argument("-o", "--output", metavar="OUT.torrent", help="PATH.torrent by default")
    make.add_argument("--comment", default="", help="a word to the reader")
    make.add_argument("--private", action="store_true", help="tell its trackers alone (BEP 27)")
    add_recipe(make)
    check = verbs.add_parser("check", help="compare files with a torrent")
    check.add_argument("file", metavar="FILE.torrent")
    check.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where they lie")


def add_recipe(parser: ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("v1", "v2", "hybrid"):
        kinds.add_argument(f"--{kind}", dest="version", action="store_const", const=kind)
    parser.set_defaults(version="hybrid")
    parser.add_argument("--piece-length", type=size, metavar="SIZE", help="such as 256KiB")
    parser.add_argument(
        "--tracker", action="append", default=[], metavar="URL", help="announce it there"
    )


def add_network(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, metavar="N", help="for peers (any free one)")
    parser.add_argument("--host", help="local address (all of them; profile local: loopback)")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="HOST:PORT", help="a peer that has it"
    )
    parser.add_argument(
        "--bootstrap", action="append", metavar="HOST:PORT", help="a node of the DHT"
    )
    parser.add_argument("--no-dht", action="store_true", help="do not use the DHT")


def rate(text: str) -> int:
    return parse_rate(text)


def size(text: str) -> int:
    return parse_size(text)


async def run(args: Namespace, output: Output) -> int:
    commands = {"share": share, "get": get, "torrent": torrent}
    return await commands[args.command](args, output)


# The network


@asynccontextmanager
async def open_swarm(args: Namespace, disk: Disk) -> AsyncIterator[Swarm]:
    """A swarm that listens and asks trackers and the DHT."""
    config = load(args, [("bootstrap", args.bootstrap)])
    rng = SystemRandom()
    host = args.host or (LOOPBACK if config.loopback_only else EVERYWHERE)
    if not config.allows(host):
        raise UsageError(f"profile local listens on loopback only, not on {host}")
    web = Web()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(web.aclose)

        def ask_trackers(transfer: Transfer) -> Source | None:
            if not transfer.trackers:
                return None
            return TrackerSource(transfer, rng=rng, fetch=fetch_by(web), allows=config.allows)

        swarm = Swarm(
            disk, rng, settings=config.of(SwarmSettings), makers=[ask_trackers],
            allows=config.allows,
        )  # fmt: skip
        await stack.enter_async_context(swarm)
        await swarm.listen(host, args.port)
        if not args.no_dht:
            await join_dht(stack, swarm, config, host)
        yield swarm


async def join_dht(stack: AsyncExitStack, swarm: Swarm, config: Config, host: str) -> None:
    """Ask the mainline DHT, too, unless there is nobody to ask."""
    if config.loopback_only and not config.bootstrap:
        return
    socket = await UdpSocket.open(host, swarm.port)
    stack.push_async_callback(socket.aclose)
    dht = await open_mainline(
        [socket], SystemRandom(), bootstrap=config.bootstrap, allows=config.allows
    )
    await stack.enter_async_context(dht)
    swarm.makers.append(lambda transfer: DhtSource(transfer, dht, Announced))


def peers_of(args: Namespace) -> list[tuple[str, int]]:
    found = []
    for text in args.peer:
        address = host_and_port(text)
        if address is None:
            raise UsageError(f"--peer {text}: allowed is HOST:PORT")
        found.append(address)
    return found


# share


async def share(args: Namespace, output: Output) -> int:
    if args.torrent and len(args.paths) > 1:
        raise UsageError("--torrent writes the torrent of one path: share the others apart")
    disk = Disk()
    try:
        async with open_swarm(args, disk) as swarm:
            shared = [await share_one(swarm, path, args, output) for path in args.paths]
            if args.torrent and shared[0].torrent is not None:
                await disk.replace(args.torrent, shared[0].torrent.encode())
            for transfer in shared:
                transfer.found(peers_of(args))
            show_shared(swarm, shared, output)
            await asyncio.get_running_loop().create_future()
    finally:
        await disk.close()
    return 0


async def share_one(swarm: Swarm, path: str, args: Namespace, output: Output) -> Transfer:
    with output.bar(f"hashing {os.path.basename(path)}") as bar:
        return await swarm.share(path, recipe_of(args), shown_on(bar), up=args.up)


def show_shared(swarm: Swarm, shared: Sequence[Transfer], output: Output) -> None:
    rows = []
    for transfer in shared:
        found = transfer.torrent
        assert found is not None
        rows.append({"name": found.name, "magnet": str(found.magnet()), **hashes_of(found)})
    record = {"port": swarm.port, "shared": rows, "magnet": rows[0]["magnet"]}
    lines = [f"sharing on port {swarm.port} until interrupted"]
    output.ready(record, "\n".join([*lines, *(str(row["magnet"]) for row in rows)]))


def recipe_of(args: Namespace, **more: Any) -> Recipe:
    return Recipe(
        args.version, args.piece_length, trackers=tuple((each,) for each in args.tracker), **more
    )


def shown_on(bar: Bar) -> Any:
    return lambda done, total: bar.update(done, format_size(done), total)


# get


async def get(args: Namespace, output: Output) -> int:
    disk = Disk()
    try:
        what = await read_link(disk, args.link)
        wish = Wish(
            select=args.select, sequential=args.sequential, down=args.down, up=args.up,
            seed=args.seed, recheck=args.recheck,
        )  # fmt: skip
        async with open_swarm(args, disk) as swarm:
            transfer = await swarm.download(what, args.output, wish, peers=peers_of(args))
            await watch(transfer, args.timeout, output)
            if args.seed:
                output.note("complete; seeding until interrupted")
                await asyncio.get_running_loop().create_future()
    finally:
        await disk.close()
    return 0


async def read_link(disk: Disk, text: str) -> Torrent | Magnet:
    """A file of that name (`-` is stdin), or else a link."""
    file = text == "-" or text.endswith(".torrent")
    if not text.lower().startswith("magnet:") and (file or await disk.stat(text)):
        return await read_torrent(disk, text)
    try:
        return Magnet.parse(text)
    except ShoalError as error:
        raise UsageError(f"{text[:80]} is no file and no link: {error}") from None


async def watch(transfer: Transfer, patience: float | None, output: Output) -> None:
    """Show how it goes until it is complete."""
    began = moved = time.monotonic()
    last = -1
    with output.bar("metadata") as bar:
        async for report in transfer.watch(SHOW_EVERY):
            now = time.monotonic()
            if report.received + report.done + report.pieces_total != last:
                last, moved = report.received + report.done + report.pieces_total, now
            elif patience is not None and now - moved > patience:
                raise given_up(report, patience)
            bar.update(report.done, says(report), report.total or None)
            output.show({"event": "progress", **record_of(report)})
    seconds = time.monotonic() - began
    done = {**record_of(report), "event": "complete", "seconds": round(seconds, 3)}
    done["folder"] = transfer.folder
    found = transfer.torrent
    if found is not None:
        done.update(hashes_of(found))
    text = f"{report.name}: {format_size(report.total)} in {seconds:.1f} s, in {transfer.folder}"
    output.show(done, text)


def given_up(report: Progress, seconds: float) -> ShoalError:
    kind = UnreachableError if not report.peers and "tried" in report.waiting else NotFoundError
    return kind(f"nothing came for {seconds:g} s: {report.waiting or 'no progress'}")


def says(report: Progress) -> str:
    """The words beside the bar."""
    if report.waiting:
        return report.waiting
    pieces = f"{report.pieces}/{report.pieces_total} pieces"
    rates = f"{format_rate(report.down)} down, {format_rate(report.up)} up"
    return f"{rates}, {report.peers} peers, {pieces}"


def record_of(report: Progress) -> dict[str, Any]:
    record = {name: getattr(report, name) for name in Progress.__slots__}
    record["down"], record["up"] = round(report.down), round(report.up)
    return record


def hashes_of(found: Torrent) -> dict[str, str]:
    pairs = {"v1": found.hash_v1, "v2": found.hash_v2}
    return {name: each.hex() for name, each in pairs.items() if each is not None}


# torrent


async def torrent(args: Namespace, output: Output) -> int:
    disk = Disk()
    try:
        return await {"show": show, "make": make, "check": check}[args.verb](args, output, disk)
    finally:
        await disk.close()


async def read_torrent(disk: Disk, path: str) -> Torrent:
    """A torrent file; `-` is stdin."""
    if path == "-":
        return Torrent.decode(await disk.run(sys.stdin.buffer.read, METAINFO_MAX + 1))
    if await disk.stat(path) is None:
        error = NotFoundError(f"there is no file {path}")
        error.advice = "check the path"
        raise error
    return Torrent.decode(await disk.read(path, 0, METAINFO_MAX + 1))


async def show(args: Namespace, output: Output, disk: Disk) -> int:
    found = await read_torrent(disk, args.file)
    files = [
        {"path": file.name, "length": file.length} for file in found.layout.files if not file.pad
    ]
    record = {
        "name": found.name, "version": found.version, **hashes_of(found),
        "length": found.layout.size, "piece_length": found.layout.piece_length,
        "pieces": found.layout.count, "private": found.private, "files": files,
        "trackers": found.trackers, "comment": found.comment, "creator": found.creator,
        "created": found.created, "magnet": str(found.magnet()),
    }  # fmt: skip
    shown = {key: value for key, value in record.items() if key != "files"}
    lines = [f"{key.replace('_', ' ')}: {value}" for key, value in shown.items() if value]
    lines += [f"  {file['length']:>15,}  {file['path']}" for file in files]
    output.show(record, "\n".join(lines))
    return 0


async def make(args: Namespace, output: Output, disk: Disk) -> int:
    path = args.path.rstrip(os.sep)
    recipe = recipe_of(args, private=args.private, comment=args.comment, created=int(time.time()))
    with output.bar(f"hashing {os.path.basename(path)}") as bar:
        found = await make_torrent(disk, path, recipe, shown_on(bar))
    out = args.output or f"{path}.torrent"
    await disk.replace(out, found.encode())
    record = {"torrent": out, "magnet": str(found.magnet()), **hashes_of(found)}
    output.show(record, f"{out}\n{found.magnet()}")
    return 0


async def check(args: Namespace, output: Output, disk: Disk) -> int:
    found = await read_torrent(disk, args.file)
    storage = Storage(disk, found, args.folder)
    count = found.layout.count
    with output.bar("checking") as bar:
        have = await storage.survey(
            range(count), lambda done, total: bar.update(done, f"{done}/{total} pieces", total)
        )
    bad = [
        file.name
        for index, file in enumerate(found.layout.files)
        if not file.pad and any(piece not in have for piece in found.layout.pieces_of(index))
    ]
    record = {"pieces": len(have), "pieces_total": count, "complete": not bad, "incomplete": bad}
    words = [f"{len(have)} of {count} pieces are right"]
    output.show(record, "\n".join([*words, *(f"  incomplete: {name}" for name in bad)]))
    return 0 if not bad else 1
