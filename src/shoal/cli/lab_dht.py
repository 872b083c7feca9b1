"""shoal lab dht: what Kademlia's lookups cost in a simulated network, as tables."""

from argparse import ArgumentParser, Namespace
from typing import Any

from shoal.cli.output import Output
from shoal.errors import UsageError
from shoal.lab import lookups, minutes, rings

TABLES = ("hops", "joins", "chord", "churn", "half", "liars", "minute")
TIERS = {"service": minutes.service, "engine": minutes.engine}
SIZES = {
    "hops": 10_000,
    "joins": 1000,
    "chord": 1000,
    "churn": 300,
    "half": 1000,
    "liars": 10_000,
    "minute": 10_000,
}
SHARES = {"half": 0.5, "liars": 0.2}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("table", choices=TABLES, help="which experiment")
    parser.add_argument("--size", type=int, help="nodes (each experiment has its own default)")
    parser.add_argument("--k", type=int, help="of the buckets (8; liars: 16)")
    parser.add_argument("--seed", type=int, default=1, help="which world (default: 1)")
    parser.add_argument("--lookups", type=int, default=500)
    parser.add_argument("--hours", type=float, default=1.0, help="churn: how long to look")
    parser.add_argument(
        "--young", action="store_true", help="churn: all sessions have just begun, most are short"
    )
    parser.add_argument(
        "--share", type=float, help="of the nodes that die (half: 0.5) or lie (liars: 0.2)"
    )
    parser.add_argument("--paths", type=int, action="append", help="liars: 1 to 8; repeatable")
    parser.add_argument(
        "--tier", choices=TIERS, default="service", help="minute: how much of each node is real"
    )


def run(args: Namespace, output: Output) -> int:
    size = args.size or SIZES[args.table]
    if size < 2 or args.lookups < 1 or not 0 <= (args.share or 0) < 1:
        raise UsageError("--size is 2 or more, --lookups 1 or more, --share from 0 to below 1")
    rows = rows_of(args, size)
    output.table("rows", rows, list(rows[0]))
    return 0


def rows_of(args: Namespace, size: int) -> list[dict[str, Any]]:
    seed, count = args.seed, args.lookups
    if args.table in ("hops", "joins"):
        joined = args.table == "joins"
        return [lookups.hops(seed, size=size, k=args.k or 8, lookups=count, joined=joined)]
    if args.table == "chord":
        return [rings.chord(seed, size=size, lookups=count)]
    if args.table == "churn":
        return [
            lookups.churn(
                seed, size=size, hours=args.hours, lookups=count, values=values, young=args.young
            )
            for values in (True, False)
        ]
    if args.table == "minute":
        return [TIERS[args.tier](seed, size=size)]
    share = SHARES[args.table] if args.share is None else args.share
    if args.table == "half":
        return [lookups.half(seed, size=size, share=share, lookups=count)]
    return [
        lookups.liars(seed, size=size, share=share, paths=paths, k=args.k or 16, lookups=count)
        for paths in args.paths or (1, 4, 8)
    ]
