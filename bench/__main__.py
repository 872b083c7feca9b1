"""make bench: every claim's table, one script after another.

    python -m bench [NAME ...]

Each script of this folder measures one claim and runs its rival in the same
call.  Measure on a quiet machine.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    files = sorted(HERE.glob("[a-z]*.py"))  # those that can be run; the others help them
    scripts = [path.stem for path in files if '__name__ == "__main__"' in path.read_text()]
    del scripts["table"]  # which prints the others'
    failed = []
    for name in names or scripts:
        print(f"=== {name}", flush=True)
        command = [sys.executable, "-m", f"bench.{name}"]
        if name not in scripts or subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}; there are {', '.join(scripts)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
