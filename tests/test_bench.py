"""make bench finds every claim's script."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench.__main__ import main, scripts

ROOT = Path(__file__).parents[1]


def test_the_scripts_are_those_that_can_be_run() -> None:
    found = scripts()
    assert {"codec", "start"} <= set(found)
    assert "table" not in found


def test_a_claim_that_nobody_measures_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 1
    assert "failed: nothing; there are " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", scripts())
def test_every_script_can_be_imported(name: str) -> None:
    command = [sys.executable, "-c", f"import bench.{name}"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
