"""Scenarios over many seeds, and the one line that a failure leaves behind.

A scenario is an `async def scenario(world)` at the top of a module, so that the
line can name it and `shoal lab replay` can find it.
"""

import sys
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from shoal.errors import SimulationError, UsageError
from shoal.sim.chance import seeded
from shoal.sim.world import DAY, World

Scenario = Callable[[World], Coroutine[Any, Any, Any]]
REASON_MAX = 300  # characters of the reason in the line; the traceback has all of it


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: two with the same seed have the same trace hash."""

    seed: int
    value: Any  # what the scenario returned
    trace_hash: int
    seconds: float  # of simulated time
    events: int


def run_one(
    scenario: Scenario, seed: int, *, within: float = DAY, world: World | None = None
) -> Outcome:
    """One world; SimulationError with the line if it fails."""
    with seeded(seed), world or World(seed) as there:
        try:
            value = there.run(scenario(there), within)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            raise _failure(scenario, there, error) from error
        there.loop.note(there.loop.events)  # and the moment at which it ended
        return Outcome(seed, value, there.trace_hash, there.time, there.loop.events)


def run_world(
    scenario: Scenario, seeds: Iterable[int] = range(100), *, within: float = DAY
) -> list[Outcome]:
    """A world for each seed; the first that fails ends it."""
    return [run_one(scenario, seed, within=within) for seed in seeds]


def name_of(scenario: Scenario) -> str:
    """MODULE:SCENARIO, as `find` understands it."""
    function: Any = scenario.func if isinstance(scenario, partial) else scenario
    module = function.__module__
    if module == "__main__":
        module = getattr(sys.modules[module], "__file__", module)
    return f"{module}:{function.__qualname__}"


def find(name: str) -> Scenario:
    """The scenario with that name; MODULE may be a file."""
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise UsageError(f"{name!r} is not MODULE:SCENARIO")
    found: Any = _load(module_name)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UsageError(f"{module_name} has no scenario {path}")
    return found  # type: ignore[no-any-return]


def _load(name: str) -> Any:
    file = Path(name)
    if file.suffix == ".py":
        spec = spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None or not file.exists():
            raise UsageError(f"there is no file {name}")
        module = module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
        return module
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"there is no module {name}: {error}") from error


def _failure(scenario: Scenario, world: World, error: BaseException) -> SimulationError:
    host = world.culprit(error)
    where = f" on host {host.name}" if host else ""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:REASON_MAX]
    name = name_of(scenario)
    line = f"{name} failed with seed {world.seed} at {world.time:.6f} s{where}: {reason}"
    if "<" in name:
        return SimulationError(f"{line} -- no replay: it is not at the top of a module")
    command = f"shoal lab replay {name} --seed {world.seed}"
    failure = SimulationError(f"{line} -- replay: {command}")
    failure.advice = f"`{command}` shows it again"
    return failure
