"""Make a torrent of a file, and show the magnet link that names it."""

import asyncio
from pathlib import Path

from shoal.disk import Disk
from shoal.swarm.make import make_torrent

torrent = asyncio.run(make_torrent(Disk(), __file__))
Path("example.torrent").write_bytes(torrent.encode())
print(torrent.magnet())
