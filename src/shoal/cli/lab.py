"""shoal lab: replay looks closely at one run of a scenario; dht and swarms print tables."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from shoal.cli import lab_dht, lab_swarms
from shoal.cli.output import Output
from shoal.errors import SimulationError
from shoal.sim.run import find, name_of, run_one
from shoal.sim.world import World


def configure(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    replay = verbs.add_parser("replay", help="run a scenario with one seed, as its failure said")
    replay.add_argument("scenario", metavar="MODULE:SCENARIO", help="MODULE may be a .py file")
    replay.add_argument("--seed", type=int, default=0, help="which world (default: 0)")
    replay.add_argument(
        "--picture", metavar="FILE", help="who spoke to whom when, as SVG; - draws it here"
    )
    lab_dht.configure(
        verbs.add_parser("dht", help="what lookups in a DHT cost, under each trouble")
    )

    lab_swarms.configure(
        verbs.add_parser("swarms", help="rarest first, tit for tat and free riders, compared")
    )


def run(args: Namespace, output: Output) -> int:
    if args.verb == "dht":
        return lab_dht.run(args, output)
    if args.verb == "swarms":
        return lab_swarms.run(args, output)
    if "" not in sys.path:
        sys.path.insert(0, "")  # scenarios are found from where the command is given
    scenario = find(args.scenario)
    world = World(args.seed, picture=args.picture is not None)
    try:
        outcome = run_one(scenario, args.seed, world=world)
    except SimulationError as error:
        error.advice = "--debug traces it back; --picture FILE shows who spoke to whom"
        raise
    finally:
        if args.picture is not None:
            save(world, args.picture, output)
    output.show(
        {
            "scenario": name_of(scenario),
            "seed": outcome.seed,
            "seconds": outcome.seconds,
            "events": outcome.events,
            "trace": trace(outcome.trace_hash),
            "value": outcome.value,
        },
        f"{name_of(scenario)} passed with seed {outcome.seed}: {outcome.events:,} events in "
        f"{outcome.seconds:.3f} s of simulated time, trace {trace(outcome.trace_hash)}",
    )
    return 0


def save(world: World, path: str, output: Output) -> None:
    assert world.picture
    if path == "-":
        output.note(world.picture.text())
    else:
        Path(path).write_text(world.picture.svg(), encoding="utf-8")


def trace(number: int) -> str:
    """A trace hash as people compare it."""
    return f"{number & 0xFFFFFFFFFFFFFFFF:016x}"
