"""A host of the simulated world: a name, an address, and lives that can end.

All hosts share one loop.  Which host runs is a context variable, so tasks and
callbacks inherit it and code under test need not know.  The variable holds a
`Life`: one boot of a host.  A crash ends the life, and whatever was scheduled
in it never runs again: no `finally`, no `except`, as in a power cut.  The
coroutines are kept in the loop's graveyard, for Python would otherwise throw
GeneratorExit into them.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from shoal.errors import SimulationError

if TYPE_CHECKING:
    from shoal.sim.datagram import DatagramTransport
    from shoal.sim.link import Pipe
    from shoal.sim.loop import SimLoop
    from shoal.sim.nat import Lan, Nat
    from shoal.sim.network import Network
    from shoal.sim.server import Listener
    from shoal.sim.stream import StreamTransport

T = TypeVar("T")
FIRST_EPHEMERAL_PORT = 49152  # RFC 6335, section 6
LAST_PORT = 65535
SWEEP = 16  # tasks of a life before finished ones are looked for


class Life:
    """One boot of a host."""

    __slots__ = ("_sweep_at", "alive", "awaited", "host", "tasks")

    def __init__(self, host: "Host"):
        self.host = host
        self.alive = True
        self.tasks: list[asyncio.Task[Any]] = []
        self.awaited: list[asyncio.Future[Any]] = []  # what the outside waits for
        self._sweep_at = SWEEP

    def add(self, task: asyncio.Task[Any]) -> None:
        """Remember a task until it is done; finished ones are dropped now and then."""
        self.tasks.append(task)
        if len(self.tasks) > self._sweep_at:
            self.tasks = [task for task in self.tasks if not task.done()]
            self._sweep_at = max(SWEEP, 2 * len(self.tasks))


LIFE: ContextVar[Life] = ContextVar("shoal.sim.life")


class Clock:
    """A host's own clock: off by `offset` seconds, and `rate` times too fast."""

    __slots__ = ("offset", "rate", "since")

    def __init__(self, since: float, offset: float = 0.0, rate: float = 1.0):
        self.since = since
        self.offset = offset
        self.rate = rate

    def read(self, now: float) -> float:
        return self.since + self.offset + (now - self.since) * self.rate

    def when(self, reading: float) -> float:
        """The true time at which the clock will show `reading`."""
        return self.since + (reading - self.since - self.offset) / self.rate


class Host:
    """A computer on the network.  Made by `Network.host`."""

    __slots__ = (
        "__weakref__",
        "_context",
        "_next_port",
        "_rng",
        "clock",
        "datagrams",
        "disk",
        "downlink",
        "edge",
        "epoch",
        "ip",
        "lan",
        "life",
        "listeners",
        "loop",
        "name",
        "nat",
        "network",
        "number",
        "power",
        "routes_for",
        "streams",
        "uplink",
    )

    def __init__(self, network: "Network", number: int, name: str, ip: str):
        self.network = network
        self.loop: SimLoop = network.loop
        self.number = number
        self.name = name
        self.ip = ip
        self.epoch = 0  # how often it has crashed
        self.life = Life(self)
        self.nat: Nat | None = None  # the router it sits behind
        self.routes_for: Nat | None = None  # the router it is
        self.edge: Host = self  # whose link and place it has on the Internet
        self.lan: Lan | None = None
        self.uplink: Pipe | None = None
        self.downlink: Pipe | None = None
        self.clock: Clock | None = None
        self.disk: Any = None  # whoever builds the world puts one in
        self.power: Callable[[Host, bool], None] | None = None  # told of crashes and restarts
        # sockets by port; None until the first, for most of ten thousand hosts have few
        self.datagrams: dict[int, list[DatagramTransport]] | None = None
        self.listeners: dict[int, list[Listener]] | None = None
        self.streams: dict[StreamTransport, None] | None = None
        self._next_port = FIRST_EPHEMERAL_PORT
        self._context: Context | None = None
        self._rng: Random | None = None

    @property
    def rng(self) -> Random:
        """This host's own chance: a function of the seed and the name alone."""
        if self._rng is None:
            self._rng = Random(f"host {self.loop.seed} {self.name}")
        return self._rng

    @property
    def alive(self) -> bool:
        return self.life.alive

    def context(self) -> Context:
        """A fresh context in which this host runs."""
        if self._context is None:
            self._context = Context()
            self._context.run(LIFE.set, self.life)
        return self._context.copy()

    def enter(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function as this host."""
        return self.context().run(function, *args)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> "asyncio.Task[T]":
        """Start a task as this host."""
        if not self.alive:
            coro.close()
            raise SimulationError(f"host {self.name} is down")
        return self.loop.create_task(coro, name=name, context=self.context())

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine as this host; SimulationError if the host crashes meanwhile."""
        task = self.spawn(coro)
        outcome: asyncio.Future[T] = self.loop.create_future()
        self.life.awaited.append(outcome)

        def copy(task: "asyncio.Task[T]") -> None:
            if outcome.done():
                return
            if task.cancelled():
                outcome.cancel()
            elif error := task.exception():
                outcome.set_exception(error)
            else:
                outcome.set_result(task.result())

        task.add_done_callback(copy)
        life = self.life
        try:
            return await outcome
        finally:
            life.awaited.remove(outcome)
            if life.alive:
                task.cancel()  # does nothing unless the wait itself was cancelled

    def crash(self) -> None:
        """Cut the power: nothing of this life runs any more, and nobody is told."""
        if not self.alive:
            return
        life = self.life
        life.alive = False
        self.epoch += 1
        self._context = None
        self.network.unplug(self)
        self.loop.bury(life.tasks)
        life.tasks.clear()
        for outcome in life.awaited:
            if not outcome.done():
                outcome.set_exception(SimulationError(f"host {self.name} crashed"))
                outcome.exception()  # seen: nobody may be left to await it
        if self.power is not None:
            self.power(self, False)

    def restart(self) -> None:
        """Boot again, with nothing but the disk."""
        if not self.alive:
            self.life = Life(self)
            if self.power is not None:
                self.power(self, True)

    def skew(self, offset: float = 0.0, rate: float = 1.0) -> None:
        """Set this host's clock `offset` seconds off, running `rate` times too fast."""
        self.clock = Clock(self.loop.now, offset, rate)
        self.loop.skewed = True

    def free_port(self, taken: "dict[int, Any] | None") -> int:
        """The next port above 49152 that is not in `taken`."""
        for _ in range(FIRST_EPHEMERAL_PORT, LAST_PORT + 1):
            port = self._next_port
            self._next_port = port + 1 if port < LAST_PORT else FIRST_EPHEMERAL_PORT
            if not taken or port not in taken:
                return port
        raise OSError(f"host {self.name} has no free port")

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.ip}{'' if self.alive else ' down'}>"
