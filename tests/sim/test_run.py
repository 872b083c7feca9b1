"""Scenarios are found again by the name in a failure's line."""

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.sim import planted, scenarios

from shoal.errors import SimulationError, UsageError
from shoal.sim.chance import seeded
from shoal.sim.run import find, name_of, run_world
from shoal.sim.world import World

ROOT = Path(__file__).parent.parent.parent


def test_a_scenario_has_a_name_by_which_it_is_found() -> None:
    assert name_of(scenarios.streams) == "tests.sim.scenarios:streams"
    assert find("tests.sim.scenarios:streams") is scenarios.streams
    assert name_of(partial(planted.keep, mended=True)) == "tests.sim.planted:keep"


def test_a_file_will_do_for_a_module(tmp_path: Path) -> None:
    file = tmp_path / "my_scenarios.py"
    file.write_text("async def quiet(world):\n    return 5\n")
    with World(1) as world:
        assert world.run(find(f"{file}:quiet")(world)) == 5


@pytest.mark.parametrize(
    "name", ["streams", ":streams", "tests.sim.scenarios:", "no.such:x", "/no/such.py:x"]
)
def test_what_is_not_there_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError):
        find(name)


def test_a_module_that_fails_to_import_something_else_says_what() -> None:
    with pytest.raises(UsageError, match="no scenario nothing"):
        find("tests.sim.scenarios:nothing")


def test_chance_is_seeded_for_a_while_only() -> None:
    state = random.getstate()
    with seeded(1):
        once = (random.random(), os.urandom(8), random.SystemRandom().random())
    with seeded(1):
        assert (random.random(), os.urandom(8), random.SystemRandom().random()) == once
    assert random.getstate() == state
    assert os.urandom(8) != os.urandom(8)


def shoal(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-m", "shoal", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
        cwd=ROOT,
    )


@pytest.mark.slow
def test_a_failing_run_is_replayed_from_its_line(tmp_path: Path) -> None:
    with pytest.raises(SimulationError) as caught:
        run_world(planted.same_moment_bug)
    line, _, command = str(caught.value).partition(" -- replay: ")
    done = shoal(*command.split()[1:])
    assert done.returncode == 1
    assert line in done.stderr
    picture = tmp_path / "run.svg"
    done = shoal(
        "lab", "replay", "tests/sim/planted.py:ordering_mended", "--seed=2", f"--picture={picture}"
    )
    assert done.returncode == 0
    assert "passed with seed 2" in done.stdout
    assert picture.read_text().startswith("<svg")


@pytest.mark.slow
def test_the_demo_tells_the_same_story_twice() -> None:
    done = shoal("demo", "sim", "--hosts", "30")
    assert done.returncode == 0
    assert "node29" in done.stdout
    assert "both runs" in done.stdout
