"""A magnet link is enough: its peers are found by `x.pe`, by our tracker and by the DHT.

libtorrent on the other side, either as the seed or as the one who fetches.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.interop.test_bittorrent_libtorrent import LOCAL, check_same, libtorrent
from tests.interop.test_mainline import router_of, shoals
from tests.swarm.contents import MULTI, make, write_tree

from shoal.dht.mainline.words import Announced
from shoal.discovery.index import Index
from shoal.discovery.tracker_server import Tracker, TrackerServer
from shoal.disk import Disk
from shoal.net.web import Web
from shoal.swarm.magnet import Magnet
from shoal.swarm.service import Swarm
from shoal.swarm.sources import DhtSource, TrackerSource, fetch_by

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]
WAYS = pytest.mark.parametrize("way", ["x.pe", "tracker", "dht"])
FILES = {**MULTI, "\u00fcber \u2603": 300_000}


@dataclass
class Place:
    """A tracker and a DHT, one of which may be used."""

    way: str
    url: str
    router: str

    @property
    def trackers(self) -> tuple[tuple[str, ...], ...]:
        return ((self.url,),) if self.way == "tracker" else ()

    def words(self, what: str, folder: Path) -> tuple[str, ...]:
        """What libtorrent is told to do."""
        if self.way == "dht":
            return ("dht", what, str(folder), self.router)
        return ("run", what, str(folder))

    def link(self, torrent: Any, port: int) -> str:
        peers = ((LOCAL, port),) if self.way == "x.pe" else ()
        return str(replace(torrent, trackers=self.trackers).magnet(peers))


@asynccontextmanager
async def meeting(way: str) -> AsyncIterator[tuple[Swarm, Place]]:
    """A swarm of ours with a way to find and be found."""
    rng, disk, web = random.Random(1), Disk(), Web()
    tracker = Tracker(Index(life=60), rng, interval=1)
    async with asyncio.timeout(60), TrackerServer(tracker) as server, shoals(2) as (router, dht):
        url = f"http://{LOCAL}:{server.port}/announce"
        place = Place(way, url, router_of(router))
        makers = {
            "x.pe": [],
            "tracker": [lambda each: TrackerSource(each, rng=rng, fetch=fetch_by(web))],
            "dht": [lambda each: DhtSource(each, dht, Announced)],
        }[way]
        async with Swarm(disk, random.Random(2), makers=makers) as swarm:
            yield swarm, place
    await web.aclose()
    await disk.close()


@pytest.fixture
def source(tmp_path):
    write_tree(tmp_path / "source" / "multi", FILES)
    return tmp_path / "source" / "multi"


@WAYS
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_we_find_libtorrent(source, tmp_path, way, version):
    torrent = make(source, version)
    path = tmp_path / "x.torrent"

    async def main():
        async with meeting(way) as (swarm, place):
            path.write_bytes(replace(torrent, trackers=place.trackers).encode())
            words = place.words(str(path), source.parent)
            seed = await asyncio.to_thread(libtorrent, *words, ready=r"port (\d+)")
            with seed:
                link = Magnet.parse(place.link(torrent, int(seed.match[1])))
                got = await swarm.download(link, str(tmp_path / "out"))
                await got.done.wait()

    asyncio.run(main())
    check_same(source, tmp_path / "out" / "multi")


@WAYS
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_libtorrent_finds_us(source, tmp_path, way, version):
    (tmp_path / "out").mkdir()
    torrent = make(source, version)

    async def main():
        async with meeting(way) as (swarm, place):
            port = await swarm.listen(LOCAL)
            paths = [str(source.parent / file.name) for file in torrent.layout.files]
            swarm.seed(replace(torrent, trackers=place.trackers), "", paths)
            words = place.words(place.link(torrent, port), tmp_path / "out")
            leech = await asyncio.to_thread(libtorrent, *words, ready=r"port (\d+)")
            with leech:
                await asyncio.to_thread(leech.wait_for, "^complete", 40)

    asyncio.run(main())
    check_same(source, tmp_path / "out" / "multi")
