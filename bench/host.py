"""Two hosts in two processes on loopback, TCP + Noise + yamux: Shoal, js-libp2p, py-libp2p.

    python -m bench.host [--rounds N] [MEASURE ...]

Claims, each the median of rounds in which the stacks take turns: on uvloop the
bulk of one stream is 1.5 times js's, on plain asyncio 2.5 times py's; a round
trip takes less than js's; connecting (with identify) half of js's time; cycles
of connect, identify and close are 3 times js's; streams opened, used and closed
1.5 times js's; an idle connection costs the server less memory than py's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.table import claim, machine
from tests.interop import install

HOSTS = Path(__file__).parent / "hosts"
ROUNDS = 3
WAIT = 120.0  # seconds for one measure
IDLE = 50  # connections while memory is measured
LESS = {"trips", "connect", "idle"}  # where less is better
UNITS = {
    "bulk": "MiB/s, one stream",
    "trips": "µs, 32 bytes and back",
    "connect": "ms to an identified peer",
    "cycles": "/s, connect identify close",
    "streams": "/s, open echo close",
    "idle": "KiB at the server, idle",
}
SIZES = {  # measure -> how much of it each stack does: about a second
    "bulk": {"py": 96, "": 512},
    "trips": {"py": 1000, "": 5000},
    "connect": {"py": 8, "js": 40, "": 100},
    "cycles": {"py": 8, "js": 40, "": 300},
    "streams": {"py": 200, "js": 500, "": 3000},
    "idle": {"": IDLE},
}
MUSTS = [  # measure, ours, theirs, how many times theirs ours has to be
    ("bulk", "shoal uvloop", "js", 1.5),
    ("bulk", "shoal asyncio", "py", 2.5),
    ("trips", "shoal uvloop", "js", 1.0),
    ("connect", "shoal uvloop", "js", 2.0),
    ("cycles", "shoal uvloop", "js", 3.0),
    ("streams", "shoal uvloop", "js", 1.5),
    ("idle", "shoal uvloop", "py", 1.0),
]


def stacks() -> dict[str, list[str]]:
    """The commands of those that are installed."""
    ours = [sys.executable, str(HOSTS / "shoal_host.py")]
    found = {"shoal uvloop": [*ours, "uvloop"], "shoal asyncio": [*ours, "asyncio"]}
    if install.is_installed("npm", "libp2p") and install.is_installed("pypi", "node"):
        script = install.folder_of("npm", "libp2p") / "js_host.mjs"  # beside its node_modules
        shutil.copyfile(HOSTS / "js_host.mjs", script)
        found["js"] = [str(install.node()), str(script)]
    if install.is_installed("pypi", "libp2p"):
        found["py"] = [str(install.venv_python("libp2p")), str(HOSTS / "py_host.py")]
    return found


def environment() -> dict[str, str]:
    source = str(Path(__file__).parents[1] / "src")
    return {**os.environ, "PYTHONPATH": source, "SHOAL_PROFILE": "local"}


@contextmanager
def child(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that ends when its input does, or by force."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
    )
    try:
        yield process
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()


@contextmanager
def server(command: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Its process id and address."""
    with child([*command, "serve"]) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("ready "):
                yield process.pid, line.split()[1]
                return
        raise RuntimeError(f"{command[-1]} does not start")


def measure(command: Sequence[str], address: str, name: str, size: int) -> float:
    ended = subprocess.run(
        [*command, name, address, str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        timeout=WAIT,
        text=True,
        check=True,
    )
    return median(json.loads(ended.stdout.splitlines()[-1]))


def memory(command: Sequence[str]) -> float:
    """KiB that a connection adds to a server that has served a few before."""
    with server(command) as (pid, address):
        measure(command, address, "connect", 5)
        before = resident(pid)
        with child([*command, "idle", address, str(IDLE)]) as client:
            assert client.stdout
            for line in client.stdout:
                if line.startswith("connected"):
                    break
            return (resident(pid) - before) / IDLE


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


def size_of(name: str, stack: str) -> int:
    sizes = SIZES[name]
    return sizes.get(stack, sizes[""])


def run(names: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """measure -> stack -> median."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for _ in range(rounds):
        for stack, command in stacks().items():
            with server(command) as (_, address):
                for name in names:
                    if name != "idle":
                        value = measure(command, address, name, size_of(name, stack))
                        found[name].setdefault(stack, []).append(value)
            if "idle" in names:
                found["idle"].setdefault(stack, []).append(memory(command))
    return {
        name: {stack: median(values) for stack, values in by_stack.items()}
        for name, by_stack in found.items()
    }


def show(results: dict[str, dict[str, float]], rounds: int) -> None:
    names = list(stacks())
    print(f"{machine()}; two processes, loopback, TCP + Noise + yamux; median of {rounds} rounds\n")
    print(f"{'':28}" + "".join(f"{name:>15}" for name in names) + f"{'ours / js':>11}{'/ py':>8}")
    for measure_name, values in results.items():
        cells = "".join(f"{values[name]:15,.1f}" for name in names)
        ours = values["shoal uvloop"]
        ratios = "".join(
            f"{ratio(measure_name, ours, values[other]):{width}.2f}" if other in values else ""
            for other, width in (("js", 11), ("py", 8))
        )
        print(f"{UNITS[measure_name]:28}{cells}{ratios}")


def ratio(name: str, ours: float, theirs: float) -> float:
    """How many times better we are."""
    better, worse = (theirs, ours) if name in LESS else (ours, theirs)
    return better / max(worse, 1e-9)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(UNITS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    results = run(args.measures or list(UNITS), args.rounds)
    show(results, args.rounds)
    print()
    failed = 0
    for name, ours, theirs, times in MUSTS:
        values = results.get(name, {})
        if ours in values and theirs in values:
            reached = ratio(name, values[ours], values[theirs])
            holds = reached >= times
            failed += not holds
            claim(f"{name}: {ours} is {reached:.2f} x {theirs}, must be {times:g} x", holds=holds)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
