"""shoal demo sim: a hundred simulated hosts gossip a rumour, twice the same."""

from argparse import Namespace
from statistics import quantiles

from shoal.cli.lab import trace
from shoal.cli.output import Output
from shoal.errors import SimulationError, UsageError
from shoal.lab.rumour import Heard, Story, tell

HOSTS_MIN = 10  # fewer, and nothing of the plan would be left
COLUMNS = 5  # hosts side by side
WIDTH = 100  # of the drawing


def run(args: Namespace, output: Output) -> int:
    if args.hosts < HOSTS_MIN:
        raise UsageError(f"a rumour needs at least {HOSTS_MIN} hosts")
    story, again = tell(args.seed, args.hosts), tell(args.seed, args.hosts)
    if (story.trace_hash, story.heard) != (again.trace_hash, again.heard):
        raise SimulationError(f"two runs with seed {args.seed} differ")
    if output.json:
        output.show(record(args.seed, story))
        return 0
    output.show({}, f"{args.hosts} simulated hosts, seed {args.seed}. What goes wrong:\n")
    output.show({}, f"{story.plan}\n\nWho heard when (seconds, hops; * crashed on the way):\n")
    output.table("heard", *grid(story.heard))
    output.show({}, f"\n{story.picture.text(WIDTH)}\n\n{summary(story)}")
    return 0


def grid(heard: list[Heard]) -> tuple[list[dict[str, str]], list[str]]:
    """The table, folded: a few hosts in each row."""
    rows = -(-len(heard) // COLUMNS)
    names = [f"host {column}" for column in range(1, COLUMNS + 1)]
    cells = [f"{one.host}{'*' if one.crashes else ''} {one.at:.2f}, {one.hops}" for one in heard]
    columns = [cells[start : start + rows] for start in range(0, len(cells), rows)]
    table = [
        {
            name: column[row] if row < len(column) else ""
            for name, column in zip(names, columns, strict=False)
        }
        for row in range(rows)
    ]
    return table, names[: len(columns)]


def summary(story: Story) -> str:
    times = sorted(one.at for one in story.heard)
    half, most = quantiles(times, n=10)[4], quantiles(times, n=10)[8]
    return (
        f"All {len(times)} heard: half by {half:.2f} s, nine in ten by {most:.2f} s, the last at "
        f"{times[-1]:.2f} s, over up to {max(one.hops for one in story.heard)} hops.\n"
        f"{story.events:,} events, and both runs have trace {trace(story.trace_hash)}."
    )


def record(seed: int, story: Story) -> dict[str, object]:
    heard = [
        {"host": one.host, "at": one.at, "from": one.teller, "hops": one.hops,
         "crashes": one.crashes}
        for one in story.heard
    ]  # fmt: skip
    return {
        "seed": seed,
        "trace": trace(story.trace_hash),
        "seconds": story.seconds,
        "events": story.events,
        "faults": [str(fault) for fault in story.plan.faults],
        "heard": heard,
    }
