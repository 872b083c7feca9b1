"""shoal lab swarms: how a swarm fares with each of its rules, as tables."""

from argparse import ArgumentParser, Namespace
from typing import Any

from shoal.cli.output import Output
from shoal.errors import UsageError
from shoal.lab import swarms

TABLES = ("orders", "fairness", "riders")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("table", choices=TABLES, help="which comparison")
    parser.add_argument("--contributors", type=int, default=70)
    parser.add_argument("--riders", type=int, default=30, help="fairness and riders: how many")
    parser.add_argument("--seed", type=int, action="append", help="which world (1); repeatable")
    parser.add_argument("--size", type=int, default=6 << 20, help="bytes of the content (6 MiB)")
    parser.add_argument(
        "--lingers", type=float, default=30.0, help="seconds that contributors serve on (30)"
    )


def run(args: Namespace, output: Output) -> int:
    if args.contributors < 1 or args.riders < 1 or args.size < 1:
        raise UsageError("--contributors, --riders and --size are 1 or more")
    setting = swarms.Setting(contributors=args.contributors, size=args.size, lingers=args.lingers)
    rows = [row for seed in args.seed or [1] for row in rows_of(args, seed, setting)]
    output.table("rows", rows, list(rows[0]))
    return 0


def rows_of(args: Namespace, seed: int, setting: swarms.Setting) -> list[dict[str, Any]]:
    if args.table == "orders":
        return swarms.orders(seed, setting)
    if args.table == "fairness":
        return swarms.fairness(seed, setting, count=args.riders)
    return [swarms.riders(seed, setting, count=args.riders)]
