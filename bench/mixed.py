"""Calls while the same node downloads: does bulk hold up what is small?

    python -m bench.mixed [--size MB]

Claim: while a 1 GiB download runs in the same node, the p99 of `node.call` is
at most ten times that of the idle node.  The callee and the giver are processes
of their own; the node under test, on uvloop, calls one after another.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

import uvloop
from bench.table import claim, show

from shoal.config import Config
from shoal.node import Node

FOLDER = Path("/dev/shm/shoal-bench-mixed")
PAYLOAD = "x" * 32
IDLE_CALLS = 5000
PAUSE = 0.001  # seconds between calls: they are to be felt, not to fill the loop
RATIO_MAX = 10.0


async def serve(path: str) -> None:
    """A named service in one process, or a content in another."""
    async with Node(Config(profile="local", dht=[])) as node:

        @node.service("bench:mixed")
        async def echo(payload: Any) -> Any:
            return payload

        told: dict[str, Any] = {"address": str(node.addresses[0])}
        if path:
            told |= {"magnet": (await node.share(path)).magnet}
            told |= {"port": (await node.swarm.open()).port}
        print(json.dumps(told), flush=True)
        await asyncio.get_running_loop().create_future()


@contextmanager
def server(path: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.mixed", "--serve", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            yield json.loads(child.stdout.readline())
        finally:
            child.terminate()


async def measure(callee: str, giver: dict[str, Any]) -> tuple[list[float], list[float], float]:
    """Seconds of each call when idle and while it downloads, and the download's seconds."""
    async with Node(Config(profile="local", dht=[]), listen=[]) as node:
        await node.dial(callee)
        await calls(node, IDLE_CALLS // 5)
        idle = await calls(node, IDLE_CALLS)
        began = perf_counter()
        peers = [("127.0.0.1", giver["port"])]
        download = asyncio.ensure_future(
            node.get(giver["magnet"], str(FOLDER / "got"), peers=peers)
        )
        busy: list[float] = []
        while not download.done():
            busy += await calls(node, 1)
        await download
        return idle, busy, perf_counter() - began


async def calls(node: Node, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = perf_counter()
        await node.call("bench:mixed", PAYLOAD, timeout=30)
        times.append(perf_counter() - began)
        await asyncio.sleep(PAUSE)
    return times


def row(name: str, times: list[float]) -> list[str]:
    cuts = [value * 1e3 for value in quantiles(times, n=100)]
    middle, late, most = cuts[49], cuts[98], max(times) * 1e3
    return [name, str(len(times)), f"{middle:.3f}", f"{late:.3f}", f"{most:.3f}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MB")
    parser.add_argument("--serve")
    args = parser.parse_args()
    if args.serve is not None:
        uvloop.run(serve(args.serve))
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        content = FOLDER / "content"
        with content.open("wb") as file:
            for number in range(args.size):
                file.write(number.to_bytes(8, "big") * (1 << 17))
        with server("") as callee, server(str(content)) as giver:
            idle, busy, seconds = uvloop.run(measure(callee["address"], giver))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    late = [quantiles(times, n=100)[98] for times in (idle, busy)]
    columns = ["node.call", "calls", "median ms", "p99 ms", "most ms"]
    rate = args.size / seconds
    how = f"{args.size} MiB in {seconds:.1f} s, {rate:.0f} MiB/s; one run"
    show("calls beside a download", columns, [row("idle", idle), row("downloading", busy)], how)
    claim(f"p99 at most {RATIO_MAX:g} times the idle one: {late[1] / late[0]:.1f}",
          holds=late[1] <= RATIO_MAX * late[0])  # fmt: skip
    return int(late[1] > RATIO_MAX * late[0])


if __name__ == "__main__":
    sys.exit(main())
