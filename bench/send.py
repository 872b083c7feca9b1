"""One file from one process to another on this machine, by a code: Shoal and magic-wormhole.

    python -m bench.send [--size MIB] [--rounds N]

Claim: encrypted, Shoal moves a gibibyte at twice magic-wormhole's rate, in
memory (/dev/shm) as in the other benches.  On a disk the same is shown without
a claim: we sync the file before it gets its name and magic-wormhole does not, so
that what is compared there is the disk with the memory before it.

Each sends by its own command to its own command; magic-wormhole has a mailbox
and a relay of its own on loopback.  The rate counts from the moment the receiver
makes its first file until the file has its name; the whole command, from its
start until it ends, is shown beside it.  Before each, a file of that size is
written and removed: memory that a virtual machine has never touched costs whoever
gets it first ten times as much to write as to use again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from bench.table import claim, show
from tests.interop import install
from tests.interop.children import Child, free_port

LOCAL = "127.0.0.1"
GROUP = "wormhole"
CODE = "7-guitarist-revenge"
TIMES = 2.0  # the rate that is claimed, in magic-wormhole's
MEMORY = Path("/dev/shm")
POLL = 0.002  # seconds between looks at the receiver's folder
WAIT = 120.0  # seconds for one transfer
NAME = "file"

Figures = tuple[float, float]  # MB/s of the transfer, seconds of the receiver's command


def environment(home: Path) -> dict[str, str]:
    source = str(Path(__file__).parents[1] / "src")
    more = {"PYTHONPATH": source, "SHOAL_PROFILE": "local", "SHOAL_HOME": str(home)}
    return {**os.environ, **more, "HOME": str(home)}


def watch(command: list[str], out: Path, size: int, home: Path) -> Figures:
    """Run a receiver; how fast the file came."""
    began = perf_counter()
    first = last = 0.0
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(home)
    ) as process:
        while not last and perf_counter() - began < WAIT and process.poll() is None:
            if not first and any(out.iterdir()):
                first = perf_counter()
            if (out / NAME).exists():
                last = perf_counter()
            sleep(POLL)
        if process.wait(WAIT):
            raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    ended = perf_counter()
    if (out / NAME).stat().st_size != size:
        raise RuntimeError("the file is not all there")
    return size / ((last or ended) - first) / 1e6, ended - began


def shoal(source: Path, out: Path, home: Path) -> Figures:
    program = [sys.executable, "-m", "shoal"]
    with subprocess.Popen(
        [*program, "send", "--json", str(source)],
        stdout=subprocess.PIPE, env=environment(home),
    ) as sender:  # fmt: skip
        assert sender.stdout
        code = json.loads(sender.stdout.readline())["code"]
        command = [*program, "get", "--json", code, "-o", str(out)]
        return watch(command, out, source.stat().st_size, home)


class Wormhole:
    """magic-wormhole, and the servers it meets at."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        programs = install.venv_python(GROUP).parent
        mailbox, relay = free_port(), free_port()
        twist, where = str(programs / "twist"), f"interface={LOCAL}"
        for name, port, more in (
            ("wormhole-mailbox", mailbox, [f"--channel-db={folder / 'mailbox.sqlite'}"]),
            ("transitrelay", relay, []),
        ):
            command = [twist, name, f"--port=tcp:{port}:{where}", *more]
            stack.enter_context(Child(command, port=port, folder=folder))
        self.command = [
            str(programs / "wormhole"), f"--relay-url=ws://{LOCAL}:{mailbox}/v1",
            f"--transit-helper=tcp:{LOCAL}:{relay}",
        ]  # fmt: skip

    def __call__(self, source: Path, out: Path, home: Path) -> Figures:
        send = [*self.command, "send", "--hide-progress", f"--code={CODE}", str(source)]
        with subprocess.Popen(
            send, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(home)
        ):
            sleep(2)  # it says nothing to a program when it is ready
            command = [*self.command, "receive", "--hide-progress", "--accept-file"]
            command += [f"--output-file={out / NAME}", CODE]
            return watch(command, out, source.stat().st_size, home)


@contextmanager
def contenders(folder: Path) -> Iterator[dict[str, object]]:
    with ExitStack() as stack:
        found: dict[str, object] = {"shoal": shoal}
        if install.is_installed("pypi", GROUP):
            found["magic-wormhole"] = Wormhole(stack, folder)
        yield found


def compare(folder: Path, mebibytes: int, rounds: int) -> dict[str, Figures]:
    source = folder / NAME
    with source.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(1 << 20))
    found: dict[str, list[Figures]] = {}
    with contenders(folder) as all_:
        for _ in range(rounds):
            for name, send in all_.items():
                out = folder / "out"
                out.mkdir()
                shutil.copyfile(source, folder / "warm")
                (folder / "warm").unlink()
                found.setdefault(name, []).append(send(source, out, folder / "home"))  # type: ignore[operator]
                shutil.rmtree(out)
    return {
        name: (median(rate for rate, _ in each), median(seconds for _, seconds in each))
        for name, each in found.items()
    }


def measure(where: str, parent: Path | None, mebibytes: int, rounds: int) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory(prefix="shoal-bench-", dir=parent) as folder:
        found = compare(Path(folder), mebibytes, rounds)
    rows = [[name, f"{rate:.0f}", f"{seconds:.1f}"] for name, (rate, seconds) in found.items()]
    title = f"{mebibytes} MiB by a code, from process to process, {where}"
    show(title, ["", "MB/s", "s, whole command"], rows, f"median of {rounds} rounds")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = measure("in memory", MEMORY, args.size, args.rounds)
    measure("on a disk", None, args.size, args.rounds)
    if "magic-wormhole" not in found:
        print("magic-wormhole is not installed: `make interop` installs it")
        return 0
    rate = found["shoal"][0] / found["magic-wormhole"][0]
    claim(
        f"in memory {rate:.1f} times magic-wormhole's rate; {TIMES:g} is claimed",
        holds=rate >= TIMES,
    )
    return 0 if rate >= TIMES else 1


if __name__ == "__main__":
    sys.exit(main())
