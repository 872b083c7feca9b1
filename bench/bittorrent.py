"""BitTorrent beside libtorrent: transfers, hashing, magnets and memory, on loopback and /dev/shm.

    python -m bench.bittorrent [--size MB] [--rounds N] [CASE ...]

Each side runs in a process of its own; rivals take turns in the same call, so
that a busy machine slows all of them.  The ratio is ours to libtorrent's.
"""

import argparse
import asyncio
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import uvloop
from bench.table import machine

from shoal.disk import Disk
from shoal.swarm.make import Recipe, make_torrent
from shoal.swarm.service import Swarm
from shoal.swarm.storage import Storage
from shoal.swarm.torrent import Torrent

FOLDER = Path("/dev/shm/shoal-bench")
PEER = str(Path(__file__).parent.parent / "tests/interop/bittorrent_libtorrent.py")
LEECHERS = 8
OURS = ("--seed", "--get", "--magnet", "--make", "--check")  # how our side is started


def libtorrent_python() -> str:
    """The interpreter that has libtorrent: ours, or the one `make interop` has made."""
    for python in (sys.executable, ".interop/pypi/libtorrent/bin/python"):
        if not subprocess.run([python, "-c", "import libtorrent"], capture_output=True).returncode:
            return python
    sys.exit("libtorrent is missing: `make interop` installs it")


# Our side, as a program of its own


async def ours(verb: str, torrent: Torrent, folder: str, port: str = "") -> None:
    disk = Disk()
    async with Swarm(disk, random.SystemRandom()) as swarm:
        own = await swarm.listen("127.0.0.1")
        if verb == "seed":
            paths = [str(Path(folder, file.name)) for file in torrent.layout.files]
            swarm.seed(torrent, folder, paths)
            print(f"port {own}", flush=True)
            await asyncio.get_running_loop().create_future()
        peers = [("127.0.0.1", int(port))]
        what = torrent if verb == "get" else torrent.magnet()
        began = time.perf_counter()
        got = await swarm.download(what, folder, peers=peers)
        if verb == "magnet":
            async for _ in got.watch(0.0001):
                if got.torrent is not None:
                    break
        else:
            await got.done.wait()
        print(f"complete {time.perf_counter() - began:.5f}", flush=True)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"memory {memory:.1f}", flush=True)
    await disk.close()


async def make_ours(path: str, version: str) -> Torrent:
    disk = Disk()
    began = time.perf_counter()
    torrent = await make_torrent(disk, path, Recipe(version, 1 << 20))
    print(f"complete {time.perf_counter() - began:.5f}", flush=True)
    await disk.close()
    return torrent


async def check_ours(path: str, torrent: Torrent) -> None:
    disk = Disk()
    began = time.perf_counter()
    storage = Storage(disk, torrent, str(Path(path).parent))
    have = await storage.survey(range(torrent.layout.count))
    assert have.complete
    print(f"complete {time.perf_counter() - began:.5f}", flush=True)
    await disk.close()


def run_ours(verb: str, *words: str) -> None:
    if verb == "make":
        Path(words[1]).write_bytes(asyncio.run(make_ours(words[0], words[2])).encode())
    elif verb == "check":
        asyncio.run(check_ours(words[0], Torrent.decode(Path(words[1]).read_bytes())))
    else:
        uvloop.run(ours(verb, Torrent.decode(Path(words[0]).read_bytes()), *words[1:]))


# Both sides, run as children


def command(side: str, verb: str, *arguments: object) -> list[str]:
    texts = [str(each) for each in arguments]
    if side == "ours":
        return [sys.executable, "-m", "bench.bittorrent", f"--{verb}", *texts]
    return [libtorrent_python(), PEER, "make" if verb == "make" else "run", *texts]


