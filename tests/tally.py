"""How many checks passed, failed and were skipped, told from one process to another.

Each runner of `.ci/run` (pytest, the fuzzer, the interop frame) appends one
line of JSON to the file that GATE_TALLY names.  Counting lines of a log would
break with the first program that prints something similar.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "GATE_TALLY"


@dataclass
class Tally:
    """The sums, and the names of what failed."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        failed = [*self.failed, *other.failed]
        return Tally(self.passed + other.passed, failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {len(self.failed)} failed, {self.skipped} skipped"


def append(tally: Tally) -> None:
    """Tell whoever started us; nothing when nobody asked."""
    if name := os.environ.get(VARIABLE):
        with open(name, "a") as file:
            file.write(json.dumps(asdict(tally)) + "\n")


def read(path: Path) -> Tally | None:
    """The sum of all that was appended; None when nothing was."""
    if not path.exists():
        return None
    total = None
    for line in path.read_text().splitlines():
        total = (total or Tally()) + Tally(**json.loads(line))
    return total


def append_pytest(stats: dict[str, list[Any]]) -> None:
    """From pytest's own account, at the end of its session."""
    failed = {report.nodeid for kind in ("failed", "error") for report in stats.get(kind, [])}
    skipped = len(stats.get("skipped", [])) + len(stats.get("xfailed", []))
    append(Tally(len(stats.get("passed", [])), sorted(failed), skipped))
