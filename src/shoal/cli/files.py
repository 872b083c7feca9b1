"""shoal share and shoal get: files given to and fetched from many peers.

shoal share PATH...            serve files and folders; prints a magnet link for each
shoal get LINK|FILE.torrent    fetch a content; goes on where it stopped

Both are verbs: the daemon of this home runs them if there is one, and goes on
when the command ends; else a node that lives as long as the command.
"""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from base64 import b64decode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

from msgspec import json, to_builtins

from shoal.apps.code import is_code
from shoal.apps.links import recognise
from shoal.cli.ask import ask_link
from shoal.cli.daemon import found, stop_on_term
from shoal.cli.loop import drive
from shoal.cli.output import Bar, Output
from shoal.cli.settings import load
from shoal.cli.torrent import add_recipe, download_torrent, read_torrent
from shoal.config import Config
from shoal.disk import Disk
from shoal.errors import ClosedError, UsageError
from shoal.node import Node
from shoal.quantity import format_rate, format_size, parse_rate
from shoal.web.client import Daemon
from shoal.web.verbs import VERBS
from shoal.web.verbs_swarm import Get, Share, addresses

T = TypeVar("T")
Event = dict[str, Any]  # as --json prints it


def configure(parser: ArgumentParser) -> None:
    """The arguments of both, told apart by the program's name."""
    name = parser.prog.split()[-1]
    {"share": configure_share, "get": configure_get}[name](parser)


