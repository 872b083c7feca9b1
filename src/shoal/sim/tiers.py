"""Three kinds of nodes for one scenario, by how much of them is simulated.

    Hosts   wire: real code with sockets, tasks and disks        to ten thousand
    Cores   core: engines without tasks; messages are objects    to a hundred thousand
    Graph   graph: tables of neighbours; hops, no time           to a million

All are numbered from 0 and can be up or down, crash, restart, be cut from each
other and healed, so churn, fault plans and scenarios treat them alike.
"""

from array import array
from collections.abc import Callable, Coroutine, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from shoal.sim.host import Host
from shoal.sim.link import Path

if TYPE_CHECKING:
    from shoal.sim.world import World

MIX = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: spreads a weak hash over all bits
Boot = Callable[[Host], Coroutine[Any, Any, object]]


class Hosts:
    """Nodes of real code: `boot(host)` runs from each power on until the crash."""

    def __init__(
        self, world: "World", count: int, boot: Boot | None, name: str, options: dict[str, Any]
    ) -> None:
        self.links: Path = world.links
        self._world = world
        self._hosts = [world.host(f"{name}{number}", **options) for number in range(count)]
        for host in self._hosts:
            world.boot(host, boot)

    def __len__(self) -> int:
        return len(self._hosts)

    def __getitem__(self, number: int) -> Host:
        return self._hosts[number]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def up(self, number: int) -> bool:
        return self._hosts[number].alive

    def crash(self, number: int) -> None:
        self._hosts[number].crash()

    def restart(self, number: int) -> None:
        self._hosts[number].restart()

    def disk(self, number: int) -> Any:
        return self._hosts[number].disk

    def skew(self, number: int, jump: float, rate: float) -> None:
        """Let a clock jump ahead of what it shows, and then run `rate` times too fast."""
        host = self._hosts[number]
        ahead = host.clock.read(host.loop.now) - host.loop.now if host.clock else 0.0
        host.skew(ahead + jump, rate)

    def cut(self, side: Sequence[int], one_way: bool = False) -> None:
        """Nothing passes between these and the others (or only from the others to these)."""
        here = set(side)
        inside = [self._hosts[number] for number in side]
        outside = [host for number, host in enumerate(self._hosts) if number not in here]
        self._world.network.partition(inside, outside, one_way=one_way)

    def heal(self) -> None:
        self._world.network.heal()


class Engine(Protocol):
    """What a core needs to be driven without a task; `out` holds (to whom, message)."""

    out: list[tuple[int, Any]]

    @property
    def deadline(self) -> float | None: ...
    def receive(self, sender: int, message: Any, now: float) -> object: ...
    def tick(self, now: float) -> object: ...


class Cores:
    """Engines that talk in objects; each message is one event of the loop.

    `make(number, rng)` is called at every start, with one rng that all share.
    """

    def __init__(self, world: "World", count: int, make: Callable[[int, Random], Engine]) -> None:
        self.links: Path = world.links
        self.rng = Random(f"cores {world.seed}")
        self.messages = 0  # that arrived
        self._world = world
        self._loop = world.loop
        self._make = make
        self._salt = self.rng.getrandbits(61)
        self._lives = [0] * count  # starts and crashes so far: a message of the past is known by it
        self._alarms: list[float | None] = [None] * count
        self._cuts: list[tuple[frozenset[int], bool]] = []
        self._engines: list[Engine | None] = [None] * count
        for number in range(count):
            self.restart(number)

    def __len__(self) -> int:
        return len(self._engines)

    def __getitem__(self, number: int) -> Engine:
        engine = self._engines[number]
        if engine is None:
            raise LookupError(f"node {number} is down")
        return engine

    def act(self, number: int, function: Callable[[Any, float], object]) -> None:
        """Do something with an engine, `function(engine, now)`, and send what it says."""
        function(self[number], self._loop.now)
        self._flush(number)

    def up(self, number: int) -> bool:
        return self._engines[number] is not None

    def crash(self, number: int) -> None:
        if self.up(number):
            self._engines[number] = None
            self._lives[number] += 1

    def restart(self, number: int) -> None:
        if not self.up(number):
            self._lives[number] += 1
            self._alarms[number] = None
            self._engines[number] = self._make(number, self.rng)
            self._flush(number)

    def disk(self, number: int) -> Any:
        """Cores have none."""

    def skew(self, number: int, jump: float, rate: float) -> None:
        """All cores have the world's clock."""

    def cut(self, side: Sequence[int], one_way: bool = False) -> None:
        self._cuts.append((frozenset(side), one_way))

    def heal(self) -> None:
        self._cuts.clear()

    def _flush(self, number: int) -> None:
        """Send what an engine has put out, and see to its deadline."""
        engine = self[number]
        if engine.out:
            out = engine.out[:]
            engine.out.clear()
            for to, message in out:
                self._send(number, to, message)
        deadline, alarm = engine.deadline, self._alarms[number]
        if deadline is not None and (alarm is None or deadline < alarm):
            self._alarms[number] = deadline
            args = (number, self._lives[number], deadline)
            self._loop.post(max(deadline, self._loop.now), self._wake, args)

    def _send(self, number: int, to: int, message: Any) -> None:
        links, random = self.links, self.rng.random
        copies = 2 if links.duplicate and random() < links.duplicate else 1
        for _ in range(copies):
            if links.loss and random() < links.loss:
                continue
            seconds = self._delay(number, to)
            if links.jitter is not None:
                seconds += links.jitter.quantile(random())
            if links.reorder and random() < links.reorder:
                seconds += seconds * random()
            self._loop.post(self._loop.now + seconds, self._arrive, (number, to, message))

    def _delay(self, one: int, other: int) -> float:
        low, high = (one, other) if one < other else (other, one)
        mixed = hash((self._salt, low, high)) * MIX >> 32 & 0xFFFFFFFF
        return self.links.delay.quantile(mixed / 0x100000000)

    def _arrive(self, sender: int, number: int, message: Any) -> None:
        engine = self._engines[number]
        if engine is None or (self._cuts and self._is_cut(sender, number)):
            return
        self.messages += 1
        self._loop.note(sender, number)
        if self._world.picture is not None:
            self._world.picture.message(self._loop.now, str(sender), str(number), 1)
        engine.receive(sender, message, self._loop.now)
        self._flush(number)

    def _is_cut(self, sender: int, number: int) -> bool:
        return any(
            (sender in side) != (number in side) and (sender in side or not one_way)
            for side, one_way in self._cuts
        )

    def _wake(self, number: int, life: int, deadline: float) -> None:
        if life != self._lives[number] or deadline != self._alarms[number]:
            return  # of an earlier life, or an earlier alarm took its place
        self._alarms[number] = None
        engine = self[number]
        due = engine.deadline
        if due is not None and due <= self._loop.now:
            engine.tick(self._loop.now)
        self._flush(number)


