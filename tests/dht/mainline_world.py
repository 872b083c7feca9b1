"""Mainline cores that hear each other at once: bytes without sockets or time."""

import random
from collections import deque

from shoal.codec import bencode
from shoal.dht.guard import Guard
from shoal.dht.kademlia import Parameters
from shoal.dht.krpc import Address, Query, encode_query
from shoal.dht.mainline.core import MAINLINE, Mainline

ASKER = b"abcdefghij0123456789"
TARGET = b"mnopqrstuvwxyz123456"


class Wires:
    """Every core's datagrams, delivered in order."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.cores: dict[Address, Mainline] = {}

    def add(
        self, host: str, port: int = 6881, parameters: Parameters = MAINLINE, **options: object
    ) -> Mainline:
        rng = random.Random(self.rng.getrandbits(64))
        guard = Guard(self.now, rate=1e6)
        core = Mainline(rng, self.now, parameters=parameters, guard=guard, **options)  # type: ignore[arg-type]
        self.cores[host, port] = core
        return core

    def run(self) -> None:
        """Until nobody has anything to say."""
        letters: deque[tuple[Address, bytes, Address]] = deque()
        while True:
            for address, core in self.cores.items():
                letters += [(address, data, to) for data, to in core.out]
                core.out.clear()
            if not letters:
                return
            source, data, to = letters.popleft()
            if to in self.cores:
                self.cores[to].receive(data, source, self.now)

    def wait(self, seconds: float) -> None:
        """Let timers run."""
        ends = self.now + seconds
        while self.now < ends:
            self.now = min(
                ends, *(max(core.deadline, self.now + 0.01) for core in self.cores.values())
            )
            for core in self.cores.values():
                core.tick(self.now)
            self.run()


def network(size: int, seed: int = 1, prefix: str = "10.0") -> Wires:
    wires = Wires(seed)
    for number in range(size):
        core = wires.add(f"{prefix}.{number // 250}.{number % 250 + 1}")
        core.join(wires.now, [next(iter(wires.cores))] if number else [])
        wires.run()
    return wires


def neighbour(core: Mainline) -> bytes:
    """An id for which there is always room in the table: the very next."""
    return core.id[:-1] + bytes([core.id[-1] ^ 1])


def query(method: bytes, transaction: bytes = b"aa", **arguments: object) -> bytes:
    fields = {name.encode(): value for name, value in arguments.items()}
    return encode_query(Query(transaction, method, {b"id": ASKER, **fields}))


def ask(
    core: Mainline, data: bytes, address: Address = ("9.9.9.9", 999), now: float = 1000.0
) -> dict[bytes, object]:
    """The reply to a datagram, decoded; empty if there is none. Questions are dropped."""
    core.receive(data, address, now)
    replies = [bencode.decode(sent) for sent, to in core.out if to == address]
    core.out.clear()
    answers = [reply for reply in replies if isinstance(reply, dict) and reply[b"y"] != b"q"]
    assert len(answers) <= 1
    return answers[0] if answers else {}
