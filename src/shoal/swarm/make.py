"""Torrents made out of files and folders.

The files are laid out on one line, cut into pieces, and hashed for v1 and v2 in
one pass over their bytes.

BEP 3, 47 (pad files of hybrids), 52.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shoal.codec import bencode
from shoal.disk import Disk
from shoal.errors import StorageError, UsageError
from shoal.swarm.hashing import Digests
from shoal.swarm.layout import File, Layout
from shoal.swarm.merkle import BLOCK, file_root
from shoal.swarm.survey import Line, hash_pieces
from shoal.swarm.torrent import PIECE_LENGTH_MAX, Torrent

PIECES_AIM = 2048  # a piece length is chosen that gives at most so many pieces ...
PIECE_LENGTH_LEAST = 64 * 1024  # ... but none so short that headers and hashes cost more
PIECE_LENGTH_MOST = 16 << 20  # ... and none so long that a failed hash costs too much
SCAN_MAX = 1_000_000  # files in one folder tree
VERSIONS = ("v1", "v2", "hybrid")

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Source:
    """A file on this disk and the path it gets in the torrent, below the name."""

    where: str
    parts: tuple[str, ...]
    length: int


@dataclass(frozen=True)
class Recipe:
    """How a torrent is made."""

    version: str = "hybrid"
    piece_length: int | None = None
    private: bool = False
    trackers: tuple[tuple[str, ...], ...] = ()
    web_seeds: tuple[str, ...] = ()
    comment: str = ""
    creator: str = "Shoal"
    created: int | None = None

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise UsageError(f"a torrent is {', '.join(VERSIONS)}, not {self.version!r}")
        length = self.piece_length
        if length is not None and not (
            BLOCK <= length < PIECE_LENGTH_MAX and length & (length - 1) == 0
        ):
            raise UsageError("a piece length is a power of two, from 16 KiB to 512 MiB")


async def make_torrent(
    disk: Disk, path: str, recipe: Recipe | None = None, progress: Progress | None = None
) -> Torrent:
    """A torrent of one file or of all files in a folder."""
    name, sources = await scan(disk, path)
    return await make_of(disk, name, sources, recipe or Recipe(), progress)


async def scan(disk: Disk, path: str) -> tuple[str, list[Source]]:
    """The name and files of what lies at a path, sorted; symbolic links are left out."""
    path = await disk.run(os.path.abspath, path)
    stat = await disk.stat(path)
    name = path.rpartition(os.sep)[2]
    if stat is None:
        raise StorageError(f"there is no {path}")
    if not stat.is_folder:
        return name, [Source(path, (), stat.size)]
    found: list[Source] = []
    await _scan_folder(disk, path, (), found)
    found.sort(key=lambda source: tuple(os.fsencode(part) for part in source.parts))
    return name, found


async def _scan_folder(
    disk: Disk, folder: str, parts: tuple[str, ...], found: list[Source]
) -> None:
    for name in await disk.list(folder):
        where = os.path.join(folder, name)
        if await disk.run(os.path.islink, where):
            continue
        stat = await disk.stat(where)
        if stat is None:
            continue
        if stat.is_folder:
            await _scan_folder(disk, where, (*parts, name), found)
        else:
            found.append(Source(where, (*parts, name), stat.size))
        if len(found) > SCAN_MAX:
            raise UsageError(f"more than {SCAN_MAX} files in {folder}")


async def make_of(
    disk: Disk, name: str, sources: Sequence[Source], recipe: Recipe, progress: Progress | None
) -> Torrent:
    total = sum(source.length for source in sources)
    if not total:
        raise UsageError(f"{name} has no data: a torrent needs at least one byte")
    length = recipe.piece_length or choose_piece_length(total)
    layout, origins = arrange(name, sources, length, recipe.version)
    found = await _hash_all(disk, layout, origins, recipe.version, progress)
    info = bencode.encode(info_fields(name, layout, recipe, found, single=not sources[0].parts))
    torrent = Torrent.from_info(info).with_layers(_piece_layers(layout, found, recipe.version))
    return replace(
        torrent, trackers=recipe.trackers, web_seeds=recipe.web_seeds,
        comment=recipe.comment, creator=recipe.creator, created=recipe.created,
    )  # fmt: skip


def choose_piece_length(total: int) -> int:
    length = PIECE_LENGTH_LEAST
    while length < PIECE_LENGTH_MOST and total > length * PIECES_AIM:
        length *= 2
    return length


def arrange(
    name: str, sources: Sequence[Source], piece_length: int, version: str
) -> tuple[Layout, list[str]]:
    """The files in their places, with the pads of a hybrid; and where each is read."""
    files: list[File] = []
    origins: list[str] = []
    at = 0
    for source in sources:
        if version == "v2" and source.length:
            at = -(-at // piece_length) * piece_length
        files.append(File(source.parts or (name,), source.length, at))
        origins.append(source.where)
        at += source.length
        pad = -at % piece_length if version == "hybrid" and source.length else 0
        if pad and source.parts:  # a single file needs none
            files.append(File((".pad", str(pad)), pad, at, pad=True, attributes="p"))
            origins.append("")
            at += pad
    return Layout(files, piece_length, aligned=version == "v2"), origins


async def _hash_all(
    disk: Disk, layout: Layout, origins: list[str], version: str, progress: Progress | None
) -> list[Digests]:
    def show(pieces: int) -> None:
        if progress is not None:
            progress(min(pieces * layout.piece_length, layout.size), layout.size)

    line = Line(disk, layout, lambda index: (origins[index], 0))
    everything = range(layout.count)
    return await hash_pieces(
        line, everything, v1=version != "v2", v2=version != "v1", progress=show
    )


def info_fields(
    name: str, layout: Layout, recipe: Recipe, found: list[Digests], *, single: bool
) -> dict[bytes, Any]:
    """The info dictionary."""
    fields: dict[bytes, Any] = {
        b"name": os.fsencode(name), b"piece length": layout.piece_length
    }  # fmt: skip
    if recipe.private:
        fields[b"private"] = 1
    if recipe.version != "v2":
        fields[b"pieces"] = b"".join(plain for plain, _ in found)
        if single:
            fields[b"length"] = layout.files[0].length
        else:
            fields[b"files"] = [_file_entry(file) for file in layout.files]
    if recipe.version != "v1":
        fields[b"meta version"] = 2
        fields[b"file tree"] = _file_tree(layout, found)
    return fields


def _file_entry(file: File) -> dict[bytes, Any]:
    entry: dict[bytes, Any] = {b"length": file.length, b"path": [os.fsencode(p) for p in file.path]}
    if file.pad:
        entry[b"attr"] = b"p"
    return entry


def _file_tree(layout: Layout, found: list[Digests]) -> dict[bytes, Any]:
    tree: dict[bytes, Any] = {}
    for index, file in enumerate(layout.files):
        if file.pad:
            continue
        node = tree
        for part in file.path:
            node = node.setdefault(os.fsencode(part), {})
        node[b""] = {b"length": file.length}
        if file.length:
            node[b""][b"pieces root"] = _root(layout, index, found)
    return tree


def _root(layout: Layout, index: int, found: list[Digests]) -> bytes:
    layer = [found[piece][1] for piece in layout.pieces_of(index)]
    height = (layout.piece_length // BLOCK).bit_length() - 1
    return layer[0] if len(layer) == 1 else file_root(layer, height)


def _piece_layers(layout: Layout, found: list[Digests], version: str) -> dict[bytes, bytes]:
    layers = {}
    for index, file in enumerate(layout.files):
        if version != "v1" and not file.pad and file.length > layout.piece_length:
            hashes = b"".join(found[piece][1] for piece in layout.pieces_of(index))
            layers[_root(layout, index, found)] = hashes
    return layers
