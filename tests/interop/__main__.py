"""make interop: Shoal against programs that none of us wrote, on loopback.

Installs what it can of them, then runs the tests marked `interop` in a network
that has loopback only.  A test that fails runs once more, with fresh
processes, ports and folders, and that is printed.  After LAST minutes all of
it is stopped.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests import tally
from tests.interop import install, loopback
from tests.interop.children import GROUPS, end_groups
from tests.tally import Tally

LAST = 29.0  # minutes; the gate allows 30
TEST_MAX = 180  # seconds for one test: other programs have timers of a minute
NOTHING_RAN = 5  # pytest's exit code when no test was selected


def main(arguments: Sequence[str]) -> int:
    deadline = time.monotonic() + LAST * 60
    install.install()
    alone = loopback.wrapper()
    if not alone:
        print("note: no network namespace here (unshare is refused): running beside the network")
    selected = list(arguments) or ["tests"]
    first = run_tests(alone, selected, deadline)
    total = first
    if first.failed and time.monotonic() < deadline:
        names = [name for name in first.failed if "::" in name]
        print(f"retry: {len(names)} failed once and run again, on their own", flush=True)
        second = run_tests(alone, names, deadline) if names else Tally()
        for name in names:
            said = "failed again" if name in second.failed else "passed at the second try"
            print(f"retry: {name}: {said}")
        lost = [name for name in first.failed if "::" not in name]
        total = Tally(first.passed + second.passed, [*second.failed, *lost], first.skipped)
    tally.append(total)
    print(f"interop: {total}")
    return 1 if total.failed else 0


def run_tests(alone: Sequence[str], selected: Sequence[str], deadline: float) -> Tally:
    """One pytest run over these files or tests."""
    with tempfile.TemporaryDirectory(prefix="shoal-interop-") as folder:
        file = Path(folder, "tally")
        options = ["-m", "interop", "-rs", "--durations=5", f"--timeout={TEST_MAX}"]
        command = [*alone, sys.executable, "-m", "pytest", *options, *selected]
        environment = {**os.environ, tally.VARIABLE: str(file), GROUPS: folder}
        ended = run(command, environment, deadline)
        end_groups(Path(folder))
        found = tally.read(file) or Tally()
    if ended and not found.failed:
        found.failed.append(f"interop: {ended}")
    return found


def run(command: Sequence[str], environment: dict[str, str], deadline: float) -> str:
    """How the command ended, empty for well."""
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        code = child.wait(max(0.0, deadline - time.monotonic()))
        return "" if code in (0, NOTHING_RAN) else f"pytest ended with {code}"
    except subprocess.TimeoutExpired:
        return f"stopped after {LAST:g} minutes"
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
