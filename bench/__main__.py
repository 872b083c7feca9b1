"""make bench: every claim's table, one script after another.

    python -m bench [NAME ...]

Each script of this folder measures one claim and runs its rival in the same
call.  Measure on a quiet machine.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def scripts() -> list[str]:
    """Those that can be run; the others help them."""
    files = sorted(HERE.glob("[a-z]*.py"))
    return [path.stem for path in files if '__name__ == "__main__"' in path.read_text()]


def main(names: list[str]) -> int:
    known = scripts()
    failed = []
    for name in names or known:
        print(f"=== {name}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        if name not in known or subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}; there are {', '.join(known)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
