"""How long a user waits for the first sign of life, beside a bare interpreter.

Claims: `import shoal` costs at most 150 ms more than a bare interpreter,
`shoal --help` at most 100 ms.  Medians of alternating runs.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.table import machine

ROUNDS = 25
BARE = "bare interpreter"
CASES = {
    BARE: ["-c", "pass"],
    "import shoal": ["-c", "import shoal; shoal.Config"],
    "shoal --help": ["-m", "shoal", "--help"],
    "import aiohttp": ["-c", "import aiohttp"],
    "import shoal; shoal.Node": ["-c", "import shoal; shoal.Node"],
    "import libtorrent": ["-c", "import libtorrent"],
}
LIMITS = {"import shoal": 150.0, "shoal --help": 100.0}  # milliseconds over a bare interpreter


def main() -> int:
    times: dict[str, list[float]] = {name: [] for name in CASES if runs(CASES[name])}
    for _ in range(ROUNDS):
        for name, seconds in times.items():
            seconds.append(measure(CASES[name]))
    medians = {name: statistics.median(seconds) * 1000 for name, seconds in times.items()}
    print(machine())
    print(f"{'':28} {'ms':>7} {'over bare':>10} {'must':>6}")
    for name, median in medians.items():
        must = f"{LIMITS[name]:.0f}" if name in LIMITS else "-"
        print(f"{name:28} {median:7.1f} {median - medians[BARE]:10.1f} {must:>6}")
    return int(any(medians[name] - medians[BARE] > most for name, most in LIMITS.items()))


def runs(arguments: list[str]) -> bool:
    return run(arguments) == 0


def measure(arguments: list[str]) -> float:
    began = time.perf_counter()
    run(arguments)
    return time.perf_counter() - began


def run(arguments: list[str]) -> int:
    paths = [str(Path(__file__).parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
