"""The same seed gives the same run: twice, in any process, with and without the collector."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sim.scenarios import ALL
from tests.sim.test_nodes import echoes

from shoal.sim.run import run_one

ROOT = Path(__file__).parent.parent.parent
SEED = 7
CHILD = """
import json
from shoal.sim.run import run_one
from tests.sim.scenarios import ALL
from tests.sim.test_nodes import echoes
ALL["nodes"] = echoes
print(json.dumps({name: run_one(scenario, %d).trace_hash for name, scenario in ALL.items()}))
"""


@pytest.mark.parametrize("name", ALL)
def test_a_run_repeats_itself(name: str) -> None:
    scenario = ALL[name]
    once = run_one(scenario, SEED)
    gc.disable()
    try:
        assert run_one(scenario, SEED) == once
    finally:
        gc.enable()
    assert run_one(scenario, SEED + 1).trace_hash != once.trace_hash


@pytest.mark.slow
def test_other_processes_with_other_hash_seeds_do_the_same() -> None:
    scenarios = {**ALL, "nodes": echoes}
    here = {name: run_one(scenario, SEED).trace_hash for name, scenario in scenarios.items()}
    assert len(here) == 11
    for hash_seed in ("0", "1", "4000000000", "random"):
        environ = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        }
        done = subprocess.run(
            [sys.executable, "-c", CHILD % SEED], env=environ, capture_output=True, check=True
        )
        assert json.loads(done.stdout) == here
