"""World: hosts, what happens to them, and what must be true of them.

    async def scenario(world):
        nodes = world.hosts(100, boot)              # boot(host) runs on each, again after a crash
        world.always(check)                         # raises or says False: the run fails
        await world.storm(nodes, seconds=60)        # faults drawn from the seed, then none
        await world.until(all_know, within=120)     # what must come true afterwards

A run is a function of the scenario and the seed: `trace_hash` tells whether two
runs did the same.  `run.py` tries many seeds; a failure names its own.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any, Self, TypeVar

from shoal.errors import SimulationError
from shoal.sim.churn import MEASURED, Churn, Weibull
from shoal.sim.disk import SimDisk
from shoal.sim.faults import Plan, Storm, Troubled
from shoal.sim.host import Host
from shoal.sim.link import Path
from shoal.sim.loop import START, SimLoop
from shoal.sim.network import Network
from shoal.sim.picture import Picture
from shoal.sim.tiers import Boot, Cores, Engine, Graph, Hosts

T = TypeVar("T")
DAY = 86_400.0  # seconds: a scenario that takes longer waits for what will not come


class World:
    """Everything there is in one simulated run."""

    def __init__(self, seed: int = 0, *, shuffle: bool = True, picture: bool = False) -> None:
        self.seed = seed
        self.loop = SimLoop(seed, shuffle=shuffle)
        self.network: Network = self.loop.network
        self.rng = Random(f"world {seed}")  # for scenarios; faults and hosts have their own
        self.picture: Picture | None = None
        self._disk_rng = Random(f"disks {seed}")
        self._storms = 0
        self._checks = 0
        self._boots: dict[int, Boot] = {}  # host number -> what runs on it
        if picture:
            self.draw()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def time(self) -> float:
        """Seconds since the world began."""
        return self.loop.now - START

    @property
    def trace_hash(self) -> int:
        return self.loop.trace_hash

    @property
    def links(self) -> Path:
        """What lies between any two hosts: its delay, loss and so on may be set."""
        return self.network.path

    # Who is there

    def host(self, name: str | None = None, *, boot: Boot | None = None, **options: Any) -> Host:
        """One host with a disk; the options are those of `Network.host` (nat, lan, up, down)."""
        host = self.network.host(name, **options)
        disk = SimDisk(self._disk_rng)
        disk.when_cut = host.crash
        disk.watch = partial(self.loop.note, host.number)
        host.disk = disk
        host.power = self._power
        self.boot(host, boot)
        return host

    def boot(self, host: Host, boot: Boot | None) -> None:
        """Run `boot(host)` on a host, now and after each restart; its failure ends the run."""
        if boot is not None:
            self._boots[host.number] = boot
            self._start(host, boot)

    def hosts(
        self, count: int, boot: Boot | None = None, *, name: str = "node", **options: Any
    ) -> Hosts:
        """Hosts that all run `boot`: the tier of real code."""
        return Hosts(self, count, boot, name, options)

    def cores(self, count: int, make: Callable[[int, Random], Engine]) -> Cores:
        """Engines without tasks: `make(number, rng)` builds one at every start."""
        return Cores(self, count, make)

    def graph(self, count: int, table: Callable[[int, Random], Sequence[int]]) -> Graph:
        """Tables of neighbours: `table(number, rng)` draws one when it is first needed."""
        return Graph(self, count, table)

    # What happens to them

    def partition(self, side: Iterable[Host], other: Iterable[Host]) -> None:
        self.network.partition(side, other)

    def heal(self) -> None:
        self.network.heal()

    def churn(
        self,
        nodes: Troubled,
        *,
        sessions: Weibull = MEASURED,
        absences: Weibull | None = None,
        stay: Collection[int] = (),
    ) -> Churn:
        """Let nodes come and go until `stop()`; `stay` names those that never leave."""
        return Churn(
            self.loop,
            Random(f"churn {self.seed}"),
            nodes,
            len(nodes),
            sessions=sessions,
            absences=absences,
            stay=stay,
        )

    async def storm(self, nodes: Troubled, seconds: float, plan: Plan | None = None) -> Storm:
        """The first phase: faults for so long; when it returns everything works again."""
        self._storms += 1
        rng = Random(f"storm {self.seed} {self._storms}")
        storm = Storm(self.loop, rng, nodes, plan or Plan.draw(rng, len(nodes), seconds))
        await asyncio.sleep(seconds)
        storm.calm()
        return storm

    # What must be true

    def always(self, check: Callable[[], object], every: float = 1.0) -> None:
        """Call `check` again and again; when it raises or says False, the run fails."""
        self._checks += 1
        self.loop.post(self.loop.now + every, self._check, (check, every))

    async def until(
        self, condition: Callable[[], object], within: float, every: float = 0.1
    ) -> float:
        """The second phase: wait until something is true; how long it took."""
        start = self.loop.now
        while not condition():
            if self.loop.now - start > within:
                raise SimulationError(f"{_name(condition)} did not come true within {within:g} s")
            await asyncio.sleep(every)
        return self.loop.now - start

    # Running

    def run(self, main: Coroutine[Any, Any, T], within: float = DAY) -> T:
        """Drive the world to the end of a coroutine, which belongs to no host."""
        self.loop.limit = self.loop.now + within
        result: T = self.loop.run_until_complete(main)
        return result

    def draw(self) -> Picture:
        """Begin a picture of who speaks to whom."""
        if self.picture is None:
            self.picture = Picture()
            self.network.watch = self._saw
        return self.picture

    def close(self) -> None:
        """End the world; its tasks are dropped as in a power cut."""
        for host in self.network.hosts:
            host.power = None
            host.crash()
        self.loop.bury(asyncio.all_tasks(self.loop))
        self.loop.close()

    def culprit(self, error: BaseException) -> Host | None:
        """The host in one of whose tasks an exception was raised."""
        errors = list(_family(error))
        for host in self.network.hosts:
            for task in host.life.tasks:
                if task.done() and not task.cancelled() and task.exception() in errors:
                    return host
        return None

    def _saw(self, kind: str, sender: Host, receiver: Host, size: int) -> None:
        assert self.picture
        self.picture.message(self.time, sender.name, receiver.name, size)

    def _power(self, host: Host, on: bool) -> None:
        """A host has crashed or been restarted."""
        self.loop.note(host.number, on)
        if self.picture is not None:
            self.picture.mark(self.time, host.name, "up" if on else "down")
        if not on:
            host.disk.crash()
        elif host.number in self._boots:
            self._start(host, self._boots[host.number])

    def _start(self, host: Host, boot: Boot) -> None:
        task = host.spawn(boot(host), name=f"boot {host.name}")
        task.add_done_callback(self._booted)

    def _booted(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            message = f"{task.get_name()} failed"
            self.loop.call_exception_handler({"message": message, "exception": error})

    def _check(self, check: Callable[[], object], every: float) -> None:
        if check() is False:
            raise SimulationError(f"{_name(check)} does not hold")
        self._checks -= 1
        if self.loop.waiting > self._checks:  # else only checks are left: that is a deadlock
            self.always(check, every)


def _name(function: Callable[[], object]) -> str:
    return getattr(function, "__name__", repr(function))


def _family(error: BaseException) -> Iterator[BaseException]:
    """An exception and those behind it."""
    met: list[BaseException] = [error]
    for one in met:
        yield one
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        for other in (*inner, one.__cause__, one.__context__):
            if other is not None and not any(other is known for known in met):
                met.append(other)
