"""The gate: make test, make fuzz, make interop; then one line with the sums.

A target that fails does not stop the next.  A target that ends badly without
naming a failed check counts as one failed check of its own.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINUTES = {"test": 15, "fuzz": 8, "interop": 31}  # each stops itself earlier; this is the last word


def main() -> int:
    os.chdir(ROOT)
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    names: list[str] = []
    with tempfile.TemporaryDirectory(prefix="shoal-gate-") as folder:
        for target, minutes in MINUTES.items():
            file = Path(folder, target)
            ended = run(target, minutes, file)
            counts, failed = read(file)
            if ended and not failed:
                failed = [f"make {target}: {ended}"]
            elif not ended and not any(counts.values()):
                counts["passed"] = 1
            names += failed
            for key, value in counts.items():
                totals[key] += value
    totals["failed"] = len(names)
    for name in names:
        print(f"failed: {name}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**totals), flush=True)
    return 1 if names else 0


def run(target: str, minutes: float, file: Path) -> str:
    """Run one target; how it ended, empty for well."""
    print(f"=== make {target}", flush=True)
    environment = {**os.environ, "GATE_TALLY": str(file)}
    child = subprocess.Popen(
        ["make", target], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        code = child.wait(minutes * 60)
        return f"exit code {code}" if code else ""
    except subprocess.TimeoutExpired:
        return f"stopped after {minutes} minutes"
    finally:
        end(child)


def end(child: "subprocess.Popen[bytes]") -> None:
    """The target and whatever it left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def read(file: Path) -> tuple[dict[str, int], list[str]]:
    """The sums and the failed checks of a target, as tests/tally.py wrote them."""
    counts = {"passed": 0, "skipped": 0}
    failed: list[str] = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:  # cut off in the middle: its target has failed and says so
            continue
        counts["passed"] += record["passed"]
        counts["skipped"] += record["skipped"]
        failed += record["failed"]
    return counts, failed


if __name__ == "__main__":
    sys.exit(main())
