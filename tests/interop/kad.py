"""Another stack's node with a DHT, two of ours, and what they do for each other."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.dht.libp2p_nodes import host_of, one
from tests.interop.children import Child

from shoal.dht.libp2p.service import Libp2pDht
from shoal.peer.id import PeerId

PATIENCE = 100.0  # seconds for one conversation, on a busy machine


class KadPeer:
    """Their node, and what it does for us."""

    def __init__(self, child: Child) -> None:
        assert child.match
        self.child = child
        self.address = child.match[1]
        self.id = PeerId.parse(self.address.rpartition("/")[2])
        self._count = 0

    async def does(self, what: str, **words: Any) -> Any:
        self.child.say(json.dumps({"do": what, **words}))
        done = await asyncio.to_thread(self.child.wait_for, rf"^done {self._count} (.*)$", PATIENCE)
        self._count += 1
        said = json.loads(done[1])
        assert "failed" not in said, said
        return said


Test = Callable[[Libp2pDht, Libp2pDht, KadPeer], Awaitable[None]]


def with_peer(command: Sequence[str], test: Test, *, ours_first: bool) -> None:
    """Two of our nodes meet theirs: either dials."""

    async def main(child: Child) -> None:
        async with asyncio.timeout(PATIENCE), one(1) as mine, one(2) as other:
            theirs = KadPeer(child)
            for dht in (mine, other):
                if ours_first:
                    assert await dht.join([theirs.address]) == 1
                else:
                    address = str(host_of(dht).addresses[0])
                    assert (await theirs.does("dial", address=address))["served"]
                while not dht.size:  # noqa: ASYNC110 (until they have been introduced)
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1)  # they table us after a question of their own
            await test(mine, other, theirs)

    with Child(command, ready=r"^ready (\S+)") as child:
        asyncio.run(main(child))


async def meets(mine: Libp2pDht, key: bytes, theirs: KadPeer) -> bool:
    """A lookup asks around a peer that is slow just now, so it is given another chance."""
    for _ in range(5):
        if theirs.id in await mine.closest(key):
            return True
        await asyncio.sleep(0.5)
    return False