@contextmanager
def child(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.match(pattern, line):
            return match
    sys.exit(f"{process.args} ended before it wrote {pattern}")


def fetch(seed: str, leech: str, torrent: Path, leechers: int = 1) -> float:
    """Seconds until all leechers have everything."""
    with child(command(seed, "seed", torrent, FOLDER)) as source:
        port = wait_for(source, r"port (\d+)")[1]
        if seed == "libtorrent":
            wait_for(source, "complete")
        folders = [FOLDER / f"out{number}" for number in range(leechers)]
        for folder in folders:
            folder.mkdir()
        address = port if leech == "ours" else f"127.0.0.1:{port}"
        began = time.perf_counter()
        words = [command(leech, "get", torrent, folder, address) for folder in folders]
        processes = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in words]
        try:
            found = [float(wait_for(each, r"complete (\S+)")[1]) for each in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for folder in folders:
                shutil.rmtree(folder)
        return found[0] if leechers == 1 else time.perf_counter() - began


def turns(rounds: int, rivals: dict[str, Callable[[], float]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            times[name].append(run())
    return {name: median(each) for name, each in times.items()}


def content(name: str, size: int) -> Path:
    path = FOLDER / name
    block = bytearray(random.Random(1).randbytes(1 << 20))
    with path.open("wb") as file:
        for number in range(size):
            block[:8] = number.to_bytes(8, "big")
            file.write(block)
    return path


def show(title: str, rows: list[tuple[str, ...]]) -> None:
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(34) if not n else cell.rjust(14) for n, cell in enumerate(row)))  # fmt: skip  # noqa: E501


def transfers(size: int, rounds: int) -> None:
    path = content("one.bin", size)
    torrent = FOLDER / "one.torrent"
    subprocess.run(command("ours", "make", path, torrent, "v1"), check=True, capture_output=True)
    pairs = {
        "libtorrent <- libtorrent": ("libtorrent", "libtorrent"),
        "Shoal <- libtorrent": ("libtorrent", "ours"),
        "libtorrent <- Shoal": ("ours", "libtorrent"),
        "Shoal <- Shoal": ("ours", "ours"),
    }
    times = turns(rounds, {name: lambda p=pair: fetch(*p, torrent) for name, pair in pairs.items()})
    base = times["libtorrent <- libtorrent"]
    rows = [
        (name, f"{size * 1.048576 / each:,.0f} MB/s", f"{base / each:.2f} x")
        for name, each in times.items()
    ]
    show(f"one seed, one leecher, {size} MiB (must: 0.9, 1.0, 1.2 x)", rows)


def crowd(size: int, rounds: int) -> None:
    path = content("many.bin", size)
    torrent = FOLDER / "many.torrent"
    subprocess.run(command("ours", "make", path, torrent, "v1"), check=True, capture_output=True)
    sides = ("libtorrent", "ours")
    times = turns(rounds, {side: lambda s=side: fetch(s, s, torrent, LEECHERS) for side in sides})
    base = times["libtorrent"]
    rows = [(side, f"{each:.2f} s", f"{each / base:.2f} x") for side, each in times.items()]
    show(f"one seed to {LEECHERS} leechers, {size} MiB, until all are done (must: 1.3 x)", rows)


def timed(words: list[str]) -> float:
    began = time.perf_counter()
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    match = re.search(r"complete (\S+)", said)
    return float(match[1]) if match else time.perf_counter() - began


def hashing(size: int, rounds: int) -> None:
    path = content("hash.bin", size)
    rows = []
    for version in ("v1", "v2", "hybrid"):
        out, theirs = FOLDER / f"{version}.torrent", FOLDER / f"{version}.lt.torrent"
        times = turns(rounds, {
            "make": lambda o=out, v=version: timed(command("ours", "make", path, o, v)),
            "theirs": lambda o=theirs, v=version: timed(
                command("libtorrent", "make", path, o, v, 1 << 20)
            ),
            "check": lambda o=out, v=version: timed(command("ours", "check", path, o, v)),
        })  # fmt: skip
        for name in ("make", "theirs", "check"):
            speed = f"{size * 1.048576 / times[name]:,.0f} MB/s"
            who = "libtorrent, make" if name == "theirs" else f"Shoal, {name}"
            rows.append((f"{version}: {who}", speed, f"{times['theirs'] / times[name]:.2f} x"))
    show(f"hashing {size} MiB (must: 1.2 x)", rows)


def magnets(size: int, rounds: int) -> None:
    path = content("magnet.bin", 8)
    torrent = FOLDER / "magnet.torrent"
    subprocess.run(command("ours", "make", path, torrent, "v1"), check=True, capture_output=True)
    rows = []
    for seed in ("libtorrent", "ours"):
        with child(command(seed, "seed", torrent, FOLDER)) as source:
            port = wait_for(source, r"port (\d+)")[1]
            if seed == "libtorrent":
                wait_for(source, "complete")
            words = command("ours", "magnet", torrent, FOLDER / "out", port)
            rows.append((f"from {seed}", f"{1000 * median([timed(words) for _ in range(rounds)]):.1f} ms"))  # fmt: skip  # noqa: E501
    show("magnet to metadata (must: under 50 ms)", rows)


def memory(size: int, rounds: int) -> None:
    path = content("memory.bin", size)
    torrent = FOLDER / "memory.torrent"
    subprocess.run(command("ours", "make", path, torrent, "v1"), check=True, capture_output=True)
    with child(command("ours", "seed", torrent, FOLDER)) as source:
        port = wait_for(source, r"port (\d+)")[1]
        (FOLDER / "out").mkdir()
        with child(command("ours", "get", torrent, FOLDER / "out", port)) as leech:
            used = wait_for(leech, r"memory (\S+)")[1]
        shutil.rmtree(FOLDER / "out")
    show(f"memory of a {size} MiB download (must: under 150 MB)", [("Shoal", f"{used} MB")])


CASES: dict[str, Callable[[int, int], None]] = {
    "transfers": transfers,
    "crowd": crowd,
    "hashing": hashing,
    "magnets": magnets,
    "memory": memory,
}


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in OURS:
        run_ours(sys.argv[1][2:], *sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m bench.bittorrent", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    parser.add_argument("--size", type=int, default=1024, help="MiB of a transfer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sizes = {"crowd": options.size // 4, "hashing": options.size * 4}
    print(machine())
    for name in options.cases or CASES:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        try:
            CASES[name](sizes.get(name, options.size), options.rounds)
        finally:
            shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
