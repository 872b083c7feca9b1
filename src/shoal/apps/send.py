"""The sending side: files for whoever knows the words of a code.

    sender = Sender(node, sources, code)
    async with sender:                    # peers may come
        await sender.delivered()          # somebody has all of it; LimitError when the code died

Each receiver proves that it knows the words (pake.py, guard.py) before it sees a
name, says what it has (parcel.py), and gets the rest.  Blocks are read ahead of the
stream, in the disk's threads.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from shoal.apps.code import Code
from shoal.apps.digests import agreed
from shoal.apps.guard import Guard, SendSettings, household
from shoal.apps.pake import Pake
from shoal.apps.parcel import (
    CHANGED,
    FILES_MAX,
    GOOD,
    MESSAGE_MAX,
    PART,
    PROTOCOL,
    UNREADABLE,
    WORD_MAX,
    Accept,
    Claim,
    Hello,
    Item,
    Offer,
    Piece,
    Plan,
    Proof,
    Received,
    Wait,
    check_claim,
    check_names,
    other_names,
    pieces,
)
from shoal.apps.talk import expect, refuse, say
from shoal.errors import (
    LimitError,
    ProtocolError,
    RefusedError,
    ShoalError,
    StorageError,
    UsageError,
)
from shoal.net.stream import Stream
from shoal.net.tasks import Tasks
from shoal.node import Node
from shoal.swarm.make import scan

AHEAD = 4  # blocks that are read while one is sent
PROVING = 10.0  # seconds for a receiver to prove that it knows the words
FULL = 5.0  # seconds to wait when as many as are allowed receive already
SMALL = 64 * 1024  # bytes: shorter blocks leave in one piece with what belongs to them


@dataclass(frozen=True, slots=True)
class Source:
    """A file to send: where it is, its name in the parcel, and what it was like."""

    where: str
    parts: tuple[bytes, ...]
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person may want to see.

    guessed, connected, progress, delivered, lost, declined.
    """

    what: str
    address: str = ""
    done: int = 0
    total: int = 0
    left: int = 0  # guesses
    reason: str = ""


async def pack(disk: Any, paths: Iterable[str]) -> list[Source]:
    """All files at some paths, each under its path's own name."""
    found: list[Source] = []
    taken: set[str] = set()
    for path in paths:
        name, sources = await scan(disk, path)
        if not name:
            raise UsageError(f"{path} has no name: send what is in it")
        name = next(each for each in other_names(name) if each not in taken)
        taken.add(name)
        for source in sources:
            stat = await disk.stat(source.where)
            if stat is None or source.where.endswith(PART):
                continue
            parts = tuple(map(os.fsencode, (name, *source.parts)))
            found.append(Source(source.where, parts, stat.size, stat.mtime_ns))
    if not found:
        raise UsageError("there is no file to send")
    if len(found) > FILES_MAX:
        raise UsageError(f"over {FILES_MAX} files: pack them, as in `tar c DIR | shoal send -`")
    try:
        check_names([source.parts for source in found])
    except ProtocolError as error:
        raise UsageError(f"this cannot be sent: {error}") from None
    return found


