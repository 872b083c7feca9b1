"""Torrents of every version have the hashes that other programs give them."""

import contextlib

import pytest
from hypothesis import given, strategies as st
from tests.swarm.contents import MULTI, make, write_tree

from shoal.codec import bencode
from shoal.errors import ProtocolError, UsageError
from shoal.swarm import torrent as module
from shoal.swarm.make import Recipe, choose_piece_length
from shoal.swarm.torrent import Torrent

V1 = "26e55a2595cfdc9fc2ac897a81af772b9119c509"
V2 = "0e7a6b9593ca210efb60edff13ca9ea862dab545a4b17b35454cdcf74e180b9f"
HYBRID = (
    "96b6e762c99038b4b1c8f28d921d96a60b534a08",
    "d5614d1e3aeb6204388620b14275a841cc2ec69e1f29ef6bc7bfc2862a22f096",
)
MULTI_HYBRID = (
    "7853e2318e11a4e9ce029733c4be8e8f250e4480",
    "997b6e01d64f6d96374ab01c78e684ef5367343ec228b78e0ac164f0e24bf305",
)


def hexes(torrent: Torrent) -> tuple[str | None, str | None]:
    v1, v2 = torrent.hash_v1, torrent.hash_v2
    return v1.hex() if v1 else None, v2.hex() if v2 else None


@pytest.fixture
def one(tmp_path):
    write_tree(tmp_path, {"one.bin": 100_000})
    return tmp_path / "one.bin"


@pytest.fixture
def multi(tmp_path):
    write_tree(tmp_path / "multi", MULTI)
    return tmp_path / "multi"


def test_one_file_has_the_known_hashes(one):
    assert hexes(make(one, "v1")) == (V1, None)
    assert hexes(make(one, "v2")) == (None, V2)
    assert hexes(make(one, "hybrid")) == HYBRID


def test_a_hybrid_folder_with_pads_has_the_known_hashes(multi):
    torrent = make(multi, "hybrid")
    assert hexes(torrent) == MULTI_HYBRID
    assert [file.name for file in torrent.layout.files if not file.pad] == [
        f"multi/{name}" for name in MULTI
    ]
    assert torrent.layout.size == sum(MULTI.values())


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_a_torrent_file_reads_back_as_it_was_made(multi, version):
    torrent = make(multi, version)
    again = Torrent.decode(torrent.encode())
    assert again.encode() == torrent.encode()
    assert hexes(again) == hexes(torrent)
    assert again.version == version
    assert again.roots == torrent.roots


def test_a_hybrid_is_known_by_two_hashes_and_v2_by_a_short_one(one):
    assert [each.hex() for each in make(one, "v2").hashes] == [V2[:40]]
    assert [each.hex() for each in make(one, "hybrid").hashes] == [HYBRID[0], HYBRID[1][:40]]


def test_what_is_said_beside_the_info_is_read(one):
    torrent = make(one, "v1")
    outer = bencode.decode(torrent.encode())
    outer |= {
        b"announce": b"http://a/", b"announce-list": [[b"http://a/", b"udp://b:1"], [b"http://c/"]],
        b"url-list": b"http://seed/", b"comment": b"hello", b"created by": b"me",
        b"creation date": 7, b"nodes": [[b"127.0.0.1", 6881], [b"bad"], [b"x", 0]],
    }  # fmt: skip
    read = Torrent.decode(bencode.encode(outer))
    assert read.trackers == (("http://a/", "udp://b:1"), ("http://c/",))
    assert (read.web_seeds, read.comment, read.created) == (("http://seed/",), "hello", 7)
    assert read.nodes == (("127.0.0.1", 6881),)
    assert read.hash_v1 == torrent.hash_v1


def info_v1(**changes):
    info = {
        b"name": b"x", b"piece length": 16384, b"length": 20000, b"pieces": bytes(40),
    }  # fmt: skip
    info |= {key.replace("_", " ").encode(): value for key, value in changes.items()}
    return {key: value for key, value in info.items() if value is not None}


REFUSED = {
    "negative length": info_v1(length=-1),
    "no data": info_v1(length=0, pieces=b""),
    "missing length": info_v1(length=None),
    "hashes of a wrong length": info_v1(pieces=bytes(41)),
    "too few hashes": info_v1(pieces=bytes(20)),
    "piece length 0": info_v1(piece_length=0),
    "piece length 1 GiB": info_v1(piece_length=1 << 30),
    "huge": info_v1(length=1 << 61),
    "no name": info_v1(name=None),
    "a name that is the folder above": info_v1(name=b".."),
    "empty list of files": info_v1(length=None, files=[]),
    "a file that is a number": info_v1(length=None, files=[5]),
    "an empty path": info_v1(length=None, files=[{b"length": 20000, b"path": []}]),
    "version 3": info_v1() | {b"meta version": 3},
    "v2 without a tree": info_v1() | {b"meta version": 2},
    "v2 with an odd piece length": {
        b"meta version": 2, b"name": b"x", b"piece length": 20000,
        b"file tree": {b"x": {b"": {b"length": 1, b"pieces root": bytes(32)}}},
    },
    "v2 without a root": {
        b"meta version": 2, b"name": b"x", b"piece length": 16384,
        b"file tree": {b"x": {b"": {b"length": 1}}},
    },
    "an entry that is file and folder": {
        b"meta version": 2, b"name": b"x", b"piece length": 16384,
        b"file tree": {b"x": {b"": {b"length": 0}, b"y": {b"": {b"length": 0}}}},
    },
    "a hybrid that tells of two files": info_v1() | {
        b"meta version": 2,
        b"file tree": {b"y": {b"": {b"length": 20000, b"pieces root": bytes(32)}}},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_info_dictionary_is_refused(case):
    with pytest.raises(ProtocolError):
        Torrent.from_info(bencode.encode(REFUSED[case]))


def test_a_tree_of_folders_without_end_is_refused():
    tree = {b"x": {b"": {b"length": 1, b"pieces root": bytes(32)}}}
    for _ in range(70):
        tree = {b"x": tree}
    info = {b"meta version": 2, b"name": b"n", b"piece length": 16384, b"file tree": tree}
    with pytest.raises(ProtocolError, match="too deep"):
        Torrent.from_info(bencode.encode(info))


def test_too_many_files_are_refused(monkeypatch):
    monkeypatch.setattr(module, "FILES_MAX", 3)
    files = [{b"length": 5000, b"path": [b"%d" % number]} for number in range(4)]
    with pytest.raises(ProtocolError, match="files"):
        Torrent.from_info(bencode.encode(info_v1(length=None, files=files)))


def test_a_too_large_file_is_refused_before_it_is_read(monkeypatch, one):
    data = make(one, "v1").encode()
    monkeypatch.setattr(module, "METAINFO_MAX", len(data) - 1)
    with pytest.raises(ProtocolError, match="too large"):
        Torrent.decode(data)


def test_a_forged_piece_layer_is_refused(one):
    outer = bencode.decode(make(one, "v2").encode())
    root, layer = next(iter(outer[b"piece layers"].items()))
    for forged in ({root: bytes(len(layer))}, {root: layer[:32]}, {}, 5):
        with pytest.raises(ProtocolError):
            Torrent.decode(bencode.encode(outer | {b"piece layers": forged}))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_protocol_errors(data):
    for read in (Torrent.decode, Torrent.from_info):
        with pytest.raises(ProtocolError):
            read(data)


@given(st.data())
def test_a_damaged_torrent_raises_nothing_but_protocol_errors(data):
    whole = bytearray(bencode.encode({b"info": info_v1(), b"announce": b"http://x/"}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        Torrent.decode(bytes(whole))


def test_paths_that_lead_out_stay_inside():
    files = [
        {b"length": 10000, b"path": [b"..", b"x"]},
        {b"length": 5000, b"path": [b"/abs"]},
        {b"length": 5000, b"path": [b"a/b"]},
    ]
    info = info_v1(length=None, files=files, name=b"../../etc/x")
    torrent = Torrent.from_info(bencode.encode(info))
    assert [f.name for f in torrent.layout.files] == [
        "....etcx/_/x", "....etcx/abs", "....etcx/ab",
    ]  # fmt: skip


def test_the_magnet_of_a_torrent_names_its_hashes(one):
    torrent = make(one, "hybrid")
    magnet = torrent.magnet()
    assert (magnet.hash_v1, magnet.hash_v2) == (torrent.hash_v1, torrent.hash_v2)
    assert magnet.name == "one.bin"


def test_piece_lengths_grow_with_the_content():
    assert choose_piece_length(1) == 65536
    assert choose_piece_length(1 << 30) == 1 << 19
    assert choose_piece_length(1 << 50) == 16 << 20


@pytest.mark.parametrize("bad", [{"version": "v3"}, {"piece_length": 20000}, {"piece_length": 1}])
def test_impossible_recipes_are_usage_errors(bad):
    with pytest.raises(UsageError):
        Recipe(**bad)


def test_links_are_not_followed_when_a_folder_is_shared(multi, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (multi / "link").symlink_to(tmp_path / "secret")
    (multi / "loop").symlink_to(multi)
    assert hexes(make(multi, "hybrid")) == MULTI_HYBRID
