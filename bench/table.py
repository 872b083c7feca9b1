"""Times measured side by side, and the table they are printed in.

Rivals take turns within one call, so that a busy machine slows all of them; what
is shown is the median of the rounds.  The machine's name stands above each table,
for a time without it means nothing.
"""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

ROUNDS = 9  # an odd number has a middle
ROUND = 0.02  # seconds of one rival in one round: long beside the clock's step


def machine() -> str:
    """Processor, cores, system and Python."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, {python}"


def compare(rivals: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of one call of each, the median of rounds in which they take turns."""
    counts = {name: calls_in_a_round(call) for name, call in rivals.items()}
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(ROUNDS):
        for name, call in rivals.items():
            times[name].append(timed(call, counts[name]) / counts[name])
    return {name: median(rounds) for name, rounds in times.items()}


def calls_in_a_round(call: Callable[[], object]) -> int:
    count = 1
    while (taken := timed(call, count)) < ROUND / 4:
        count *= 2
    return max(1, round(count * ROUND / taken))


def timed(call: Callable[[], object], count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        call()
    return perf_counter() - start


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def show(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    how: str = f"median of {ROUNDS} rounds",
) -> None:
    """The first column to the left, numbers to the right."""
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    print(f"\n{title}\n{machine()}; {how}\n")
    for row in (columns, ["-" * width for width in widths], *rows):
        first, *rest = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join((first, *rest)))


def show_rivals(title: str, ours: str, cases: Mapping[str, Mapping[str, float]]) -> None:
    """A row for each case: our time, then each rival's time and how many times ours that is."""
    names = list(dict.fromkeys(name for times in cases.values() for name in times))
    names.sort(key=lambda name: name != ours)
    rows = []
    for case, times in cases.items():
        cells = [case, duration(times[ours])]
        for name in names[1:]:
            known = name in times
            cells += [duration(times[name]) if known else "-"]
            cells += [f"{times[name] / times[ours]:.2f}" if known else "-"]
        rows.append(cells)
    columns = ["case", ours]
    for name in names[1:]:
        columns += [name, "/ ours"]
    show(title, columns, rows)


def claim(text: str, *, holds: bool) -> None:
    print(f"{'holds' if holds else 'DOES NOT HOLD'}: {text}")