class Sender:
    """One parcel under one code."""

    def __init__(
        self,
        node: Node,
        sources: Sequence[Source],
        code: Code,
        *,
        settings: SendSettings | None = None,
        tell: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.code = code
        self.guard = Guard(settings)
        self.total = sum(source.size for source in sources)
        self.changed: dict[str, str] = {}  # files that were not delivered, and why
        self._node = node
        self._disk = node.disk
        self._sources = sources
        self._items = [Item(source.parts, source.size) for source in sources]
        self._tell = tell
        self._tasks = Tasks()
        self._active = 0
        self._delivered = 0
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._node.handle(PROTOCOL, self.handle)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._node.host.protocols.pop(PROTOCOL, None)
        await self._tasks.aclose()

    async def delivered(self, times: int = 1) -> None:
        """Until so many have received it and nobody is at it any more."""
        while self._delivered < times or self._active:
            if self.guard.dead and not self._active:
                raise LimitError(
                    f"the code was guessed wrong {self.guard.failures} times: it is dead"
                )
            self._news.clear()
            await self._news.wait()

    # One receiver

    async def handle(self, stream: Stream) -> None:
        connection = self._node.host.connection(stream.peer)
        remote = connection.about.remote if connection is not None else None
        visitor = household(remote.ip if remote is not None else None)
        async with asyncio.timeout(PROVING):
            if not await self._prove(stream, visitor):
                return
        self._active += 1
        try:
            await self._serve(stream, str(remote))
        finally:
            self._active -= 1
            self._news.set()

    async def _prove(self, stream: Stream, visitor: str) -> bool:
        """Whether the words are right on both sides; each stream is one attempt at most."""
        hello = await expect(stream, Hello, WORD_MAX)
        clock = asyncio.get_running_loop().time
        if self.guard.dead:
            await refuse(stream, "this code is dead", "dead")
            return False
        full = self._active >= self.guard.settings.receivers
        wait = FULL if full else self.guard.begin(visitor, clock())
        if wait:
            await say(stream, Wait(wait))
            return False
        right = guessed = False
        try:
            pake = Pake(
                self.code.password, PROTOCOL, stream.peer.bytes, self._node.id.bytes,
                is_sender=True, rng=self._node.rng,
            )  # fmt: skip
            pake.receive(hello.share)
            await say(stream, Hello(pake.share))
            proof = await expect(stream, Proof, WORD_MAX)
            right = pake.check(proof.proof)
            guessed = not right
        finally:
            self.guard.end(visitor, clock(), right=right, guessed=guessed)
        if right:
            await say(stream, Proof(pake.proof))
            return True
        self._tell(Event("guessed", visitor, left=self.guard.left))
        self._news.set()
        await refuse(stream, "the words are wrong", "code")
        return False

    async def _serve(self, stream: Stream, remote: str) -> None:
        try:
            self._tell(Event("connected", remote, total=self.total))
            claims = await self._offer(stream)
            starts = {index: await self._compare(claim) for index, claim in claims.items()}
            await say(stream, Plan(starts))
            await self._transfer(stream, claims, starts, remote)
        except RefusedError as error:
            self._tell(Event("declined", remote, reason=str(error)))
        except ShoalError as error:
            self._tell(Event("lost", remote, reason=str(error)))
            raise
        else:
            self._delivered += 1
            self._tell(Event("delivered", remote, self.total, self.total))

    async def _offer(self, stream: Stream) -> dict[int, Claim]:
        """What the receiver has already, once it has accepted."""
        await say(stream, Offer(self._items))
        claims: dict[int, Claim] = {}
        while True:
            message = await expect(stream, Claim | Accept, MESSAGE_MAX)
            if isinstance(message, Accept):
                return claims
            check_claim(message, self._items)
            if message.index in claims:
                raise ProtocolError("two claims on one file")
            claims[message.index] = message

    async def _compare(self, claim: Claim) -> int:
        source = self._sources[claim.index]
        try:
            return await agreed(self._disk, source.where, claim, source.size)
        except StorageError:
            return 0  # the data will say so

    async def _transfer(
        self, stream: Stream, claims: dict[int, Claim], starts: dict[int, int], remote: str
    ) -> None:
        """Send, and listen at the same time: a receiver may have to stop."""
        pouring = self._tasks.start(self._pour(stream, claims, starts, remote), "pour")
        try:
            await expect(stream, Received, WORD_MAX)
        finally:
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)

    async def _pour(
        self, stream: Stream, claims: dict[int, Claim], starts: dict[int, int], remote: str
    ) -> None:
        left = pieces(self._items, claims, starts)
        ahead: deque[tuple[Piece, asyncio.Task[Block]]] = deque()
        done = sum(starts.values())
        broken = -1
        try:
            while True:
                while len(ahead) < AHEAD and (piece := next(left, None)) is not None:
                    ahead.append((piece, self._tasks.start(self._load(piece), "load")))
                if not ahead:
                    return
                piece, loading = ahead.popleft()
                block = await loading
                if piece.index != broken:
                    await write_block(stream, block)
                    done += len(block.data)
                    self._tell(Event("progress", remote, done, self.total))
                if block.ending not in (None, GOOD):
                    broken = piece.index
                    self._note_changed(piece.index, block.ending)
        except ShoalError as error:
            stream.reset(error)  # whoever waits for the receiver's word hears of it
            raise
        finally:
            for _, loading in ahead:
                loading.cancel()

    async def _load(self, piece: Piece) -> "Block":
        source = self._sources[piece.index]
        try:
            data = b""
            if piece.length:
                data = await self._disk.read(source.where, piece.at, piece.length)
            if len(data) < piece.length:
                return Block(b"", CHANGED)
            if not piece.last:
                return Block(data, None)
            stat = await self._disk.stat(source.where)
        except StorageError:
            return Block(b"", UNREADABLE)
        same = stat is not None and (stat.size, stat.mtime_ns) == (source.size, source.mtime_ns)
        return Block(data, GOOD if same else CHANGED)

    def _note_changed(self, index: int, ending: int | None) -> None:
        name = os.fsdecode(b"/".join(self._sources[index].parts))
        self.changed[name] = "changed while it was sent" if ending == CHANGED else "cannot be read"


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes of a file, and how the file ends if they are its last."""

    data: bytes
    ending: int | None


async def write_block(stream: Stream, block: Block) -> None:
    parts = []
    if block.data:
        parts = [len(block.data).to_bytes(4, "big"), block.data]
    if block.ending is not None:
        parts.append(bytes([0, 0, 0, 0, block.ending]))
    if len(block.data) < SMALL:
        parts = [b"".join(parts)]
    for part in parts:
        await stream.write(part)
