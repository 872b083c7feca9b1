"""Contents with known bytes, made into torrents and files."""

import asyncio
from pathlib import Path

from shoal.disk import Disk
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.torrent import Torrent

PIECE = 32768  # bytes of a piece in most tests: two blocks


def counting(size: int) -> bytes:
    """Byte i is i mod 251, so that no two blocks are equal."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


MULTI = {
    "f0": 0, "f1": 1, "f16384": 16384, "f16385": 16385, "f40000": 40000, "sub/g": 20000,
}  # fmt: skip


def write_tree(folder: Path, files: dict[str, int]) -> None:
    for name, size in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(counting(size))


def make(path: Path, version: str, piece_length: int = PIECE) -> Torrent:
    async def run() -> Torrent:
        disk = Disk()
        try:
            return await make_torrent(disk, str(path), Recipe(version, piece_length))
        finally:
            await disk.close()

    return asyncio.run(run())
