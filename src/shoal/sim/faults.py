"""What goes wrong in a world, and when: a plan drawn from the seed.

The ranges from which the faults are drawn are drawn too, and some kinds are
left out: some worlds are calm, some wild, some have one trouble only.  (With
one fixed range for all, every world would be of the same middling roughness,
and bugs that need two crashes and a good network would never be met.)

A run in two phases has a storm first; then `Storm.calm` ends every fault and
boots who is down, and the scenario says what must come true.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from shoal.sim.churn import Timers
from shoal.sim.link import Path, Uniform

RATES = {  # kind -> how many a minute the wildest world has, for each hundred nodes
    "loss": 60.0,
    "delay": 30.0,
    "duplicate": 30.0,
    "reorder": 30.0,
    "partition": 30.0,
    "one-way": 15.0,
    "crash": 200.0,
    "slow disk": 60.0,
    "full disk": 30.0,
    "bad disk": 30.0,
    "clock": 30.0,
}
LINK_KINDS = ("loss", "delay", "duplicate", "reorder")
CUT_KINDS = ("partition", "one-way")
ABSENT = 0.3  # the chance that a world knows nothing of a kind
FEWEST = 20  # nodes: a small world has as many faults as one of this size
DELAY_MOST = 2.0  # seconds that the worst delay adds to a packet
SLOWEST = 1000.0  # times slower than usual, of a disk
JUMP_MOST = 60.0  # seconds that a clock jumps ahead, at worst
DRIFT_MOST = 0.01  # seconds a second that it then gains or loses
CUT_STEPS = 12  # a power cut comes within so many steps of the disk, if it waits for one


@dataclass(frozen=True, slots=True)
class Fault:
    """One trouble: when it begins (seconds into the storm), how long, how strong and whose."""

    at: float
    lasts: float
    kind: str
    amount: float  # 0 to 1
    who: tuple[int, ...]

    def __str__(self) -> str:
        whose = f"{len(self.who)} nodes" if len(self.who) > 1 else f"node {self.who[0]}"
        if self.kind in LINK_KINDS:
            what = f"{self.kind} ({self.amount:.0%})"
        else:
            what = f"{self.kind} of {whose}"
        return f"{self.at:9.3f} s  {what} for {self.lasts:.3f} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of one storm, in order."""

    seconds: float
    faults: tuple[Fault, ...]

    @classmethod
    def draw(
        cls, rng: Random, count: int, seconds: float, kinds: Iterable[str] = tuple(RATES)
    ) -> "Plan":
        """A plan for `count` nodes."""
        wildness = rng.random() ** 2  # half of all worlds are below a quarter
        faults: list[Fault] = []
        for kind in kinds:
            if rng.random() < ABSENT:
                continue
            most = RATES[kind] * max(count, FEWEST) / 100 * seconds / 60 * wildness
            number = round(rng.uniform(0, most))
            longest = rng.uniform(0, seconds / 2)
            strongest = rng.uniform(0, wildness) ** 0.5
            faults += [
                _draw_fault(rng, kind, count, seconds, longest, strongest) for _ in range(number)
            ]
        return cls(seconds, tuple(sorted(faults, key=lambda fault: fault.at)))

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


def _draw_fault(
    rng: Random, kind: str, count: int, seconds: float, longest: float, strongest: float
) -> Fault:
    amount = rng.uniform(0, strongest)
    size = max(1, round(amount * count)) if kind in CUT_KINDS else 1
    who = tuple(sorted(rng.sample(range(count), min(size, max(1, count - 1)))))
    return Fault(rng.uniform(0, seconds), rng.uniform(0, longest), kind, amount, who)


class Troubled(Protocol):
    """What a storm does to nodes (tiers.py has three kinds of them)."""

    links: Path

    def __len__(self) -> int: ...
    def up(self, number: int) -> bool: ...
    def crash(self, number: int) -> None: ...
    def restart(self, number: int) -> None: ...
    def disk(self, number: int) -> Any: ...
    def skew(self, number: int, jump: float, rate: float) -> None: ...
    def cut(self, side: tuple[int, ...], one_way: bool) -> None: ...
    def heal(self) -> None: ...


