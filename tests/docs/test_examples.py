"""Every example runs and prints what it promises."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from tempfile import gettempdir

import pytest
from tests.docs.surroundings import ROOT, environment
from tests.interop.children import Child

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@dataclass(frozen=True)
class Run:
    """How an example is run: after which others, and what it prints when it works."""

    prints: str = ""  # a regular expression; an example that prints it may go on for ever
    after: tuple[str, ...] = ()  # examples that must be running
    alone: bool = False  # it has ports of its own: one at a time
    arguments: tuple[str, ...] = ()  # {0} is what the first group of `prints` of the first found
    asks: bool = False  # for its arguments, on stdin


RUNS: dict[str, Run] = {  # those that do not simply run to their end
    "share_file.py": Run(prints=r"(magnet:\S+)"),
    "first_file.py": Run(
        prints="Share this file", after=("share_file.py",), arguments=("{0}",), asks=True
    ),
    "grape_first.py": Run(prints="grape ready", alone=True),
    "grape_put.py": Run(prints=r"published (\w{40})", after=("grape_first.py",)),
    "grape_get.py": Run(
        prints="got Hello, P2P World!", after=("grape_put.py",), arguments=("{0}",)
    ),
}


@contextmanager
def running(name: str, folder: Path) -> Iterator[Child]:
    """The example as a child that has printed what it promises, those it needs before it."""
    how = RUNS.get(name, Run())
    with ExitStack() as stack:
        if how.alone:
            lock = stack.enter_context(open(Path(gettempdir(), f"shoal-example-{name}"), "w"))
            flock(lock, LOCK_EX)  # until it is closed
        first = [stack.enter_context(running(needed, folder)) for needed in how.after]
        found = [child.match[1] for child in first if child.match and child.match.groups()]
        arguments = [argument.format(*found) for argument in how.arguments]
        place = folder / name
        place.mkdir()
        command = [sys.executable, "-W", "error", str(ROOT / "examples" / name)]
        child = stack.enter_context(
            Child(
                command if how.asks else [*command, *arguments],
                ready="" if how.asks else how.prints,
                folder=place,
                environment=environment(place),
            )
        )
        for argument in arguments if how.asks else ():
            child.say(argument)
        if how.asks:
            child.match = child.wait_for(how.prints)
        yield child


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_runs(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as child:
        if name not in RUNS or not RUNS[name].prints:
            assert child.wait() == 0, child.log
            assert child.log, "an example shows something"


def test_the_table_of_runs_names_examples() -> None:
    assert set(RUNS) <= set(EXAMPLES)