def configure_share(parser: ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder")
    parser.add_argument("--up", type=rate, metavar="RATE", help="upload limit, such as 1M")
    parser.add_argument("--torrent", metavar="OUT.torrent", help="write the torrent of one PATH")
    add_recipe(parser)
    add_network(parser)


def configure_get(parser: ArgumentParser) -> None:
    parser.add_argument(
        "link", nargs="?", metavar="LINK|FILE|CODE", help="a magnet link, hash, .torrent or code"
    )
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
    parser.add_argument("-y", "--yes", action="store_true", help="of a code: do not ask first")
    add_network(parser)
    parser.add_argument("--no-lan", action="store_true", help="of a code: do not use multicast")


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


def run(args: Namespace, output: Output) -> Any:
    if args.command == "get":
        args.link = args.link or drive(ask_link(output))
        with suppress(UsageError):  # the name of a file, perhaps
            kind = recognise(args.link).kind
            output.note(f"recognised: {kind}")
            output.show({"event": "recognised", "kind": kind})
        if is_code(args.link):
            return import_module("shoal.cli.send").receive(args, args.link, output)
    addresses(args.peer)  # a mistake is told before anything starts
    if args.command == "share" and args.torrent and len(args.paths) > 1:
        raise UsageError("--torrent writes the torrent of one path: share the others apart")
    chooses = args.port is not None or args.host or args.bootstrap or args.no_dht
    daemon = None if chooses else found(args)
    if daemon is None:
        return {"share": share, "get": get}[args.command](args, output)
    return {"share": hand_share, "get": hand_get}[args.command](args, output, daemon)


def asked(daemon: Daemon, verb: str, given: Any) -> Iterator[Event]:
    stop_on_term()
    return daemon.run(verb, json.encode(given))


async def with_disk(work: Callable[[Disk], Coroutine[Any, Any, T]]) -> T:
    disk = Disk()
    try:
        return await work(disk)
    finally:
        await disk.close()


def settings_of(args: Namespace) -> Config:
    """The network that the flags choose."""
    return load(
        args,
        [
            ("bootstrap", args.bootstrap),
            ("swarm.port", args.port),
            ("swarm.host", args.host),
            ("dht", [] if args.no_dht else None),
        ],
    )


# share


async def share(args: Namespace, output: Output) -> int:
    async with Node(settings_of(args), listen=[]) as node:
        shared = []
        for path in args.paths:
            with output.bar(f"hashing {os.path.basename(path)}") as bar:
                async for event in VERBS["share"].run(node, share_of(args, path)):
                    shared += took_share(to_builtins(event), bar)
        await write_torrent(args, shared, node.disk)
        show_shared(shared, output, "until interrupted")
        await asyncio.get_running_loop().create_future()
    return 0


def hand_share(args: Namespace, output: Output, daemon: Daemon) -> int:
    shared = []
    for path in args.paths:
        with output.bar(f"hashing {os.path.basename(path)}") as bar:
            for event in asked(daemon, "share", share_of(args, path)):
                shared += took_share(event, bar)
    drive(with_disk(partial(write_torrent, args, shared)))
    show_shared(shared, output, f"by the node of this home, process {daemon.pid}")
    return 0


def share_of(args: Namespace, path: str) -> Share:
    return Share(
        path=os.path.abspath(path), version=args.version, piece_length=args.piece_length,
        trackers=args.tracker, up=args.up, peers=args.peer,
    )  # fmt: skip


def took_share(event: Event, bar: Bar) -> list[Event]:
    """What is shared now, if this event says so."""
    if event["event"] == "hashing":
        bar.update(event["done"], format_size(event["done"]), event["total"])
        return []
    return [event]


async def write_torrent(args: Namespace, shared: list[Event], disk: Disk) -> None:
    if args.torrent:
        await disk.replace(args.torrent, b64decode(shared[0]["metainfo"]))


def show_shared(shared: list[Event], output: Output, how: str) -> None:
    rows = [
        {key: row[key] for key in ("name", "magnet", "v1", "v2") if key in row} for row in shared
    ]
    port = shared[0]["port"]
    record = {"port": port, "shared": rows, "magnet": rows[0]["magnet"]}
    lines = [f"sharing on port {port} {how}"]
    output.ready(record, "\n".join([*lines, *(str(row["magnet"]) for row in rows)]))


# get


async def get(args: Namespace, output: Output) -> int:
    async with Node(settings_of(args), listen=[]) as node:
        given = await get_of(args, node.disk)
        with output.bar("metadata") as bar:
            async for event in VERBS["get"].run(node, given):
                took_progress(to_builtins(event), bar, output)
        if args.seed:
            output.note("complete; seeding until interrupted")
            await asyncio.get_running_loop().create_future()
    return 0


def hand_get(args: Namespace, output: Output, daemon: Daemon) -> int:
    given = drive(with_disk(partial(get_of, args)))
    given.output = os.path.abspath(given.output)
    event: Event = {}
    with output.bar("metadata") as bar:
        for event in asked(daemon, "get", given):
            took_progress(event, bar, output)
    if event.get("event") != "complete":
        raise ClosedError(f"the node (process {daemon.pid}) ended; started again, it goes on")
    if args.seed:
        output.note(f"complete; process {daemon.pid} serves it on")
    return 0


async def get_of(args: Namespace, disk: Disk) -> Get:
    link, metainfo = await read_link(disk, args.link, settings_of(args))
    return Get(
        link=link, metainfo=metainfo, output=args.output, select=args.select,
        sequential=args.sequential, down=args.down, up=args.up, seed=args.seed,
        recheck=args.recheck, peers=args.peer, timeout=args.timeout,
    )  # fmt: skip


async def read_link(disk: Disk, text: str, config: Config | None = None) -> tuple[str, bytes]:
    """A link, or what is in the torrent file of that name or address (`-` is stdin)."""
    try:
        kind = recognise(text).kind
    except UsageError:
        if await disk.stat(text) is None:
            raise
        kind = "file"
    if kind == "file":
        return "", (await read_torrent(disk, text)).encode()
    if kind == "url":
        return "", (await download_torrent(text, config or Config())).encode()
    return text.strip(), b""


def took_progress(event: Event, bar: Bar, output: Output) -> None:
    """Show how it goes."""
    bar.update(event["done"], says(event), event["total"] or None)
    text = None
    if event["event"] == "complete":
        size, seconds = format_size(event["total"]), event["seconds"]
        text = f"{event['name']}: {size} in {seconds:.1f} s, in {event['folder']}"
    output.show(event, text)


def says(event: Event) -> str:
    """The words beside the bar."""
    if event["waiting"]:
        return str(event["waiting"])
    pieces = f"{event['pieces']}/{event['pieces_total']} pieces"
    rates = f"{format_rate(event['down'])} down, {format_rate(event['up'])} up"
    return f"{rates}, {event['peers']} peers, {pieces}"
