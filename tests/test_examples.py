"""Every example runs and says something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(example: Path, tmp_path: Path) -> None:
    environ = {**os.environ, "SHOAL_HOME": str(tmp_path), "SHOAL_PROFILE": "local"}
    ended = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout
