"""The gate runs everything, forgives nothing and ends with one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import tally
from tests.interop import __main__ as interop
from tests.tally import Tally

ROOT = Path(__file__).parents[1]
GOOD = """\
test:
\t@echo '{"passed": 5, "failed": [], "skipped": 1}' >> $$GATE_TALLY
fuzz:
\t@true
interop:
\t@echo '{"passed": 2, "failed": [], "skipped": 3}' >> $$GATE_TALLY
"""
BAD = """\
test:
\t@echo '{"passed": 5, "failed": ["a::b"], "skipped": 0}' >> $$GATE_TALLY; exit 1
fuzz:
\t@echo '9 passed, 9 failed, 9 skipped'; exit 2
interop:
\t@echo '{"passed": 2, "failed": [], "skipped": 3}' >> $$GATE_TALLY; echo '{"pas' >> $$GATE_TALLY
"""


def gate(folder: Path, makefile: str) -> tuple[int, list[str]]:
    (folder / ".ci").mkdir()
    for name in ("run", "gate.py"):
        shutil.copy(ROOT / ".ci" / name, folder / ".ci" / name)
    (folder / "Makefile").write_text(makefile)
    environment = {name: value for name, value in os.environ.items() if name != tally.VARIABLE}
    done = subprocess.run(
        ["bash", folder / ".ci/run"], capture_output=True, text=True, env=environment, check=False
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.slow
def test_the_last_line_has_the_sums(tmp_path: Path) -> None:
    code, said = gate(tmp_path, GOOD)
    assert (code, said[-1]) == (0, "8 passed, 0 failed, 4 skipped")


@pytest.mark.slow
def test_a_failure_is_named_and_the_rest_still_runs(tmp_path: Path) -> None:
    code, said = gate(tmp_path, BAD)
    assert code == 1
    named = ["failed: a::b", "failed: make fuzz: exit code 2"]
    assert said[-3:] == [*named, "7 passed, 2 failed, 3 skipped"]


def runs(monkeypatch: pytest.MonkeyPatch, *results: Tally) -> list[list[str]]:
    """The interop frame with made-up test runs; which tests each was asked for."""
    asked: list[list[str]] = []
    answers = iter(results)

    def run_tests(alone: list[str], selected: list[str], deadline: float) -> Tally:
        asked.append(selected)
        return next(answers)

    monkeypatch.delenv(tally.VARIABLE, raising=False)  # these counts are no part of the gate's
    monkeypatch.setattr(interop, "run_tests", run_tests)
    monkeypatch.setattr(interop.install, "install", dict)
    monkeypatch.setattr(interop.loopback, "wrapper", list)
    return asked


def test_an_interop_test_that_fails_runs_once_more_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = runs(monkeypatch, Tally(8, ["t.py::a", "t.py::b"], 1), Tally(1, ["t.py::b"], 0))
    assert interop.main([]) == 1
    assert asked == [["tests"], ["t.py::a", "t.py::b"]]
    said = capsys.readouterr().out.splitlines()
    assert "retry: t.py::a: passed at the second try" in said
    assert "retry: t.py::b: failed again" in said
    assert said[-1] == "interop: 9 passed, 1 failed, 1 skipped"


def test_a_second_try_that_passes_is_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, Tally(8, ["t.py::a"], 0), Tally(1, [], 0))
    assert interop.main([]) == 0


def test_a_run_that_broke_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = runs(monkeypatch, Tally(0, ["interop: pytest ended with 3"], 0))
    assert interop.main([]) == 1
    assert len(asked) == 1


def test_a_tally_is_the_sum_of_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tally.read(tmp_path / "tally") is None
    monkeypatch.setenv(tally.VARIABLE, str(tmp_path / "tally"))
    tally.append(Tally(1, ["a"], 2))
    tally.append(Tally(10, [], 20))
    assert tally.read(tmp_path / "tally") == Tally(11, ["a"], 22)


@pytest.mark.slow
def test_parallel_tests_are_counted_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "2", "tests/test_tree.py"]
    environment = {**os.environ, tally.VARIABLE: str(tmp_path / "tally")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    total = tally.read(tmp_path / "tally")
    assert done.returncode == 0, done.stdout
    assert total
    assert f"{total.passed} passed".encode() in done.stdout
