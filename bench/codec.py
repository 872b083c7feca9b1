"""Bencoding beside bencode.py (Python) and bencode2 (C++), protobuf beside Google's (C).

Claim: bencoding, though strict, is faster than the other one in plain Python.
"""

import sys
from collections.abc import Callable
from random import Random
from typing import Any

import bencode2
import bencodepy
from bench.table import claim, compare, show_rivals
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from shoal.codec import bencode
from shoal.codec.protobuf import Message, field

_Wire = descriptor_pb2.FieldDescriptorProto


def bencode_cases() -> dict[str, Any]:
    rng = Random(1)
    files = [
        {b"length": rng.randrange(2**30), b"path": [b"folder", b"file%d" % number]}
        for number in range(1000)
    ]
    one = {b"length": 2**30, b"name": b"one.iso", b"piece length": 2**19}
    return {
        "torrent, one file, 2,048 pieces": {
            b"announce": b"http://tracker.example/announce",
            b"created by": b"shoal",
            b"creation date": 1700000000,
            b"info": {**one, b"pieces": rng.randbytes(20 * 2048), b"private": 1},
        },
        "torrent, 1,000 files": {
            b"info": {b"files": files, b"name": b"many", b"pieces": rng.randbytes(20 * 2000)}
        },
        "KRPC query": {
            b"a": {b"id": rng.randbytes(20), b"info_hash": rng.randbytes(20)},
            b"q": b"get_peers",
            b"t": b"aa",
            b"v": b"SH01",
            b"y": b"q",
        },
        "KRPC reply, 8 nodes, 20 peers": {
            b"r": {
                b"id": rng.randbytes(20),
                b"nodes": rng.randbytes(26 * 8),
                b"token": rng.randbytes(8),
                b"values": [rng.randbytes(6) for _ in range(20)],
            },
            b"t": b"aa",
            b"y": b"r",
        },
        "dictionary of 1,000 integers": {
            b"%06d" % number: rng.randrange(2**40) for number in range(1000)
        },
    }


class Peer(Message):
    id: bytes = field(1)
    addresses: list[bytes] = field(2)
    connection: int = field(3)


class Kad(Message):
    type: int = field(1)
    key: bytes = field(2)
    closer: list[Peer] = field(8)


def google_kad() -> Any:
    """The same messages for Google's library."""
    file = descriptor_pb2.FileDescriptorProto(name="kad.proto", syntax="proto3")
    peer, kad = file.message_type.add(name="Peer"), file.message_type.add(name="Kad")
    once, many = _Wire.LABEL_OPTIONAL, _Wire.LABEL_REPEATED
    peer.field.add(name="id", number=1, type=_Wire.TYPE_BYTES, label=once)
    peer.field.add(name="addresses", number=2, type=_Wire.TYPE_BYTES, label=many)
    peer.field.add(name="connection", number=3, type=_Wire.TYPE_UINT64, label=once)
    kad.field.add(name="type", number=1, type=_Wire.TYPE_UINT64, label=once)
    kad.field.add(name="key", number=2, type=_Wire.TYPE_BYTES, label=once)
    kad.field.add(name="closer", number=8, type=_Wire.TYPE_MESSAGE, type_name=".Peer", label=many)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Kad"))


def main() -> int:
    decoding, encoding = {}, {}
    for name, value in bencode_cases().items():
        data = bencode.encode(value)
        decoding[name] = compare(bencode_decoders(data))
        encoding[name] = compare(bencode_encoders(value))
    show_rivals("Bencoding: decode", "shoal", decoding)
    show_rivals("Bencoding: encode", "shoal", encoding)
    both = [*decoding.values(), *encoding.values()]
    faster = all(times["shoal"] < times["bencode.py"] for times in both)
    claim("bencoding is faster than bencode.py in every case", holds=faster)
    show_rivals("Protobuf: a kad answer of 20 peers with 4 addresses each", "shoal", protobuf())
    return 0 if faster else 1


def bencode_decoders(data: bytes) -> dict[str, Callable[[], object]]:
    assert bencode.decode(data) == bencodepy.decode(data) == bencode2.bdecode(data)
    return {
        "shoal": lambda: bencode.decode(data),
        "bencode.py": lambda: bencodepy.decode(data),
        "bencode2 (C++)": lambda: bencode2.bdecode(data),
    }


def bencode_encoders(value: Any) -> dict[str, Callable[[], object]]:
    assert bencode.encode(value) == bencodepy.encode(value) == bencode2.bencode(value)
    return {
        "shoal": lambda: bencode.encode(value),
        "bencode.py": lambda: bencodepy.encode(value),
        "bencode2 (C++)": lambda: bencode2.bencode(value),
    }


def protobuf() -> dict[str, dict[str, float]]:
    peers = [Peer(bytes((number,)) * 38, [bytes(8)] * 4, 1) for number in range(20)]
    ours = Kad(4, b"k" * 36, peers)
    data = ours.encode()
    google = google_kad()
    theirs = google.FromString(data)
    assert theirs.SerializeToString(deterministic=True) == data

    def read_theirs() -> list[tuple[bytes, list[bytes]]]:
        """Google's library makes Python objects when they are asked for; ours has made them."""
        return [(peer.id, list(peer.addresses)) for peer in google.FromString(data).closer]

    return {
        "decode": compare({"shoal": lambda: Kad.decode(data), "protobuf (C)": read_theirs}),
        "encode": compare(
            {"shoal": ours.encode, "protobuf (C)": theirs.SerializeToString},
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
