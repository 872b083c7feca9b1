"""shoal send and, for codes, shoal get: files from one machine to another.

    shoal send PATH...      prints a code such as 7042-guitar-library
    shoal get CODE          on the other machine

Found on this network, in the DHT, or at the --peer given; see docs/send.md.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import Any

from shoal.apps.code import Code
from shoal.apps.guard import SendSettings
from shoal.apps.parcel import BLOCK, Item
from shoal.apps.places import ByHand, InDht, OnLan, Place, seek_at
from shoal.apps.receive import PATIENCE, Receiver, Result
from shoal.apps.send import Event, Sender, pack
from shoal.cli.ask import in_thread
from shoal.cli.output import Bar, Output, draws
from shoal.cli.settings import load
from shoal.config import Config
from shoal.discovery.presence import LanSettings, Presence, reachable
from shoal.errors import NotFoundError, StorageError, UsageError
from shoal.net.host import read_address
from shoal.net.tasks import Tasks
from shoal.node import Node
from shoal.peer.multiaddr import Multiaddr
from shoal.quantity import format_rate, format_size
from shoal.swarm.magnet import host_and_port

SHOW_EVERY = 0.5  # seconds between two lines of progress
LISTED = 10  # names shown before a person is asked


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or folder; - is stdin")
    parser.add_argument("--name", default="stdin", help="of the file that stdin becomes")
    parser.add_argument("--code", metavar="CODE", help="this one; usually it is drawn at random")
    parser.add_argument("--keep", action="store_true", help="go on for more receivers")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="give up when nobody has it after so long"
    )
    parser.add_argument(
        "--listen", action="append", metavar="ADDRESS", help="accept the receiver here"
    )
    parser.add_argument("--no-lan", action="store_true", help="do not be found by multicast")
    parser.add_argument(
        "--bootstrap", action="append", metavar="HOST:PORT", help="a node of the DHT"
    )
    parser.add_argument("--no-dht", action="store_true", help="do not be found by the DHT")


def settings_of(args: Namespace) -> Config:
    lasting = {"mainline.server": False}  # a node of a minute is not for others to remember
    return load(args, [("bootstrap", args.bootstrap), *lasting.items()])


@asynccontextmanager
async def open_places(args: Namespace, node: Node) -> AsyncIterator[list[Place]]:
    """Where the two sides can find each other."""
    config = node.config
    async with AsyncExitStack() as stack:
        places: list[Place] = []
        if not args.no_lan:
            lan = config.of(LanSettings)
            presence = Presence(node.rng, settings=lan, loopback_only=config.loopback_only)
            await stack.enter_async_context(presence)
            addresses = [str(each.without_peer()) for each in node.addresses]
            near = reachable(addresses, loopback_only=config.loopback_only)
            places.append(OnLan(presence, near))
        if not args.no_dht and (config.bootstrap or not config.loopback_only):
            places.append(InDht(node.dht, port_of(node), node.clock))
        yield places


def port_of(node: Node) -> int:
    ports = (each.port for each in node.addresses if each.names[1:2] == ("tcp",))
    return next((port for port in ports if port), 0)


# send


async def run(args: Namespace, output: Output) -> int:
    async with AsyncExitStack() as stack:
        node = Node(settings_of(args), listen=args.listen)
        await stack.enter_async_context(node)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-send-"))
        paths = [await spooled(args, node, folder) if path == "-" else path for path in args.paths]
        sources = await pack(node.disk, paths)
        code = Code.parse(args.code) if args.code else Code.draw(node.rng)
        with output.bar("waiting for the receiver") as bar:
            shown = Shown(output, bar)
            settings = node.config.of(SendSettings)
            sender = Sender(node, sources, code, settings=settings, tell=shown.tell)
            await stack.enter_async_context(sender)
            places = await stack.enter_async_context(open_places(args, node))
            tasks = Tasks()
            stack.push_async_callback(tasks.aclose)
            for place in places:
                _ = tasks.start(place.offer(code.number), "offer")
            say_ready(output, node, sender, len(sources))
            await wait(args, sender)
    return 0


async def spooled(args: Namespace, node: Node, folder: str) -> str:
    """All of stdin as a file: it can be sent twice, and a broken transfer go on."""
    if "/" in args.name or args.name in ("", ".", ".."):
        raise UsageError(f"--name {args.name}: a file cannot be named like that")
    path = os.path.join(folder, args.name)
    await node.disk.truncate(path, 0)
    while data := await in_thread(partial(sys.stdin.buffer.read, BLOCK)):
        await node.disk.append(path, [data])
    return path


async def wait(args: Namespace, sender: Sender) -> None:
    """Until it is delivered; for ever with --keep."""
    try:
        async with asyncio.timeout(args.timeout):
            await sender.delivered(sys.maxsize if args.keep else 1)
    except TimeoutError:
        raise NotFoundError(f"nobody had received it after {args.timeout:g} s") from None
    if sender.changed:
        error = StorageError("not everything could be sent")
        for name, reason in sender.changed.items():
            error.add_note(f"{name}: {reason}")
        error.advice = "send those files again when nobody writes to them"
        raise error


def say_ready(output: Output, node: Node, sender: Sender, files: int) -> None:
    code, command = str(sender.code), f"shoal get {sender.code}"
    addresses = [str(each) for each in node.addresses]
    record = {
        "code": code, "command": command, "files": files, "size": sender.total,
        "addresses": addresses,
    }  # fmt: skip
    many = "1 file" if files == 1 else f"{files} files"
    text = f"{many}, {format_size(sender.total)}. On the other machine:\n\n    {command}\n"
    output.ready(record, text)
    if not output.json and draws(sys.stdout):
        import_module("segno").make(code).terminal(sys.stdout, compact=True)


# get


async def receive(args: Namespace, text: str, output: Output) -> int:
    """Fetch what is sent under a code."""
    if args.output == "-":
        return await to_stdout(args, text, output)
    code = Code.parse(text)
    for word, near in code.mistakes().items():
        output.note(
            f"{word} is no word of a drawn code" + (f": did you mean {near}?" if near else "")
        )
    async with Node(settings_of(args), listen=[]) as node:
        async with open_places(args, node) as places:
            if args.peer:
                places = [ByHand([address_of(each) for each in args.peer])]
            output.note(f"looking for the sender under {code.number:04}")
            with output.bar("waiting for the sender") as bar:
                receiver = Receiver(
                    node, args.output, code, accept=asker(args, output),
                    tell=Shown(output, bar).tell,
                    patience=PATIENCE if args.timeout is None else args.timeout,
                )  # fmt: skip
                began = asyncio.get_running_loop().time()
                result = await receiver.get(lambda: seek_at(places, code.number))
    say_received(args, output, result, asyncio.get_running_loop().time() - began)
    return 0


async def to_stdout(args: Namespace, text: str, output: Output) -> int:
    """One file, whole, to whoever reads our stdout: nothing else may be written there."""
    if output.json:
        raise UsageError("-o - writes the file to stdout: leave out --json")
    quiet = Output(sys.stderr, sys.stderr, debug=output.debug)
    with tempfile.TemporaryDirectory(prefix="shoal-get-") as folder:
        args.output = folder
        code = await receive(args, text, quiet)
        paths = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
        if len(paths) != 1:
            raise UsageError(f"-o - takes one file, not {len(paths)}: name a folder")
        with open(paths[0], "rb") as file:  # noqa: ASYNC230 (nothing else goes on any more)
            shutil.copyfileobj(file, sys.stdout.buffer, BLOCK)
            sys.stdout.buffer.flush()
    return code


def address_of(text: str) -> Multiaddr:
    """An address as --peer takes it: a multiaddr, or HOST:PORT."""
    if text.startswith("/"):
        return read_address(text)
    found = host_and_port(text)
    if found is None:
        raise UsageError(f"--peer {text}: allowed is HOST:PORT or a multiaddr")
    return Multiaddr.of(*found)


def asker(args: Namespace, output: Output) -> Callable[[list[Item]], Awaitable[bool]] | None:
    """Ask whoever sits at the terminal; elsewhere all is welcome."""
    if args.yes or output.json or not (sys.stdin.isatty() and draws(sys.stderr)):
        return None

    async def ask(items: list[Item]) -> bool:
        names = [os.fsdecode(b"/".join(item.parts)) for item in items[:LISTED]]
        if len(items) > LISTED:
            names.append(f"and {len(items) - LISTED} more")
        total = format_size(sum(item.size for item in items))
        output.note("\n".join(f"  {name}" for name in names))
        output.note(f"{total}, into {args.output}. Fetch it? [Y/n]")
        answer = await in_thread(sys.stdin.readline)
        return answer.strip().lower() in ("", "y", "yes")

    return ask


def say_received(args: Namespace, output: Output, result: Result, seconds: float) -> None:
    record = {
        "event": "complete", "paths": result.paths, "files": len(result.paths),
        "total": result.size, "kept": result.kept, "seconds": round(seconds, 3),
        "folder": args.output, "address": result.address, "direct": True,
    }  # fmt: skip
    size, rate = format_size(result.size), format_rate(result.size / max(seconds, 0.001))
    many = "1 file" if len(result.paths) == 1 else f"{len(result.paths)} files"
    output.show(record, f"{many}, {size} at {rate}, directly, in {args.output}")
    if result.changed:
        error = StorageError("not everything could be fetched")
        for each in result.changed:
            error.add_note(each)
        error.advice = "ask for those files again when nobody writes to them"
        raise error


# Both


class Shown:
    """Events, for a person or a program."""

    def __init__(self, output: Output, bar: Bar) -> None:
        self._output = output
        self._bar = bar
        self._shown = 0.0

    def tell(self, event: Event) -> None:
        if event.what == "progress":
            self._progress(event)
            return
        record = {"event": event.what, "address": event.address}
        if event.reason:
            record["reason"] = event.reason
        said = {
            "connected": f"connected to {event.address}, directly",
            "delivered": f"delivered to {event.address}",
            "declined": f"{event.address} ended it: {event.reason}",
            "lost": f"the connection to {event.address} broke ({event.reason}): it may go on",
            "guessed": f"{event.address} had wrong words; {event.left} more and the code is dead",
        }[event.what]
        extra: dict[str, Any] = {"direct": True} if event.what == "connected" else {}
        if event.what == "guessed":
            extra["left"] = event.left
        self._output.note(said)
        self._output.show({**record, **extra})

    def _progress(self, event: Event) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._shown >= SHOW_EVERY:
            self._shown = now
            self._bar.update(event.done, format_size(event.done), event.total)
            self._output.show({"event": "progress", "done": event.done, "total": event.total})
