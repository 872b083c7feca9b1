"""js-libp2p, py-libp2p and libtorrent find us by multicast on loopback, and we them."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

import pytest
from tests.interop.children import Child
from tests.interop.programs import node, venv_python

from shoal.discovery.presence import Presence
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

pytestmark = [pytest.mark.interop, pytest.mark.timeout(100)]

HERE = Path(__file__).parent
PATIENCE = 40.0  # seconds
RNG = SystemRandom()


def meet(command: Sequence[str]) -> bool:
    """Run the program; whether we find it and it finds us."""

    async def main(child: Child) -> bool:
        assert child.match
        me = PeerId.of(PrivateKey.generate(RNG).public)
        mine = f"/ip4/127.0.0.1/tcp/4001/p2p/{me}"
        async with Presence(RNG, loopback_only=True) as presence, asyncio.timeout(PATIENCE):
            presence.announce([mine])
            async for address in presence.peers():
                if address == child.match[1]:
                    break
            return bool(await asyncio.to_thread(child.wait_for, f"^found {mine}$", PATIENCE))

    with Child(command, ready=r"^ready (\S+)") as child:
        return asyncio.run(main(child))


def test_js_libp2p_and_we_find_each_other() -> None:
    assert meet(node("mdns/peer.mjs"))


def test_py_libp2p_and_we_find_each_other() -> None:
    assert meet([venv_python("libp2p"), str(HERE / "py/libp2p_mdns.py")])


def test_libtorrent_and_we_find_each_other(tmp_path: Path) -> None:
    info_hash = os.urandom(20)
    program = [venv_python("libtorrent"), str(HERE / "bittorrent_libtorrent.py")]
    command = [*program, "meet", f"magnet:?xt=urn:btih:{info_hash.hex()}", str(tmp_path)]

    async def main(child: Child) -> None:
        assert child.match
        found = asyncio.get_running_loop().create_future()
        dialled = asyncio.Event()

        def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            dialled.set()

        heard = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = heard.sockets[0].getsockname()[1]
        async with Presence(RNG, loopback_only=True) as presence, asyncio.timeout(PATIENCE), heard:
            presence.join(info_hash, port, lambda each: found.done() or found.set_result(each))
            assert await found == [("127.0.0.1", int(child.match[1]))]
            await dialled.wait()

    with Child(command, ready=r"^port (\d+)") as child:
        asyncio.run(main(child))
