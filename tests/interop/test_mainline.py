"""Other DHT nodes find what we announce and store, and we find what they do."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.interop.children import Child
from tests.interop.programs import node, venv_python

from shoal.dht.mainline.items import make_immutable, make_mutable
from shoal.dht.mainline.service import open_mainline
from shoal.dht.mainline.words import Announced, Mutation
from shoal.dht.service import Dht
from shoal.dht.settings import MainlineSettings
from shoal.net.transport.udp import UdpSocket

pytestmark = pytest.mark.interop

OURS, THEIRS = "11" * 20, "22" * 20
SEED = b"\1" * 32
KEY = Ed25519PrivateKey.from_private_bytes(SEED)
PUBLIC = KEY.public_key().public_bytes_raw()
SETTINGS = MainlineSettings(rate=1e6)
WAIT = 10.0  # seconds for anything to come true


def expanded(seed: bytes) -> bytes:
    """A secret key in the form that libtorrent takes."""
    digest = bytearray(sha512(seed).digest())
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    return bytes(digest)


@asynccontextmanager
async def shoals(count: int) -> AsyncIterator[list[Dht]]:
    """Nodes of ours on loopback; the first is everybody's router."""
    async with AsyncExitStack() as stack:
        found: list[Dht] = []
        for number in range(count):
            socket = await UdpSocket.open("127.0.0.1")
            stack.push_async_callback(socket.aclose)
            names = [router_of(found[0])] if found else []
            opened = await open_mainline(
                [socket], random.Random(number), settings=SETTINGS, bootstrap=names
            )
            found.append(await stack.enter_async_context(opened))
            if number:
                await opened.closest(opened.carriers[0].engine.id)
        yield found


def router_of(dht: Dht) -> str:
    return f"127.0.0.1:{dht.address[1]}"


class Other:
    """A DHT node that is not ours."""

    def __init__(self, child: Child) -> None:
        self.child = child
        assert child.match
        self.port = int(child.match[1])

    async def do(self, pattern: str, **command: Any) -> re.Match[str]:
        """Give a command until an answer matches: a node that just came up knows nobody yet."""
        before = len(self.child.log)
        for _ in range(20):
            self.child.say(json.dumps(command))
            for _ in range(25):
                await asyncio.sleep(WAIT / 500)
                if found := re.search(pattern, self.child.log[before:]):
                    return found
        raise AssertionError(f"no {pattern} after {command}")


def javascript(router: str) -> Child:
    return Child([*node("bittorrent/dht.mjs"), router], ready=r'"port":(\d+)')


def libtorrent(router: str) -> Child:
    script = Path(__file__).with_name("libtorrent_dht.py")
    return Child([venv_python("libtorrent"), str(script), router], ready=r'"port": (\d+)')


async def until(truth: Callable[[], Awaitable[bool]]) -> bool:
    """True; TimeoutError if it does not come."""
    async with asyncio.timeout(WAIT):
        while not await truth():  # noqa: ASYNC110 (it is another program that we wait for)
            await asyncio.sleep(0.05)
    return True


async def peers(dht: Dht, key: str) -> list[Any]:
    return [peer async for peer in dht.providers(bytes.fromhex(key))]


async def meet(dht: Dht, other: Other) -> None:
    """Until the other is in our table."""

    async def known() -> bool:
        table = dht.carriers[0].engine.table
        return table.find(("127.0.0.1", other.port)) is not None

    assert await until(known)


Start = Callable[[str], Child]
Play = Callable[[list[Dht], Other], Awaitable[None]]


def scenario(start: Start, play: Play) -> None:
    async def whole() -> None:
        async with shoals(4) as dhts:
            child = await asyncio.to_thread(start, router_of(dhts[0]))
            with child:
                other = Other(child)
                await meet(dhts[0], other)
                await play(dhts, other)

    asyncio.run(whole())


OTHERS = pytest.mark.parametrize("start", [javascript, libtorrent])


@OTHERS
def test_they_find_what_we_announce(start: Start) -> None:
    async def play(dhts: list[Dht], other: Other) -> None:
        assert await dhts[1].provide(bytes.fromhex(OURS), Announced(6881)) >= 4
        await other.do(r"127\.0\.0\.1:6881", verb="lookup", hash=OURS)

    scenario(start, play)


@OTHERS
def test_we_find_what_they_announce(start: Start) -> None:
    async def play(dhts: list[Dht], other: Other) -> None:
        other.child.say(json.dumps({"verb": "announce", "hash": THEIRS, "port": 7777}))

        async def found() -> bool:
            return ("127.0.0.1", 7777) in await peers(dhts[2], THEIRS)

        assert await until(found)

    scenario(start, play)


@OTHERS
def test_they_keep_what_we_announce(start: Start) -> None:
    async def play(dhts: list[Dht], other: Other) -> None:
        await dhts[1].provide(bytes.fromhex(OURS), Announced(6881))
        engine = dhts[3].carriers[0].engine
        contact = next(
            known for known in engine.table if known.address == ("127.0.0.1", other.port)
        )
        for known in list(engine.table):  # only the other is asked
            if known is not contact:
                for _ in range(3):
                    engine.table.failed(known.address)
        engine.bootstrap.clear()
        assert ("127.0.0.1", 6881) in await peers(dhts[3], OURS)

    scenario(start, play)


@OTHERS
def test_immutable_values_both_ways(start: Start) -> None:
    async def play(dhts: list[Dht], other: Other) -> None:
        item = make_immutable(b"from us")
        assert await dhts[1].put(Mutation(item)) >= 3
        await other.do(r'"got": ?"from us"', verb="get", key=item.key.hex())
        theirs = make_immutable(b"from them")
        await other.do(rf'"(put|key)": ?"{theirs.key.hex()}"', verb="put", value="from them")
        assert (await dhts[2].get(theirs.key)).value == b"from them"

    scenario(start, play)


def ours(sequence: int, salt: bytes) -> Mutation:
    value = b"version %d" % sequence
    return Mutation(make_mutable(value, PUBLIC, KEY.sign, sequence=sequence, salt=salt))


def test_signed_values_both_ways_with_bittorrent_dht() -> None:
    async def play(dhts: list[Dht], other: Other) -> None:
        first = ours(1, b"salt")
        assert await dhts[1].put(first) >= 3
        await other.do(
            r'"got":"version 1","sequence":1', verb="get", key=first.key.hex(), salt="salt"
        )
        command = {"seed": SEED.hex(), "value": "theirs", "sequence": 2, "salt": "salt"}
        await other.do(rf'"put":"{first.key.hex()}"', verb="sign", **command)
        item = await dhts[2].get(first.key, b"salt")
        assert (item.value, item.sequence) == (b"theirs", 2)

    scenario(javascript, play)


def test_signed_values_both_ways_with_libtorrent() -> None:
    async def play(dhts: list[Dht], other: Other) -> None:
        first = ours(1, b"salt")
        assert await dhts[1].put(first) >= 3
        follow = {"verb": "follow", "public": PUBLIC.hex(), "salt": "salt"}
        await other.do(r'"got": "version 1", "sequence": 1', **follow)
        command = {
            "public": PUBLIC.hex(),
            "secret": expanded(SEED).hex(),
            "value": "theirs",
            "salt": "salt",
        }
        await other.do(r'"stored": [1-9]', verb="sign", **command)

        async def newer() -> bool:
            item = await dhts[2].get(first.key, b"salt")
            return bool(item.value == b"theirs" and item.sequence > 1)

        await until(newer)

    scenario(libtorrent, play)
