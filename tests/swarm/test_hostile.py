"""Whatever peers do: the download completes from the honest one, within its folder and bounds."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from tests.swarm import hostile
from tests.swarm.contents import counting, write_tree
from tests.swarm.hostile import LOCAL, Speech, villain
from tests.swarm.pairs import Node, torrent_of

from shoal.disk import Disk
from shoal.swarm.bittorrent import PeerWire
from shoal.swarm.extensions import ANSWERS_MAX
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.merkle import HashRequest
from shoal.swarm.messages import (
    BITFIELD,
    HASH_REQUEST,
    encode_handshake,
    encode_message,
    encode_range,
)
from shoal.swarm.service import Swarm, SwarmSettings
from shoal.swarm.session import METADATA_PATIENCE

SIZE = 1_000_000
SPEECHES = [
    hostile.garbage_handshake, hostile.slow_loris, hostile.giant_message, hostile.wrong_bitfield,
    hostile.have_flood, hostile.bitfield_flood, hostile.request_flood, hostile.wrong_data,
    hostile.stalled_block, hostile.unasked_blocks,
]  # fmt: skip
LIES = [
    hostile.mute_metadata, hostile.huge_metadata, hostile.large_metadata, hostile.wrong_metadata,
    hostile.short_metadata, hostile.metadata_out_of_order,
]  # fmt: skip


def swarm(disk: Disk, seed: int, **settings) -> Swarm:
    return Swarm(disk, random.Random(seed), settings=SwarmSettings(**settings))


def fetch(tmp_path, speeches: list[Speech], version: str, *, magnet: bool = False) -> dict:
    """A download from these villains and an honest seed that comes a moment later."""
    write_tree(tmp_path, {"file": SIZE})

    async def main() -> dict:
        disk = Disk()
        async with AsyncExitStack() as stack:
            a, b = [await stack.enter_async_context(swarm(disk, n)) for n in (1, 2)]
            port = await a.listen("127.0.0.2")
            shared = await a.share(str(tmp_path / "file"), Recipe(version, 32768))
            torrent = shared.torrent
            ports = [await stack.enter_async_context(villain(s, torrent)) for s in speeches]
            what = Magnet.parse(str(torrent.magnet(()))) if magnet else torrent
            got = await b.download(
                what, str(tmp_path / "out"), peers=[(LOCAL, port) for port in ports]
            )
            await asyncio.sleep(0.2)
            got.found([("127.0.0.2", port)])
            async with asyncio.timeout(METADATA_PATIENCE + 8):
                await got.done.wait()
            assert got.exchange.partials.used <= got.wish.memory
            banned = dict(got.exchange.banned)
        await disk.close()
        return banned

    banned = asyncio.run(main())
    assert (tmp_path / "out" / "file").read_bytes() == counting(SIZE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
    assert "127.0.0.2" not in banned
    return banned


@pytest.mark.slow
@pytest.mark.timeout(40)
@pytest.mark.parametrize("speech", SPEECHES, ids=lambda speech: speech.__name__)
def test_one_who_breaks_the_rules_does_not_stop_the_download(tmp_path, speech):
    assert set(fetch(tmp_path, [speech], "v1")) <= {LOCAL}


@pytest.mark.slow
@pytest.mark.timeout(40)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_all_of_them_at_once_do_not_stop_it_either(tmp_path, version):
    banned = fetch(tmp_path, [s for s in SPEECHES if s is not hostile.wrong_data], version)
    assert not banned


@pytest.mark.slow
@pytest.mark.timeout(40)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_wrong_data_is_a_ban(tmp_path, version):
    assert list(fetch(tmp_path, [hostile.wrong_data], version)) == [LOCAL]


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_lies_about_the_metadata_only_cost_time(tmp_path):
    assert set(fetch(tmp_path, LIES, "v1", magnet=True)) <= {LOCAL}


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_those_who_offer_metadata_and_stay_mute_are_not_waited_for(tmp_path):
    assert not fetch(tmp_path, [hostile.mute_metadata] * 6, "v2", magnet=True)


def test_a_flood_of_hash_requests_is_bounded():
    torrent = torrent_of(40_000_000, "v2", 16384)
    node = Node(torrent, False)
    wire = PeerWire(lambda each: node.session, LOCAL)
    hello = encode_handshake(torrent.hashes[0], b"-XX0000-hostile12345", v2=False)
    wire.receive(memoryview(hello), 0.0)
    wire.out.clear()
    root = torrent.layout.files[0].root
    ask = encode_message(HASH_REQUEST, encode_range(HashRequest(root, 0, 0, 512, 0)))
    wire.receive(memoryview(ask * 5000), 0.0)
    assert ANSWERS_MAX <= sum(map(len, wire.out)) < 2 * ANSWERS_MAX + 5000 * len(ask)


@pytest.mark.slow
def test_a_thousand_connections_leave_room_for_an_honest_one(tmp_path):
    write_tree(tmp_path, {"file": SIZE})

    async def main() -> None:
        disk = Disk()
        async with swarm(disk, 1, connections=50) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            shared = await a.share(str(tmp_path / "file"), Recipe("v1", 32768))
            idle = [await asyncio.open_connection(LOCAL, port) for _ in range(400)]
            assert len(a._wires) <= 50
            got = await b.download(shared.torrent, str(tmp_path / "out"), peers=[(LOCAL, port)])
            async with asyncio.timeout(15):
                await got.done.wait()
            for _, writer in idle:
                writer.transport.abort()
        await disk.close()

    asyncio.run(main())
    assert (tmp_path / "out" / "file").read_bytes() == counting(SIZE)


@pytest.mark.parametrize("planted", ["folder", "file", "notes"])
def test_a_planted_link_leads_nobody_out_of_the_folder(tmp_path, planted):
    write_tree(tmp_path / "source" / "x", {"sub/a": 100_000, "b": 50_000})
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "resume").write_bytes(b"not ours")
    (out / "x").mkdir(parents=True)

    async def main() -> None:
        disk = Disk()
        torrent = await make_torrent(disk, str(tmp_path / "source" / "x"), Recipe("v1", 16384))
        links = {
            "folder": "x/sub",
            "file": "x/b",
            "notes": f".{torrent.hashes[0].hex()[:16]}.shoal",
        }
        target = outside / "victim" if planted == "file" else outside
        (out / links[planted]).symlink_to(target)
        async with swarm(disk, 1) as a, swarm(disk, 2) as b:
            port = await a.listen(LOCAL)
            await a.share(str(tmp_path / "source" / "x"), Recipe("v1", 16384))
            got = await b.download(torrent, str(out), peers=[(LOCAL, port)])
            async with asyncio.timeout(10):
                async for report in got.watch(0.01):
                    if "symbolic link" in report.waiting:
                        break
            assert got.done.is_set() or "symbolic link" in report.waiting
        await disk.close()

    asyncio.run(main())
    assert [path.name for path in outside.iterdir()] == ["resume"]


def test_a_wrong_bitfield_before_the_metadata_ends_only_that_connection():
    node = Node(torrent_of(100_000), False, knows=False)
    wire = PeerWire(lambda each: node.session, LOCAL)
    closed: list[str] = []
    wire.shut = closed.append
    hello = encode_handshake(node.torrent.hashes[0], b"-XX0000-hostile12345", v2=False)
    wire.receive(memoryview(hello + encode_message(BITFIELD, bytes(99))), 0.0)
    node.session.torrent = node.torrent
    node.begin()
    assert closed == ["a bitfield of a wrong length"]