class Storm:
    """A plan that happens."""

    def __init__(self, timers: Timers, rng: Random, nodes: Troubled, plan: Plan) -> None:
        self.plan = plan
        self.begun = 0
        self._timers = timers
        self._rng = rng
        self._nodes = nodes
        self._active: list[Fault] = []
        self._over = False
        links = nodes.links
        self._usual = (links.loss, links.duplicate, links.reorder, links.jitter)
        self._disks: dict[int, tuple[float, int]] = {}  # usual delay and capacity
        self._down: dict[int, None] = {}  # whom we crashed
        for fault in plan.faults:
            timers.post(timers.now + fault.at, self._begin, (fault,))

    def calm(self) -> None:
        """End everything; who is down boots."""
        if self._over:
            return
        self._over = True
        for fault in list(self._active):
            self._finish(fault)
        for number in range(len(self._nodes)):
            if not self._nodes.up(number):
                self._nodes.restart(number)

    def _begin(self, fault: Fault) -> None:
        if self._over:
            return
        self.begun += 1
        self._active.append(fault)
        if fault.kind == "crash":
            self._crash(fault.who[0], fault.amount)
        elif fault.kind.endswith("disk"):
            self._upset(fault.who[0], fault.kind, fault.amount)
        elif fault.kind == "clock":
            drift = self._rng.uniform(-1, 1) * fault.amount * DRIFT_MOST
            self._nodes.skew(fault.who[0], fault.amount * JUMP_MOST, 1 + drift)
        else:
            self._weather()
        self._timers.post(self._timers.now + fault.lasts, self._end, (fault,))

    def _end(self, fault: Fault) -> None:
        if not self._over:
            self._finish(fault)

    def _finish(self, fault: Fault) -> None:
        self._active.remove(fault)
        number = fault.who[0]
        if fault.kind == "crash":
            if not any(other.kind == "crash" and other.who == fault.who for other in self._active):
                self._revive(number)
        elif fault.kind.endswith("disk"):
            self._soothe(number)
        elif fault.kind == "clock":
            self._nodes.skew(number, 0.0, 1.0)  # it stays ahead: time does not run back
        else:
            self._weather()

    def _weather(self) -> None:
        """Set the links and the partitions as all active faults together have them."""
        links = self._nodes.links
        links.loss, links.duplicate, links.reorder, links.jitter = self._usual
        self._nodes.heal()
        for fault in self._active:
            if fault.kind == "loss":
                links.loss = 1 - (1 - links.loss) * (1 - fault.amount)
            elif fault.kind == "duplicate":
                links.duplicate = max(links.duplicate, fault.amount)
            elif fault.kind == "reorder":
                links.reorder = max(links.reorder, fault.amount)
            elif fault.kind == "delay":
                links.jitter = Uniform(0.0, fault.amount * DELAY_MOST)
            elif fault.kind in CUT_KINDS:
                self._nodes.cut(fault.who, fault.kind == "one-way")

    def _crash(self, number: int, amount: float) -> None:
        """Now, or in the midst of the next writes: the cut that finds most."""
        disk = self._nodes.disk(number)
        if disk is not None and self._nodes.up(number) and self._rng.random() < 0.5:
            disk.cut_after = self._rng.randrange(CUT_STEPS)
        elif self._nodes.up(number):
            self._nodes.crash(number)

    def _revive(self, number: int) -> None:
        disk = self._nodes.disk(number)
        if disk is not None:
            disk.cut_after = None
        if not self._nodes.up(number):
            self._nodes.restart(number)

    def _upset(self, number: int, kind: str, amount: float) -> None:
        disk = self._nodes.disk(number)
        if disk is None:
            return
        self._disks.setdefault(number, (disk.delay, disk.capacity))
        if kind == "slow disk":
            disk.delay *= 1 + amount * SLOWEST
        elif kind == "full disk":
            disk.capacity = 0
        else:
            disk.read_errors = disk.write_errors = amount / 2

    def _soothe(self, number: int) -> None:
        """All of a disk's troubles end together."""
        if number in self._disks:
            disk = self._nodes.disk(number)
            disk.delay, disk.capacity = self._disks.pop(number)
            disk.read_errors = disk.write_errors = 0.0
