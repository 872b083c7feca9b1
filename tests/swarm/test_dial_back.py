"""A seed calls, once, on who left it without having everything: libtorrent leaves at odd times."""

import asyncio
import random

import pytest
from tests.swarm.contents import make, write_tree

from shoal.disk import Disk
from shoal.swarm.messages import (
    EXTENDED,
    EXTENDED_HANDSHAKE,
    HANDSHAKE,
    HAVE_ALL,
    HAVE_NONE,
    Hello,
    encode_handshake,
    encode_message,
)
from shoal.swarm.service import Swarm

LOCAL = "127.0.0.1"
WAIT = 1.0  # seconds; the seed waits half of one


@pytest.mark.slow
@pytest.mark.parametrize(("has", "calls"), [(HAVE_NONE, 1), (HAVE_ALL, 0)])
def test_who_lacks_something_is_called_once(tmp_path, has, calls):
    write_tree(tmp_path / "multi", {"a": 70_000})
    torrent = make(tmp_path / "multi", "v1")
    called = 0

    async def listen(reader, writer):
        nonlocal called
        called += 1
        writer.close()

    async def come_and_go(port: int, own: int) -> None:
        reader, writer = await asyncio.open_connection(LOCAL, port)
        writer.write(encode_handshake(torrent.hashes[0], b"-XX0000-hasty1234567", v2=False))
        hello = bytes([EXTENDED_HANDSHAKE]) + Hello(port=own).encode()
        writer.write(encode_message(has, b"") + encode_message(EXTENDED, hello))
        await reader.readexactly(HANDSHAKE + 5)
        writer.close()

    async def main():
        disk = Disk()
        async with Swarm(disk, random.Random(1)) as swarm:
            port = await swarm.listen(LOCAL)
            swarm.seed(torrent, str(tmp_path), [str(tmp_path / "multi" / "a")])
            server = await asyncio.start_server(listen, LOCAL, 0)
            own = server.sockets[0].getsockname()[1]
            for _ in range(2):
                await come_and_go(port, own)
                await asyncio.sleep(WAIT)
            server.close()
        await disk.close()

    asyncio.run(asyncio.wait_for(main(), 15))
    assert called == calls
