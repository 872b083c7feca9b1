"""Peers in memory: wire cores joined by hand, files that are bytes.  No loop, no sockets."""

import random
from dataclasses import dataclass, field
from functools import cache

from tests.swarm.contents import PIECE, counting

from shoal.codec import bencode
from shoal.swarm.bittorrent import PeerWire
from shoal.swarm.exchange import Exchange
from shoal.swarm.hashing import blame_hashes, digest, make_task, verify
from shoal.swarm.make import Recipe, Source, _piece_layers, arrange, info_fields
from shoal.swarm.pieces import Bitfield
from shoal.swarm.serving import Serving
from shoal.swarm.session import Session
from shoal.swarm.torrent import Torrent


@cache
def torrent_of(size: int, version: str = "v1", piece_length: int = PIECE) -> Torrent:
    """A torrent of one file of `counting` bytes, without a disk."""
    data = memoryview(counting(size))
    layout, _ = arrange("x", [Source("", (), size)], piece_length, version)
    found = []
    for piece in range(layout.count):
        start = piece * piece_length
        task = make_task(layout, piece, data[start : start + layout.data_size(piece)], v2=True)
        found.append(digest(task, v1=True, v2=True))
    recipe = Recipe(version, piece_length)
    info = bencode.encode(info_fields("x", layout, recipe, found, single=True))
    return Torrent.from_info(info).with_layers(_piece_layers(layout, found, version))


@dataclass
class Node:
    """One side: a session whose content is in memory."""

    torrent: Torrent
    has: bool
    seed: int = 1
    knows: bool = True  # has the metadata
    address: str = "127.0.0.1"
    liar: bool = False  # serves other bytes
    data: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        known = self.torrent if self.knows else None
        peer_id = b"-XX0000-%012d" % self.seed
        self.session = Session(
            self.torrent.hash_v1, self.torrent.hash_v2, peer_id, rng, torrent=known
        )
        self.data = bytearray(counting(self.torrent.layout.end) if self.has else b"")
        self.data += bytes(self.torrent.layout.end - len(self.data))
        self.session.on_metadata = self.session.on_layers = self.begin
        self.rng = rng
        self.now = 0.0
        if self.knows:
            self.begin()

    def begin(self) -> None:
        if not self.session.ready or self.session.exchange is not None:
            return
        torrent = self.session.torrent
        assert torrent is not None
        layout = torrent.layout
        have = Bitfield.full(layout.count) if self.has else Bitfield(layout.count)
        exchange = Exchange(layout, self.rng, self.now, have=have)
        serving = Serving(layout, have, exchange.remotes, self.rng, self.now)
        serving.seeding = exchange.complete
        exchange.on_finished = self.prove
        serving.on_load = self.load
        self.session.begin(exchange, serving, self.now)

    def prove(self) -> None:
        exchange, torrent = self.session.exchange, self.session.torrent
        assert exchange is not None
        assert torrent is not None
        finished, exchange.finished[:] = list(exchange.finished), []
        for each in finished:
            assert each.data is not None
            task = make_task(torrent.layout, each.piece, each.data, v2=torrent.checks_v2)
            if verify(torrent, [task])[0]:
                start = each.piece * torrent.layout.piece_length
                self.data[start : start + len(each.data)] = each.data
                exchange.proven(each.piece, self.now, blame_hashes(each.data))
            else:
                exchange.failed(each.piece, blame_hashes(each.data), self.now)

    def load(self) -> None:
        serving = self.session.serving
        assert serving is not None
        for chunk in serving.to_load:
            data = self.data[chunk * serving.chunk : (chunk + 1) * serving.chunk]
            if self.liar:
                data = bytearray(255 - byte for byte in data)
            serving.loaded(chunk, memoryview(data))
        serving.to_load.clear()

    @property
    def complete(self) -> bool:
        return self.session.complete and bytes(self.data) == counting(self.torrent.layout.end)


class Cable:
    """A connection between two nodes."""

    def __init__(self, a: Node, b: Node, *, step: int | None = None) -> None:
        self.nodes = (a, b)
        self.step = step  # bytes handed on at a time; None: all
        info_hash = a.session.hashes[0]
        self.ends = (
            PeerWire(lambda each: None, b.address, session=a.session, info_hash=info_hash),
            PeerWire(lambda each: b.session if each in b.session.hashes else None, a.address),
        )  # fmt: skip
        self.buffers = (bytearray(), bytearray())  # what waits for each end
        self.reasons: list[str] = []
        for end in self.ends:
            end.shut = self.reasons.append

    def pump(self, now: float) -> bool:
        """Hand on what both have written; True if anything moved."""
        moved = False
        for side in (0, 1):
            end, other = self.ends[side], self.ends[1 - side]
            self.nodes[side].now = now
            due = end.deadline
            if due is not None and due <= now:
                end.tick(now)
            written = b"".join(bytes(part) for part in end.out)
            end.out.clear()
            if written and not self.reasons:
                moved = True
                self._deliver(other, 1 - side, written, now)
        return moved

    def _deliver(self, end: PeerWire, side: int, data: bytes, now: float) -> None:
        buffer = self.buffers[side]
        step = self.step or len(data)
        for at in range(0, len(data), step):
            buffer += data[at : at + step]
            used = end.receive(memoryview(bytes(buffer)), now)
            del buffer[:used]

    def cut(self) -> None:
        for end in self.ends:
            end.closed(None)


def run(nodes: list[Node], cables: list[Cable], until: float = 300.0, now: float = 0.0) -> float:
    """Pump until nothing moves, then let time pass; ends when all are complete."""
    while now < until:
        while any(cable.pump(now) for cable in cables):
            pass
        if all(node.complete for node in nodes):
            return now
        now += 1.0
        for node in nodes:
            node.now = now
            if node.session.exchange is not None and node.session.serving is not None:
                node.session.exchange.tick(now)
                node.session.serving.seeding = node.session.exchange.complete
                node.session.serving.tick(now)
    return now
