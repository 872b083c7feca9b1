"""Twenty nodes of libp2p's DHT in one process on loopback: Shoal beside js-libp2p.

    python -m bench.kad [--nodes N] [--rounds N] [--turns N]

Claims: the medians of put (stored with all) and get (asked of all) are below
js-libp2p's in the same call.  The aim is 15 ms.
"""

import argparse
import json
import shutil
import subprocess
import sys
from statistics import median

from bench.host import HOSTS, environment
from bench.table import claim, machine
from tests.interop import install

NODES, ROUNDS, TURNS = 20, 20, 3
WAIT = 120.0  # seconds for one turn
OURS = "shoal uvloop"


def stacks() -> dict[str, list[str]]:
    """The commands of those that are installed."""
    ours = [sys.executable, str(HOSTS / "shoal_kad.py")]
    found = {OURS: [*ours, "uvloop"], "shoal asyncio": [*ours, "asyncio"]}
    if install.is_installed("npm", "libp2p") and install.is_installed("pypi", "node"):
        script = install.folder_of("npm", "libp2p") / "js_kad.mjs"  # beside its node_modules
        shutil.copyfile(HOSTS / "js_kad.mjs", script)
        found["js"] = [str(install.node()), str(script)]
    return found


def turn(command: list[str], nodes: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each put and get."""
    ended = subprocess.run(
        [*command, str(nodes), str(rounds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        timeout=WAIT,
        text=True,
        check=True,
    )
    times: dict[str, list[float]] = json.loads(ended.stdout.splitlines()[-1])
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="puts and gets in one turn")
    parser.add_argument("--turns", type=int, default=TURNS)
    args = parser.parse_args()
    times: dict[str, dict[str, list[float]]] = {name: {"put": [], "get": []} for name in stacks()}
    for _ in range(args.turns):
        for name, command in stacks().items():
            for what, values in turn(command, args.nodes, args.rounds).items():
                times[name][what] += values
    print(f"{machine()}; {args.nodes} nodes in one process, ms, median of all\n")
    print(f"{'':16}{'put':>10}{'get':>10}")
    for name, found in times.items():
        print(f"{name:16}{median(found['put']):10.1f}{median(found['get']):10.1f}")
    print()
    failed = 0
    for what in ("put", "get") if "js" in times else ():
        ours, theirs = median(times[OURS][what]), median(times["js"][what])
        failed += ours >= theirs
        claim(f"{what}: {ours:.1f} ms, js {theirs:.1f} ms: ours is less", holds=ours < theirs)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
