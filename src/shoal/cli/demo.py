"""shoal demo: the first minute with Shoal, on this machine alone.

shoal demo        eight nodes: one shares a folder, seven find and fetch it
shoal demo dht    eight nodes store and find values in a DHT of their own
shoal demo rpc    three nodes offer services and call them by name
shoal demo sim    a hundred simulated hosts gossip a rumour, twice the same
"""

import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable
from importlib import import_module

from shoal.cli.output import Bar, Output
from shoal.errors import StorageError, UsageError
from shoal.lab.rumour import HOSTS
from shoal.quantity import format_rate, format_size

PARTS = ("share", "dht", "rpc", "sim")
NODES_MIN, NODES_MAX = 3, 30  # for the parts with real nodes


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("part", nargs="?", choices=PARTS, default="share", help="default: share")
    parser.add_argument("--nodes", type=int, default=8, help="of share and dht (default: 8)")
    parser.add_argument("--seed", type=int, default=1, help="which simulated world (default: 1)")
    parser.add_argument(
        "--hosts", type=int, default=HOSTS, help=f"in the simulated world (default: {HOSTS})"
    )


def run(args: Namespace, output: Output) -> object:
    if args.part == "sim":
        return import_module("shoal.cli.rumour").run(args, output)
    if not NODES_MIN <= args.nodes <= NODES_MAX:
        raise UsageError(f"--nodes is {NODES_MIN} to {NODES_MAX}")
    return {"share": share, "dht": dht, "rpc": rpc}[args.part](args, output)


async def share(args: Namespace, output: Output) -> int:
    school = import_module("shoal.lab.school")
    output.note(f"{args.nodes} nodes on 127.0.0.1; the first shares the Python library's source.")
    names = [f"node {number}" for number in range(1, args.nodes)]
    with tempfile.TemporaryDirectory(prefix="shoal-demo-") as folder:
        with output.bars(names) as bars:
            async for scene in school.study(folder, args.nodes):
                draw(scene, bars)
                output.show(event_of(scene))
    if not scene.equal:
        raise StorageError("the folders differ: please report this")
    total = scene.size * len(scene.pupils)
    if output.json:
        return 0
    output.show(
        {},
        f"{scene.files} files, {format_size(scene.size)}, by {scene.magnet[:60]}...\n"
        f"found in a DHT of {max(scene.dht_nodes) + 1} nodes, by its hash alone;\n"
        f"fetched by {len(scene.pupils)} nodes in {scene.seconds:.1f} s: together "
        f"{format_size(total)} at {format_rate(total / scene.seconds)};\n"
        f"{format_size(scene.given)} came from the first node, {format_size(scene.traded)} "
        f"({scene.traded / max(scene.given + scene.traded, 1):.0%}) from each other;\n"
        f"every piece was checked, and every file compared: all {len(scene.pupils)} are equal.",
    )  # fmt: skip
    return 0


def draw(scene: object, bars: list[Bar]) -> None:
    for bar, report in zip(bars, scene.pupils, strict=True):  # type: ignore[attr-defined]
        says = report.waiting or f"{report.pieces}/{report.pieces_total} pieces"
        bar.update(report.done, says, report.total or None)


def event_of(scene: object) -> dict[str, object]:
    event: dict[str, object] = {
        name: getattr(scene, name)
        for name in ("seconds", "files", "size", "given", "traded", "done", "equal", "magnet")
    }
    event["pieces"] = [each.pieces for each in scene.pupils]  # type: ignore[attr-defined]
    return event


async def dht(args: Namespace, output: Output) -> int:
    parts = import_module("shoal.lab.parts")
    return await tell(lambda folder: parts.values(folder, args.nodes), output)


async def rpc(args: Namespace, output: Output) -> int:
    return await tell(import_module("shoal.lab.parts").services, output)


async def tell(
    story: Callable[[str], AsyncIterator[tuple[dict[str, object], str]]], output: Output
) -> int:
    with tempfile.TemporaryDirectory(prefix="shoal-demo-") as folder:
        async for record, sentence in story(os.path.join(folder, "homes")):
            output.show(record, sentence)
    return 0
