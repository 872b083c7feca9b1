"""Peers that break the rules, each a handler for a plain socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from shoal.codec import bencode
from shoal.swarm.messages import (
    BITFIELD,
    BLOCK_HEADER,
    EXTENDED,
    HANDSHAKE,
    HAVE,
    HAVE_ALL,
    LENGTH,
    ONE,
    PIECE,
    REQUEST,
    THREE,
    UNCHOKE,
    Hello,
    encode_handshake,
    encode_message,
)  # fmt: skip
from shoal.swarm.torrent import Torrent

LOCAL = "127.0.0.1"
Speech = Callable[["Caller"], Awaitable[None]]


class Caller:
    """Our end of a connection to the one who is attacked."""

    def __init__(self, reader: asyncio.StreamReader, writer: Any, torrent: Torrent) -> None:
        self.reader = reader
        self.writer = writer
        self.torrent = torrent
        self.count = torrent.layout.count

    async def say(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def greet(self) -> None:
        await self.reader.readexactly(HANDSHAKE)
        await self.say(encode_handshake(self.torrent.hashes[0], b"-XX0000-hostile12345", v2=False))

    async def message(self) -> tuple[int, bytes]:
        """The next message that is not a keep-alive."""
        while True:
            length = LENGTH.unpack(await self.reader.readexactly(4))[0]
            if length:
                body = await self.reader.readexactly(length)
                return body[0], body[1:]

    async def linger(self) -> None:
        while await self.reader.read(1 << 16):
            pass


@asynccontextmanager
async def villain(speech: Speech, torrent: Torrent) -> AsyncIterator[int]:
    """A server that makes this speech to everybody who connects; its port."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await speech(Caller(reader, writer, torrent))
        writer.close()

    server = await asyncio.start_server(serve, LOCAL, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def garbage_handshake(caller: Caller) -> None:
    await caller.say(b"\x13BitTorrent protocoX" + bytes(48))
    await caller.linger()


async def slow_loris(caller: Caller) -> None:
    """A byte of the handshake now and then."""
    for at in range(HANDSHAKE):
        await caller.say(b"\x13BitTorrent protocol"[at : at + 1])
        await asyncio.sleep(0.5)


async def giant_message(caller: Caller) -> None:
    await caller.greet()
    await caller.say(LENGTH.pack(0xFFFFFFFF), b"\5", bytes(100_000))
    await caller.linger()


async def wrong_bitfield(caller: Caller) -> None:
    await caller.greet()
    await caller.say(encode_message(BITFIELD, b"\xff" * (caller.count // 8 + 9)))
    await caller.linger()


async def have_flood(caller: Caller) -> None:
    await caller.greet()
    for piece in range(20_000):
        await caller.say(ONE.pack(5, HAVE, piece % caller.count))
    await caller.say(ONE.pack(5, HAVE, caller.count))
    await caller.linger()


async def bitfield_flood(caller: Caller) -> None:
    await caller.greet()
    await caller.say(encode_message(BITFIELD, bytes(-(-caller.count // 8))) * 3000)
    await caller.linger()


async def request_flood(caller: Caller) -> None:
    """What it never offered and what nobody has."""
    await caller.greet()
    await caller.say(*(THREE.pack(13, REQUEST, n, 0, 1 << 14) for n in range(50_000)))
    await caller.linger()


async def wrong_data(caller: Caller) -> None:
    """Everything that is asked for, and all of it zeros."""
    await caller.greet()
    await caller.say(encode_message(HAVE_ALL), encode_message(UNCHOKE))
    await answer(caller, lambda piece, begin, length: bytes(length))


async def stalled_block(caller: Caller) -> None:
    """Begins each block and never ends it."""
    await caller.greet()
    await caller.say(encode_message(HAVE_ALL), encode_message(UNCHOKE))
    while True:
        kind, body = await caller.message()
        if kind == REQUEST:
            _, _, piece, begin, length = THREE.unpack(b"\0\0\0\r\6" + body)
            await caller.say(BLOCK_HEADER.pack(9 + length, PIECE, piece, begin), b"x")
            await caller.linger()


async def unasked_blocks(caller: Caller) -> None:
    await caller.greet()
    block = BLOCK_HEADER.pack(9 + 16384, PIECE, 0, 0) + bytes(16384)
    for _ in range(400):
        await caller.say(block)
    await caller.linger()


async def answer(caller: Caller, data: Callable[[int, int, int], bytes]) -> None:
    while True:
        kind, body = await caller.message()
        if kind == REQUEST:
            _, _, piece, begin, length = THREE.unpack(b"\0\0\0\r\6" + body)
            block = data(piece, begin, length)
            await caller.say(BLOCK_HEADER.pack(9 + length, PIECE, piece, begin), block)


# For magnets: the info dictionary is what they lie about


def offers_metadata(size: int, give: Callable[[int], bytes | None]) -> Speech:
    """Tells a size and answers each request for a piece with what `give` makes; None: nothing."""

    async def speech(caller: Caller) -> None:
        await caller.greet()
        hello = Hello({b"ut_metadata": 3}, metadata_size=size)
        await caller.say(encode_message(EXTENDED, b"\0", hello.encode()))
        while True:
            kind, body = await caller.message()
            if kind == EXTENDED and body[0] == 3:
                piece = bencode.decode_prefix(body[1:])[0][b"piece"]
                data = give(piece)
                if data is not None:
                    fields = {b"msg_type": 1, b"piece": piece, b"total_size": size}
                    await caller.say(encode_message(EXTENDED, b"\2", bencode.encode(fields), data))

    return speech


mute_metadata = offers_metadata(40_000, lambda piece: None)
huge_metadata = offers_metadata(1 << 40, lambda piece: None)
large_metadata = offers_metadata(32 << 20, lambda piece: bytes(16384))
wrong_metadata = offers_metadata(100, lambda piece: bytes(100))
short_metadata = offers_metadata(40_000, lambda piece: b"")


async def metadata_out_of_order(caller: Caller) -> None:
    await caller.greet()
    hello = Hello({b"ut_metadata": 3}, metadata_size=1 << 20)
    await caller.say(encode_message(EXTENDED, b"\0", hello.encode()))
    for piece in (63, -1, 1 << 40, 2):
        fields = {b"msg_type": 1, b"piece": piece, b"total_size": 1 << 20}
        await caller.say(encode_message(EXTENDED, b"\2", bencode.encode(fields), bytes(16384)))
    await caller.linger()
