"""shoal torrent show|make|check: look at a torrent, make one, check files against one."""

import asyncio
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import Any
from urllib.parse import urlsplit

from shoal.cli.output import Bar, Output
from shoal.config import Config
from shoal.disk import Disk
from shoal.errors import NotFoundError, UsageError
from shoal.net.web import Web
from shoal.quantity import format_size, parse_size
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.storage import Storage
from shoal.swarm.torrent import METAINFO_MAX, Torrent
from shoal.web.verbs_swarm import hashes_of

PATIENCE = 60.0  # seconds for a torrent over HTTP


def configure(parser: ArgumentParser) -> None:
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


def size(text: str) -> int:
    return parse_size(text)


async def run(args: Namespace, output: Output) -> int:
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


async def download_torrent(url: str, config: Config) -> Torrent:
    """The torrent at an http or https address."""
    host = urlsplit(url).hostname or ""
    if not config.allows(host):
        raise UsageError(f"profile local fetches from loopback only, not from {host}")
    web = Web()
    try:
        async with asyncio.timeout(PATIENCE):
            follow = not config.loopback_only
            status, body = await web.get(url, limit=METAINFO_MAX, follow=follow)
    finally:
        await web.aclose()
    if status != 200:
        raise NotFoundError(f"{url} answered with status {status}")
    return Torrent.decode(body)


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
    recipe = Recipe(
        args.version, args.piece_length, private=args.private, comment=args.comment,
        trackers=tuple((each,) for each in args.tracker), created=int(time.time()),
    )  # fmt: skip
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


def shown_on(bar: Bar) -> Any:
    return lambda done, total: bar.update(done, format_size(done), total)