class Graph:
    """Nodes that are rows of a table: who knows whom, and how far it is.

    `table(number, rng)` gives a node's neighbours.  It is asked when they are
    first needed, with an rng of that node's own, so a million nodes of which
    few are visited cost little.
    """

    def __init__(
        self, world: "World", count: int, table: Callable[[int, Random], Sequence[int]]
    ) -> None:
        self.links: Path = world.links
        self._count = count
        self._table = table
        self._tables: dict[int, array[int]] = {}
        self._rng = Random()
        self._salt = Random(f"graph {world.seed}").getrandbits(61)
        self._down = bytearray(count)
        self._cuts: list[tuple[frozenset[int], bool]] = []
        self._loop = world.loop

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Sequence[int]:
        """The neighbours of a node."""
        found = self._tables.get(number)
        if found is None:
            self._rng.seed(self._salt + number)
            found = self._tables[number] = array("l", self._table(number, self._rng))
        return found

    def up(self, number: int) -> bool:
        return not self._down[number]

    def crash(self, number: int) -> None:
        self._down[number] = 1

    def restart(self, number: int) -> None:
        self._down[number] = 0

    def disk(self, number: int) -> Any:
        """Rows have none."""

    def skew(self, number: int, jump: float, rate: float) -> None:
        """Rows know no time."""

    def cut(self, side: Sequence[int], one_way: bool = False) -> None:
        self._cuts.append((frozenset(side), one_way))

    def heal(self) -> None:
        self._cuts.clear()

    def reach(self, number: int) -> list[int]:
        """The neighbours that a message would get to now."""
        down = self._down
        known = [other for other in self[number] if not down[other]]
        for side, one_way in self._cuts:
            inside = number in side
            if inside or not one_way:
                known = [other for other in known if (other in side) == inside]
        return known

    def spread(self, origin: int) -> "array[int]":
        """How many hops from `origin` each node hears of what everybody passes on; -1: never."""
        hops = array("h", [-1]) * self._count
        hops[origin] = 0
        wave, distance = [origin], 0
        while wave:
            distance += 1
            following = []
            for number in wave:
                for other in self.reach(number):
                    if hops[other] < 0:
                        hops[other] = distance
                        following.append(other)
            self._loop.note(distance, len(following))
            wave = following
        return hops

    def route(self, start: int, distance: Callable[[int], int]) -> list[int]:
        """The nodes on the way from `start` to where no neighbour is nearer any more."""
        way = [start]
        here = distance(start)
        while known := self.reach(way[-1]):
            nearest = min(known, key=distance)
            if distance(nearest) >= here:
                break
            here = distance(nearest)
            way.append(nearest)
        self._loop.note(start, len(way), way[-1])
        return way
