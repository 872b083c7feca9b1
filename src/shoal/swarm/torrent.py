"""A torrent: what the content is called, which files it has, and the hashes that prove them.

The info dictionary is the content's identity: its SHA-1 is the v1 hash, its
SHA-256 the v2 hash, so its bytes are kept as they came.  v1 lists the SHA-1 of
every piece; v2 has a tree of files, each with the root of its hash tree, and
keeps the piece layers outside, where anybody can check them against the roots.
A hybrid has both and must describe the same files twice.

BEP 3, 12 (trackers), 19 (web seeds), 27 (private), 47 (pads), 52 (v2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha1, sha256
from typing import Any

from shoal.codec import bencode
from shoal.errors import ProtocolError
from shoal.swarm.layout import File, Layout
from shoal.swarm.magnet import Magnet
from shoal.swarm.merkle import BLOCK, HASH, HashTree, file_root, split
from shoal.swarm.paths import DEPTH_MAX, safe_part, safe_parts, told_apart

METAINFO_MAX = 128 << 20  # bytes of a whole .torrent; 4 million pieces and their layers
PIECE_LENGTH_MAX = 1 << 30  # exclusive, as libtorrent has it
FILES_MAX = 1_000_000  # files in one torrent
SIZE_MAX = 1 << 60  # bytes of all files; an offset must fit into a file system
TRACKERS_MAX = 1024  # addresses of trackers taken from one torrent

_SHA1 = 20


@dataclass(frozen=True)
class Torrent:
    """A whole torrent, read and checked."""

    info: bytes = field(repr=False)  # the info dictionary as it came
    name: str
    layout: Layout = field(repr=False)
    pieces: bytes = field(default=b"", repr=False)  # v1: SHA-1 of each piece
    layers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)  # v2: root -> hashes
    private: bool = False
    single: bool = True  # one file and no folder
    has_v2: bool = False
    trackers: tuple[tuple[str, ...], ...] = ()  # tiers
    web_seeds: tuple[str, ...] = ()
    nodes: tuple[tuple[str, int], ...] = ()
    comment: str = ""
    creator: str = ""
    created: int | None = None  # seconds since 1970

    @classmethod
    def decode(cls, data: bytes | memoryview, *, whole: bool = True) -> "Torrent":
        """Read a .torrent file; ProtocolError says what is wrong with it."""
        if len(data) > METAINFO_MAX:
            raise ProtocolError("the torrent file is too large")
        outer = bencode.decode(data, lenient=True)
        if not isinstance(outer, dict) or not isinstance(outer.get(b"info"), dict):
            raise ProtocolError("a torrent is a dictionary with an info dictionary")
        torrent = cls.from_info(bencode.raw(data, b"info", lenient=True))
        torrent = torrent.with_layers(_layers(outer.get(b"piece layers", {})))
        missing = torrent.missing_layers()
        if missing and whole:
            raise ProtocolError(f"the piece layer of {missing[0].name} is missing")
        return replace(torrent, **_outer_fields(outer))

    @classmethod
    def from_info(cls, info: bytes) -> "Torrent":
        """A torrent of its info dictionary alone, as a magnet link finds it."""
        fields = bencode.decode(info, lenient=True)
        if not isinstance(fields, dict):
            raise ProtocolError("the info dictionary is not a dictionary")
        version = fields.get(b"meta version", 1)
        has_v1 = b"pieces" in fields
        if version not in (1, 2) or (version == 1 and not has_v1):
            raise ProtocolError("a torrent of an unknown version")
        layout, single = _layout(fields, has_v1=has_v1, has_v2=version == 2)
        pieces = _bytes(fields, b"pieces") if has_v1 else b""
        if has_v1 and len(pieces) != layout.count * _SHA1:
            raise ProtocolError("the piece hashes do not fit the length of the files")
        return cls(
            info=info, name=_name(fields, info, single), layout=layout, pieces=pieces,
            private=fields.get(b"private") == 1, single=single, has_v2=version == 2,
        )  # fmt: skip

    def encode(self) -> bytes:
        """The bytes of a .torrent file."""
        outer: dict[bytes, Any] = {}
        if self.has_v2:
            outer[b"piece layers"] = dict(self.layers)
        flat = [tracker for tier in self.trackers for tracker in tier]
        if flat:
            outer[b"announce"] = flat[0].encode()
        if len(flat) > 1:
            outer[b"announce-list"] = [[t.encode() for t in tier] for tier in self.trackers]
        if self.web_seeds:
            outer[b"url-list"] = [seed.encode() for seed in self.web_seeds]
        if self.comment:
            outer[b"comment"] = self.comment.encode()
        if self.creator:
            outer[b"created by"] = self.creator.encode()
        if self.created is not None:
            outer[b"creation date"] = self.created
        parts = {key: bencode.encode(value) for key, value in outer.items()}
        parts[b"info"] = self.info  # as it came: its bytes are what is hashed
        body = b"".join(bencode.encode(key) + parts[key] for key in sorted(parts))
        return b"d" + body + b"e"

    @property
    def has_v1(self) -> bool:
        return bool(self.pieces)

    @cached_property
    def hash_v1(self) -> bytes | None:
        return sha1(self.info, usedforsecurity=False).digest() if self.has_v1 else None

    @cached_property
    def hash_v2(self) -> bytes | None:
        return sha256(self.info).digest() if self.has_v2 else None

    @property
    def hashes(self) -> list[bytes]:
        """The 20 bytes by which peers and trackers know it: two for a hybrid."""
        return wire_hashes(self.hash_v1, self.hash_v2)

    @property
    def version(self) -> str:
        if self.has_v1 and self.has_v2:
            return "hybrid"
        return "v2" if self.has_v2 else "v1"

    def hash_tree(self, root: bytes) -> HashTree | None:
        """The tree of a file from its piece layer upwards."""
        height = (self.layout.piece_length // BLOCK).bit_length() - 1
        layer = self.layers.get(root)
        return HashTree(split(layer), height) if layer else None

    def piece_layer(self, index: int) -> list[bytes]:
        """The v2 hash of every piece of a file."""
        file = self.layout.files[index]
        if file.root is None:
            return []
        if file.length <= self.layout.piece_length:
            return [file.root]
        return split(self.layers[file.root])

    @cached_property
    def roots(self) -> list[bytes]:
        """v2: the hash of every piece, in the order of the pieces."""
        files = range(len(self.layout.files)) if self.checks_v2 else range(0)
        return [each for index in files for each in self.piece_layer(index)]

    def missing_layers(self) -> list[File]:
        """Files whose piece layer has to be asked of peers first."""
        large = [file for file in self.layout.files if file.length > self.layout.piece_length]
        return [file for file in large if file.root and file.root not in self.layers]

    @cached_property
    def checks_v2(self) -> bool:
        """Pieces are proven by v2's hashes: they are known."""
        return self.has_v2 and not self.missing_layers()

    def with_layers(self, layers: Mapping[bytes, bytes]) -> "Torrent":
        """The same with these piece layers, each checked against its root."""
        known = dict(self.layers)
        length = self.layout.piece_length
        height = (length // BLOCK).bit_length() - 1
        for file in self.layout.files:
            if file.root is None or file.length <= length or file.root not in layers:
                continue
            layer = layers[file.root]
            if len(layer) != -(-file.length // length) * HASH:
                raise ProtocolError(f"the piece layer of {file.name} has a wrong length")
            if file_root(split(layer), height) != file.root:
                raise ProtocolError(f"the piece layer of {file.name} does not match its root")
            known[file.root] = layer
        return replace(self, layers=known)

    def magnet(self, peers: tuple[tuple[str, int], ...] = ()) -> Magnet:
        flat = tuple(tracker for tier in self.trackers for tracker in tier)
        return Magnet(self.hash_v1, self.hash_v2, self.name, flat, peers, web_seeds=self.web_seeds)


def wire_hashes(hash_v1: bytes | None, hash_v2: bytes | None) -> list[bytes]:
    """The v1 hash and the truncated v2 hash, as far as there are."""
    return [each[:_SHA1] for each in (hash_v1, hash_v2) if each]


def _layout(fields: dict[bytes, Any], *, has_v1: bool, has_v2: bool) -> tuple[Layout, bool]:
    length = fields.get(b"piece length")
    if not isinstance(length, int) or not 0 < length < PIECE_LENGTH_MAX:
        raise ProtocolError("the piece length is impossible")
    v1 = _files_v1(fields) if has_v1 else []
    if not has_v2:
        layout, single = Layout(v1, length, aligned=False), b"files" not in fields
    else:
        if length < BLOCK or length & (length - 1):
            raise ProtocolError("a v2 piece length is a power of two, 16 KiB or more")
        v2, single = _files_v2(fields, length)
        layout = Layout(_merged(v1, v2) if has_v1 else v2, length, aligned=not has_v1)
    if layout.size == 0:
        raise ProtocolError("the torrent has no data")
    return layout, single


def _files_v1(fields: dict[bytes, Any]) -> list[File]:
    if b"files" not in fields:
        if b"length" not in fields:
            raise ProtocolError("a torrent has neither a length nor files")
        return _placed([File((safe_part(_bytes(fields, b"name")),), _length(fields))])
    listed = fields[b"files"]
    if not isinstance(listed, list) or not 0 < len(listed) <= FILES_MAX:
        raise ProtocolError("the list of files is empty, too long or no list")
    folder = _folder(fields)
    files = []
    for entry in listed:
        if not isinstance(entry, dict):
            raise ProtocolError("a file is not a dictionary")
        parts = entry.get(b"path.utf-8", entry.get(b"path"))
        if not isinstance(parts, list) or not parts or not all(isinstance(p, bytes) for p in parts):
            raise ProtocolError("a file has no path")
        marks = _attributes(entry)
        files.append(
            File((folder, *safe_parts(parts)), _length(entry), pad="p" in marks, attributes=marks)
        )
    return _placed(files)


def _files_v2(fields: dict[bytes, Any], piece_length: int) -> tuple[list[File], bool]:
    tree = fields.get(b"file tree")
    if not isinstance(tree, dict) or not tree:
        raise ProtocolError("a v2 torrent has no file tree")
    found: list[tuple[list[bytes], dict[bytes, Any]]] = []
    _walk(tree, [], found)
    name = fields.get(b"name")
    single = len(found) == 1 and found[0][0] == [name]
    folder = () if single else (_folder(fields),)
    files = []
    for parts, entry in found:
        length, root, marks = _length(entry), entry.get(b"pieces root"), _attributes(entry)
        if length and (not isinstance(root, bytes) or len(root) != HASH):
            raise ProtocolError("a v2 file has no pieces root")
        path = (*folder, *safe_parts(parts))
        files.append(File(path, length, root=root if length else None, attributes=marks))
    return _placed(files, piece_length), single


def _walk(tree: dict[Any, Any], above: list[bytes], found: list[Any]) -> None:
    if len(above) >= DEPTH_MAX:
        raise ProtocolError("the file tree is too deep")
    for name, node in tree.items():
        if not isinstance(node, dict) or not isinstance(name, bytes) or not name:
            raise ProtocolError("the file tree is malformed")
        entry = node.get(b"")
        if isinstance(entry, dict) and len(node) == 1:
            found.append(([*above, name], entry))
        elif entry is None and node:
            _walk(node, [*above, name], found)
        else:
            raise ProtocolError("an entry of the file tree is both file and folder, or neither")
        if len(found) > FILES_MAX:
            raise ProtocolError("the torrent has too many files")


def _placed(files: list[File], align: int = 1) -> list[File]:
    """The files at their places on the line, with paths that differ."""
    real = [file.path for file in files if not file.pad]
    paths = iter(told_apart(real))
    offset, placed = 0, []
    for file in files:
        offset = -(-offset // align) * align if file.length else offset
        path = file.path if file.pad else next(paths)
        placed.append(replace(file, path=path, offset=offset))
        offset += file.length
    if offset > SIZE_MAX:
        raise ProtocolError("the torrent is too large")
    return placed


def _merged(v1: list[File], v2: list[File]) -> list[File]:
    """A hybrid's v1 files with the roots of v2; both must tell of the same files."""
    roots = iter(v2)
    merged = []
    for file in v1:
        if file.pad:
            merged.append(file)
            continue
        twin = next(roots, None)
        if twin is None or twin.path != file.path or twin.length != file.length:
            raise ProtocolError(f"v1 and v2 do not agree about {file.name}")
        if twin.offset != file.offset and file.length:
            raise ProtocolError(f"{file.name} does not begin with a piece")
        merged.append(replace(file, root=twin.root))
    if next(roots, None) is not None:
        raise ProtocolError("v2 has files that v1 does not have")
    return merged


def _length(entry: dict[bytes, Any]) -> int:
    length = entry.get(b"length")
    if not isinstance(length, int) or not 0 <= length <= SIZE_MAX:
        raise ProtocolError("a file has an impossible length")
    return length


def _attributes(entry: dict[bytes, Any]) -> str:
    marks = entry.get(b"attr", b"")
    return bytes(marks).decode("ascii", "replace") if isinstance(marks, bytes) else ""


def _bytes(fields: dict[bytes, Any], key: bytes) -> bytes:
    value = fields.get(key)
    if not isinstance(value, bytes):
        raise ProtocolError(f"{key.decode()} is missing or no string")
    return value


def _folder(fields: dict[bytes, Any]) -> str:
    """The folder of several files; a name that leads nowhere gives `_`."""
    name = fields.get(b"name.utf-8", fields.get(b"name"))
    if not isinstance(name, bytes):
        raise ProtocolError("the torrent has no name")
    return safe_part(name)


def _name(fields: dict[bytes, Any], info: bytes, single: bool) -> str:
    name = fields.get(b"name.utf-8", fields.get(b"name"))
    if not isinstance(name, bytes) or (single and name in (b"", b".", b"..", b"/")):
        raise ProtocolError("the torrent has no name")
    return safe_part(name)


def _layers(value: Any) -> dict[bytes, bytes]:
    if not isinstance(value, dict):
        raise ProtocolError("the piece layers are no dictionary")
    if not all(isinstance(each, bytes) for pair in value.items() for each in pair):
        raise ProtocolError("the piece layers are malformed")
    return value


def _outer_fields(outer: dict[bytes, Any]) -> dict[str, Any]:
    """What is said beside the info dictionary; what is malformed is passed over."""
    created = outer.get(b"creation date")
    seeds = outer.get(b"url-list", [])
    nodes = outer.get(b"nodes")
    return {
        "trackers": _tiers(outer),
        "web_seeds": tuple(_texts(seeds if isinstance(seeds, list) else [seeds])),
        "nodes": tuple(
            (_text(node[0]), node[1])
            for node in (nodes if isinstance(nodes, list) else [])[:TRACKERS_MAX]
            if isinstance(node, list) and len(node) == 2
            and isinstance(node[0], bytes) and isinstance(node[1], int) and 0 < node[1] < 65536
        ),
        "comment": _text(outer.get(b"comment")),
        "creator": _text(outer.get(b"created by")),
        "created": created if isinstance(created, int) else None,
    }  # fmt: skip


def _tiers(outer: dict[bytes, Any]) -> tuple[tuple[str, ...], ...]:
    tiers = outer.get(b"announce-list")
    found = []
    if isinstance(tiers, list):
        found = [tuple(_texts(tier)) for tier in tiers[:TRACKERS_MAX] if isinstance(tier, list)]
    found = [tier for tier in found if tier]
    announce = _text(outer.get(b"announce"))
    return tuple(found) if found or not announce else ((announce,),)


def _texts(values: list[Any]) -> list[str]:
    return [text for value in values[:TRACKERS_MAX] if (text := _text(value))]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
