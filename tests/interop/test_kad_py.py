"""py-libp2p's DHT and ours find each other's peers and providers, both ways.

It keeps its keys as UTF-8 text, so that no public key can lie under its binary
id there: values are not exchanged, and its refusal harms nobody.
"""

from pathlib import Path
from random import Random

import pytest
from tests.interop.kad import KadPeer, Test, meets, with_peer
from tests.interop.programs import venv_python

from shoal.codec import multihash
from shoal.dht.libp2p.service import Libp2pDht
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

SCRIPT = Path(__file__).parent / "kad_libp2p.py"
HELLO = multihash.sha256(b"hello")
WORLD = multihash.sha256(b"world")


def with_py(test: Test, *, ours_first: bool) -> None:
    command = [venv_python("libp2p"), "-I", str(SCRIPT)]  # isolated: a neighbour has its name
    with_peer(command, test, ours_first=ours_first)


@pytest.mark.parametrize("ours_first", [True, False])
def test_peers_and_providers_are_found_both_ways(ours_first: bool) -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
        for dht in (mine, other):  # it tables nobody whom it has not been told of
            assert (await theirs.does("dial", address=str(dht.core.own_addresses()[0])))["served"]
        assert await meets(mine, HELLO, theirs)
        assert await mine.find_peer(theirs.id)
        assert await mine.find_peer(other.core.own)
        assert (await theirs.does("find", peer=str(other.core.own)))["addresses"]
        assert await mine.provide(HELLO) == 2
        assert (await theirs.does("providers", key=HELLO.hex()))["found"][str(mine.core.own)]
        assert (await theirs.does("provide", key=WORLD.hex()))["told"]
        found = {each.peer: each.addresses async for each in other.providers(WORLD)}
        assert found[theirs.id]

    with_py(test, ours_first=ours_first)


def test_a_value_that_it_cannot_keep_is_kept_by_the_others() -> None:
    async def test(mine: Libp2pDht, other: Libp2pDht, theirs: KadPeer) -> None:
        key = PrivateKey.generate(Random(9)).public
        place = b"/pk/" + PeerId.of(key).bytes
        await mine.find_peer(theirs.id)
        assert await mine.put(place, key.encode()) >= 1
        assert await other.get(place) == key.encode()

    with_py(test, ours_first=True)
