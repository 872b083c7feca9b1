"""What a daemon costs that nobody uses, and how soon it answers.

Claims: `shoal status` answers within 300 ms; idle, the daemon has under 60 MB
of memory and takes under 1 % of a core.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.table import claim, show

ROUNDS = 21
SETTLED = 5.0  # seconds until what the start costs is over
IDLE = 30.0  # seconds watched
ANSWER_MAX, MEMORY_MAX, LOAD_MAX = 0.3, 60e6, 0.01
SHOAL = [sys.executable, "-m", "shoal"]


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "SHOAL_HOME": home, "SHOAL_PROFILE": "local"}
        daemon = subprocess.Popen(
            [*SHOAL, "up", "--json"], stdout=subprocess.PIPE, env=environment, text=True
        )
        try:
            began = time.perf_counter()
            assert daemon.stdout
            assert json.loads(daemon.stdout.readline())["ready"]
            ready = time.perf_counter() - began
            time.sleep(SETTLED)
            load, wakes = watch(daemon.pid)
            memory = memory_of(daemon.pid)
            answer = statistics.median(ask(environment) for _ in range(ROUNDS))
        finally:
            daemon.terminate()
            daemon.wait(20)
    rows = [
        ["ready after", f"{ready * 1e3:.0f} ms"],
        ["shoal status", f"{answer * 1e3:.0f} ms"],
        ["memory (RSS)", f"{memory / 1e6:.1f} MB"],
        ["of a core", f"{load:.2%}"],
        ["wake-ups a second", f"{wakes:.1f}"],
    ]
    show("an idle daemon", ["", "measured"], rows, f"{IDLE:g} s idle, median of {ROUNDS} answers")
    fine = [answer < ANSWER_MAX, memory < MEMORY_MAX, load < LOAD_MAX]
    claim("`shoal status` answers within 300 ms", holds=fine[0])
    claim("under 60 MB", holds=fine[1])
    claim("under 1 % of a core", holds=fine[2])
    return int(not all(fine))


def ask(environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([*SHOAL, "status"], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def watch(pid: int) -> tuple[float, float]:
    """Share of a core, and how often it woke in a second."""
    used, woken = processor_time(pid), switches(pid)
    time.sleep(IDLE)
    return (processor_time(pid) - used) / IDLE, (switches(pid) - woken) / IDLE


def processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def switches(pid: int) -> int:
    """Of all threads: each is somebody who slept and was woken."""
    return sum(
        int(line.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def memory_of(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
