"""Verbs on contents: get and share; transfers, pause, resume and remove."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from shoal.errors import (
    ClosedError,
    NotFoundError,
    ShoalError,
    StorageError,
    UnreachableError,
    UsageError,
)
from shoal.node import Node
from shoal.swarm.candidates import Address
from shoal.swarm.jobs import Job
from shoal.swarm.magnet import Magnet, host_and_port
from shoal.swarm.make import Recipe
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.torrent import Torrent
from shoal.swarm.transfer import Transfer

SHOW_EVERY = 0.5  # seconds between two lines of progress


class Get(Struct, kw_only=True, forbid_unknown_fields=True):
    """Fetch a content into a folder; it goes on where it stopped."""

    link: str = ""
    metainfo: bytes = b""  # what a .torrent file holds, instead of a link
    output: str = "."
    select: list[str] = []
    sequential: bool = False
    down: float | None = None
    up: float | None = None
    seed: bool = False
    recheck: bool = False
    peers: list[str] = []
    timeout: float | None = None


class Share(Struct, kw_only=True, forbid_unknown_fields=True):
    """Serve a file or folder to whoever has the link."""

    path: str
    version: str = "hybrid"
    piece_length: int | None = None
    trackers: list[str] = []
    up: float | None = None
    peers: list[str] = []


class Moving(Struct, kw_only=True, tag_field="event", tag="progress"):
    """How far a transfer is; rates in bytes a second."""

    id: str
    state: str
    name: str
    done: int
    total: int
    down: int
    up: int
    peers: int
    seeds: int
    pieces: int
    pieces_total: int
    received: int
    sent: int
    wasted: int
    problem: str
    waiting: str


class Complete(Moving, kw_only=True, tag="complete"):
    """Everything that is wanted is here, and proven."""

    seconds: float
    folder: str
    v1: str | UnsetType = UNSET
    v2: str | UnsetType = UNSET


class Hashing(Struct, kw_only=True, tag_field="event", tag="hashing"):
    """How far the torrent of a share is made."""

    path: str
    done: int
    total: int


class Shared(Struct, kw_only=True, tag_field="event", tag="shared"):
    """A content is served now."""

    id: str
    port: int
    name: str
    magnet: str
    metainfo: bytes
    v1: str | UnsetType = UNSET
    v2: str | UnsetType = UNSET


async def get(node: Node, given: Get) -> AsyncGenerator[Moving | Complete, None]:
    positive("down", given.down)
    positive("up", given.up)
    wish = Wish(
        select=given.select, sequential=given.sequential, down=given.down or None,
        up=given.up or None,
        seed=given.seed, recheck=given.recheck,
    )  # fmt: skip
    what = Torrent.decode(given.metainfo) if given.metainfo else parse_link(given.link)
    loop = asyncio.get_running_loop()
    began = loop.time()
    known = set(node.swarm.jobs.all)
    transfer = await node.swarm.begin(what, given.output, wish, peers=addresses(given.peers))
    try:
        async for report in patiently(transfer, given.timeout):
            yield Moving(id=transfer.id, **record_of(report))
    except ShoalError:  # given up: what this call began ends with it
        if transfer.id not in known:
            await node.swarm.remove(find_job(node, transfer.id))
        raise
    if not transfer.done.is_set():
        raise transfer.failure or ClosedError("it was paused or removed meanwhile")
    seconds = round(loop.time() - began, 3)
    names = hashes_of(transfer.torrent)
    report = transfer.progress()
    yield Complete(
        id=transfer.id, **record_of(report), seconds=seconds, folder=transfer.folder, **names
    )


def parse_link(text: str) -> Magnet:
    try:
        return Magnet.parse(text)
    except ShoalError as error:
        raise UsageError(f"{text[:80]} is no file and no link: {error}") from None


async def patiently(transfer: Transfer, patience: float | None) -> AsyncGenerator[Progress, None]:
    """Reports until it is complete; an error when nothing came for so many seconds."""
    loop = asyncio.get_running_loop()
    moved = loop.time()
    last = -1
    async for report in transfer.watch(SHOW_EVERY):
        yield report
        if report.received + report.done + report.pieces_total != last:
            last, moved = report.received + report.done + report.pieces_total, loop.time()
        elif patience is not None and loop.time() - moved > patience:
            raise given_up(report, patience)


def given_up(report: Progress, seconds: float) -> ShoalError:
    kind = UnreachableError if not report.peers and "tried" in report.waiting else NotFoundError
    return kind(f"nothing came for {seconds:g} s: {report.waiting or 'no progress'}")


async def share(node: Node, given: Share) -> AsyncGenerator[Hashing | Shared, None]:
    positive("up", given.up)
    recipe = Recipe(
        given.version, given.piece_length, trackers=tuple((each,) for each in given.trackers)
    )
    peers = addresses(given.peers)
    far = Hashing(path=given.path, done=0, total=0)

    def tell(done: int, total: int) -> None:
        far.done, far.total = done, total

    making = asyncio.ensure_future(node.swarm.share(given.path, recipe, tell, up=given.up or None))
    try:
        while not (await asyncio.wait([making], timeout=SHOW_EVERY))[0]:
            yield far
    finally:
        making.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([making])
    transfer = making.result()
    transfer.found(peers)
    names = hashes_of(transfer.torrent)
    port = (await node.swarm.open()).port
    yield Shared(
        id=transfer.id, port=port, name=transfer.name, magnet=transfer.magnet,
        metainfo=transfer.metainfo, **names,
    )  # fmt: skip


def addresses(texts: list[str]) -> list[Address]:
    found = []
    for text in texts:
        address = host_and_port(text)
        if address is None:
            raise UsageError(f"--peer {text}: allowed is HOST:PORT")
        found.append(address)
    return found


def record_of(report: Progress) -> dict[str, Any]:
    record = {name: getattr(report, name) for name in Progress.__slots__}
    record["down"], record["up"] = round(report.down), round(report.up)
    return record


def hashes_of(found: Torrent | None) -> dict[str, Any]:
    pairs = {"v1": found.hash_v1, "v2": found.hash_v2} if found is not None else {}
    return {name: each.hex() for name, each in pairs.items() if each is not None}


# Transfers


class TransfersOf(Struct, kw_only=True, forbid_unknown_fields=True):
    """The transfers, running or not; again and again when they are followed."""

    follow: bool = False


class Which(Struct, kw_only=True, forbid_unknown_fields=True):
    """A transfer by its id, the beginning of that, or its name."""

    transfer: str


class Pause(Which):
    """Stop a transfer until it is resumed."""


class Resume(Which):
    """Go on with a transfer that is paused or stopped."""


class Remove(Which):
    """Stop a transfer for good and forget it; its files stay."""


class Row(Struct, kw_only=True):
    """One transfer."""

    id: str
    name: str
    state: str
    done: int
    total: int
    down: int
    up: int
    peers: int
    folder: str
    problem: str
    waiting: str
    magnet: str


class Transfers(Struct, kw_only=True):
    """All transfers."""

    transfers: list[Row]


async def transfers(node: Node, given: TransfersOf) -> AsyncGenerator[Transfers, None]:
    while True:
        yield Transfers(transfers=[row_of(job) for job in node.swarm.jobs.all.values()])
        if not given.follow:
            return
        await asyncio.sleep(SHOW_EVERY)


async def pause(node: Node, given: Pause) -> AsyncGenerator[Row, None]:
    job = find_job(node, given.transfer)
    await node.swarm.pause(job)
    yield row_of(job)


async def resume(node: Node, given: Resume) -> AsyncGenerator[Row, None]:
    job = find_job(node, given.transfer)
    await node.swarm.jobs.resume(job)
    if job.problem:
        raise StorageError(job.problem)
    yield row_of(job)


async def remove(node: Node, given: Remove) -> AsyncGenerator[Row, None]:
    job = find_job(node, given.transfer)
    row = row_of(job)
    await node.swarm.remove(job)
    row.state = "removed"
    yield row


def find_job(node: Node, text: str) -> Job:
    return node.swarm.jobs.find(text)


def row_of(job: Job) -> Row:
    report, entry = job.progress(), job.entry
    found = job.transfer.torrent if job.transfer is not None else None
    return Row(
        id=entry.id, name=report.name, state=report.state, done=report.done,
        total=report.total, down=round(report.down), up=round(report.up), peers=report.peers,
        folder=entry.folder, problem=report.problem, waiting=report.waiting,
        magnet=str(found.magnet()) if found is not None else entry.magnet,
    )  # fmt: skip


def positive(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise UsageError(f"{name} is a rate in bytes a second, not {value}")
