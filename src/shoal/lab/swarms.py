"""Swarms by their engines alone: many peers, one clock, no bytes.

Real exchanges and servings (`swarm/exchange.py`, `swarm/serving.py`) talk to
each other without a wire: a message takes DELAY, a block also its time through
the sender's and the receiver's link, where blocks of all connections take
turns.  A swarm of 100 and some thousand blocks so takes seconds, and the same
seed gives the same row.

Cohen, "Incentives build robustness in BitTorrent" (2003); Legout, Urvoy-Keller,
Michiardi, "Rarest first and choke algorithms are enough" (2006).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from random import Random
from statistics import fmean
from typing import Any

from shoal.swarm.choker import Candidate, Choker
from shoal.swarm.exchange import Exchange
from shoal.swarm.layout import File, Layout
from shoal.swarm.picker import Order
from shoal.swarm.pieces import BLOCK, Bitfield, Partial
from shoal.swarm.remote import Remote, Signal
from shoal.swarm.serving import Serving

DELAY = 0.05  # seconds one way
TICK = 1.0  # seconds, as a transfer has it
NEIGHBOURS = 30  # connections that a peer opens
PATIENCE = 50_000.0  # seconds until a swarm is given up
ZEROS = memoryview(bytes(1 << 20))  # every block of every content


@dataclass(frozen=True, slots=True)
class Setting:
    """What a swarm is made of; rates in bytes a second."""

    contributors: int = 70
    riders: int = 0  # fetch and serve nobody
    seeds: int = 1
    size: int = 6 << 20
    piece: int = 32 << 10
    up: float = 75_000.0
    down: float = 300_000.0
    seed_up: float = 300_000.0
    order: Order = Order.RAREST
    fair: bool = True  # False: no tit for tat, places are given by chance
    lingers: float = 30.0  # seconds for which a contributor that is complete serves on


class Stingy(Choker):
    """Serves nobody."""

    def decide(self, peers: Sequence[Candidate], *, seeding: bool, now: float) -> list[int]:
        self.deadline = float("inf")
        return []

    def has_room(self, unchoked: int, *, taker: bool = False) -> bool:
        return False


class Even(Choker):
    """Serves by chance: what tit for tat is compared with."""

    def decide(self, peers: Sequence[Candidate], *, seeding: bool, now: float) -> list[int]:
        self.deadline = now + 10.0
        keys = [peer.key for peer in peers if peer.interested]
        return self.rng.sample(keys, min(self.slots, len(keys)))


class Connection:
    """One side of a connection: what a peer is told about, and tells, another."""

    def __init__(self, world: "SwarmWorld", here: "Peer", there: "Peer") -> None:
        self.world = world
        self.here = here
        self.there = there
        self.other: Connection
        self.remote: Remote  # there, as it is seen from here
        self.waiting = False  # in the line for the uplink
        self.open = True

    def ask(self, partial: Partial, blocks: list[int]) -> None:
        requests = [(partial.piece, block * BLOCK, partial.length(block)) for block in blocks]
        self.world.after(DELAY, self.other.asked, requests)

    def tell(self, signal: Signal, piece: int = 0, begin: int = 0, length: int = 0) -> None:
        if signal is Signal.READY:
            self.here.offer(self)
        else:
            self.world.after(DELAY, self.other.told, signal, piece, begin, length)

    def close(self, reason: str) -> None:
        if self.open:
            self.world.after(0.0, self.cut)

    def cut(self) -> None:
        for side in (self, self.other):
            if side.open:
                side.open = False
                side.here.exchange.leave(side.remote)
                side.here.connections.pop(side.there, None)

    def asked(self, requests: list[tuple[int, int, int]]) -> None:
        if self.open:
            for piece, begin, length in requests:
                self.here.serving.requested(self.remote, piece, begin, length)
            self.here.offer(self)

    def told(self, signal: Signal, piece: int, begin: int, length: int) -> None:
        if not self.open:
            return
        exchange, serving, now = self.here.exchange, self.here.serving, self.world.now
        if signal is Signal.HAVE:
            exchange.has_piece(self.remote, piece, now)
        elif signal is Signal.INTERESTED:
            serving.interested(self.remote, now)
        elif signal is Signal.NOT_INTERESTED:
            serving.not_interested(self.remote)
        elif signal is Signal.UNCHOKE:
            exchange.unchoked(self.remote, now)
        elif signal is Signal.CHOKE:
            exchange.choked(self.remote)
        elif signal is Signal.CANCEL:
            serving.cancelled(self.remote, piece, begin, length)
        elif signal is Signal.REJECT:
            exchange.rejected(self.remote, piece, begin, now)

    def arrived(self, piece: int, begin: int, data: memoryview) -> None:
        if self.open:
            self.here.exchange.block(self.remote, piece, begin, data, self.world.now)
            self.here.settle()
            self.here.exchange.requests.fill(self.remote, self.world.now)


class Peer:
    """A peer: its engines and its link."""

    def __init__(self, world: "SwarmWorld", kind: str, up: float) -> None:
        setting, now = world.setting, world.now
        self.world = world
        self.kind = kind
        self.name = f"{kind} {len(world.peers)}"
        self.up = up
        self.finished: float | None = None
        self.here = True
        rng = Random(world.rng.getrandbits(64))
        layout = world.layout
        have = Bitfield.full(layout.count) if kind == "seed" else Bitfield(layout.count)
        self.exchange = Exchange(layout, rng, now, have=have, order=setting.order)
        choker = Stingy(rng) if kind == "rider" else Choker(rng) if setting.fair else Even(rng)
        self.serving = Serving(
            layout, have, self.exchange.remotes, rng, now,
            credit=self.exchange.credit, choker=choker,
        )  # fmt: skip
        self.serving.seeding = kind == "seed"
        self.serving.on_load = self._load
        self.connections: dict[Peer, Connection] = {}
        self.sent = 0  # bytes
        self._line: deque[Connection] = deque()  # who has something to be sent
        self._busy = False
        self._down_free = 0.0  # when the downlink is idle

    def _load(self) -> None:
        chunks, self.serving.to_load[:] = list(self.serving.to_load), []
        for chunk in chunks:
            self.world.after(0.0, self.serving.loaded, chunk, ZEROS[: self.serving.chunk])

    def connect(self, other: "Peer") -> None:
        here, there = Connection(self.world, self, other), Connection(self.world, other, self)
        here.other, there.other = there, here
        for side in (here, there):
            side.here.connections[side.there] = side
            address = side.there.name
            side.remote = side.here.exchange.join(side, address, self.world.now)
            side.remote.fast = True
        for side in (here, there):
            has = side.there.exchange.have
            side.here.exchange.has_pieces(side.remote, Bitfield(has.size, bytearray(has.bits)))

    def offer(self, connection: Connection) -> None:
        """There may be something to send on it."""
        if not connection.waiting:
            connection.waiting = True
            self._line.append(connection)
        self._send()

    def _send(self) -> None:
        """The next block of the next connection takes the uplink."""
        world = self.world
        while not self._busy and self._line:
            connection = self._line.popleft()
            connection.waiting = False
            upload = None
            if connection.open:
                upload = self.serving.next_block(connection.remote, world.now)
            if upload is None:
                continue
            self._busy = True
            self.sent += len(upload[2])
            world.after(len(upload[2]) / self.up, self._sent, connection, upload)

    def _sent(self, connection: Connection, upload: tuple[int, int, memoryview]) -> None:
        world, there = self.world, connection.there
        begin = max(world.now + DELAY, there._down_free)
        there._down_free = begin + len(upload[2]) / world.setting.down
        world.after(there._down_free - world.now, connection.other.arrived, *upload)
        self._busy = False
        self.offer(connection)

    def settle(self) -> None:
        """Pieces that are whole are right."""
        exchange, now = self.exchange, self.world.now
        while exchange.finished:
            exchange.proven(exchange.finished.pop().piece, now)
        if exchange.complete and self.finished is None:
            self.finished = now
            self.serving.seeding = True

    @property
    def done(self) -> bool:
        """It has everything and goes; a rider at once."""
        lingers = self.world.setting.lingers if self.kind == "contributor" else 0.0
        return self.finished is not None and self.world.now >= self.finished + lingers

    def leave(self) -> None:
        self.here = False
        for connection in list(self.connections.values()):
            connection.cut()

    def tick(self) -> None:
        now = self.world.now
        if self.done:
            self.leave()
            return
        self.exchange.tick(now)
        self.serving.tick(now)
        for connection in self.connections.values():
            if self.exchange.seeding and connection.remote.has.complete:
                connection.close("both have everything")


class SwarmWorld:
    """A swarm that begins at one moment."""

    def __init__(self, seed: int, setting: Setting) -> None:
        self.rng = Random(seed)
        self.setting = setting
        self.now = 1000.0
        content = File(("content",), setting.size)
        self.layout = Layout([content], setting.piece, aligned=False)
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._order = 0
        self.peers: list[Peer] = []
        for kind, count in (
            ("seed", setting.seeds), ("contributor", setting.contributors),
            ("rider", setting.riders),
        ):  # fmt: skip
            up = setting.seed_up if kind == "seed" else setting.up
            for _ in range(count):
                self.peers.append(Peer(self, kind, up))
        self.seeds = [peer for peer in self.peers if peer.kind == "seed"]
        for peer in self.peers:
            self._introduce(peer)
            self.after(self.rng.random() * TICK, self._tick, peer)

    def after(self, seconds: float, action: Any, *arguments: Any) -> None:
        self._order += 1
        heappush(self._events, (self.now + seconds, self._order, action, arguments))

    def _introduce(self, peer: Peer) -> None:
        """As a tracker does: everybody is told the seeds and, with few connections, others."""
        knows = peer.exchange.seeding or all(seed in peer.connections for seed in self.seeds)
        if knows and len(peer.connections) >= NEIGHBOURS // 2:
            return
        others = [
            other for other in self.peers
            if other is not peer and other.here and other not in peer.connections
            and not (other.exchange.seeding and peer.exchange.seeding)
        ]  # fmt: skip
        for seed in [other for other in others if other.kind == "seed"]:
            peer.connect(seed)
        others = [other for other in others if other.kind != "seed"]
        lacking = NEIGHBOURS // 2 - len(peer.connections)
        for other in self.rng.sample(others, min(max(lacking, 0), len(others))):
            peer.connect(other)

    def _tick(self, peer: Peer) -> None:
        if peer.here:
            self._introduce(peer)
            peer.tick()
            self.after(TICK, self._tick, peer)

    def run(self) -> None:
        """Until everybody has finished."""
        fetching = [peer for peer in self.peers if peer.kind != "seed"]
        while any(peer.finished is None for peer in fetching) and self.now < PATIENCE:
            for _ in range(1000):
                if not self._events:
                    return
                self.now, _, action, arguments = heappop(self._events)
                action(*arguments)

    def times(self, kind: str) -> list[float]:
        return sorted(
            peer.finished - 1000.0 for peer in self.peers
            if peer.kind == kind and peer.finished is not None
        )  # fmt: skip


def race(seed: int, setting: Setting) -> dict[str, Any]:
    """How long everybody takes in one swarm."""
    world = SwarmWorld(seed, setting)
    world.run()
    times = world.times("contributor")
    return {
        "order": setting.order.value,
        "tit_for_tat": setting.fair,
        "contributors": setting.contributors,
        "finished": len(times),
        "mean_s": round(fmean(times), 1),
        "last_s": round(times[-1], 1),
        "riders_s": round(fmean(late), 1) if (late := world.times("rider")) else None,
        "seed_copies": round(world.peers[0].sent / setting.size, 2),
    }


def orders(seed: int, setting: Setting) -> list[dict[str, Any]]:
    """Rarest first beside random pieces."""
    both = (Order.RAREST, Order.RANDOM)
    return [race(seed, replace(setting, order=order)) for order in both]


def fairness(seed: int, setting: Setting, *, count: int) -> list[dict[str, Any]]:
    """Tit for tat beside places given by chance, among free riders."""
    return [race(seed, replace(setting, riders=count, fair=fair)) for fair in (True, False)]


def riders(seed: int, setting: Setting, *, count: int) -> dict[str, Any]:
    """What free riders cost the contributors, and themselves."""
    alone = race(seed, setting)
    among = race(seed, replace(setting, riders=count))
    return {
        "seed": seed,
        "riders": count,
        "alone_s": alone["mean_s"],
        "among_s": among["mean_s"],
        "riders_s": among["riders_s"],
        "delay": round(among["mean_s"] / alone["mean_s"], 3),
        "later": round(among["riders_s"] / among["mean_s"], 2),
    }
