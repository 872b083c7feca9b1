"""Throw mutated inputs at every decoder: `python -m tests.fuzz [name ...] [--inputs N]`.

The same inputs every time.  Cases found earlier come first.  What a decoder
should have refused and did not is printed and kept in tests/fuzz/found/.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from tests.fuzz.decoders import BY_NAME, DECODERS
from tests.fuzz.run import FOUND, Failure, Outcome, found, run_watched, try_one
from tests.tally import Tally, append

INPUTS = 200_000  # a decoder
PART = 25_000  # inputs that one process tries at a time


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="decoders; all if none is named")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="inputs for each decoder")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BY_NAME):
        parser.error(f"no decoder {', '.join(sorted(unknown))}: there are {', '.join(BY_NAME)}")
    names = options.names or [decoder.name for decoder in DECODERS]
    outcomes = {name: replay(name) for name in names}
    for name, outcome in work(names, options.inputs):
        outcomes[name].add(outcome)
    for name, outcome in outcomes.items():
        report(name, outcome)
    failed = [f"fuzz {name}" for name, outcome in outcomes.items() if outcome.failures]
    total = Tally(len(outcomes) - len(failed), failed)
    append(total)
    sys.stdout.write(f"{total}\n")
    return 1 if failed else 0


def replay(name: str) -> Outcome:
    outcome = Outcome()
    for decoder, path in found():
        if decoder.name == name:
            result = try_one(decoder, path.read_bytes(), as_view=False)
            if isinstance(result, Failure):
                outcome.failures[result.place] = result
    return outcome


def work(names: list[str], inputs: int) -> Iterator[tuple[str, Outcome]]:
    """All parts, spread over the processors; the order of results is that of the table."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        futures: list[tuple[str, Future[Outcome]]] = [
            (name, pool.submit(run_watched, name, part, min(PART, inputs - part * PART)))
            for name in names
            for part in range(-(-inputs // PART))
        ]
        for name, future in futures:
            yield name, future.result()


def report(name: str, outcome: Outcome) -> None:
    verdict = "FAILED" if outcome.failures else "ok"
    sys.stdout.write(
        f"{name:<24} {verdict:<6} accepted {outcome.accepted:>7,}  refused {outcome.refused:>7,}\n"
    )
    for failure in outcome.failures.values():
        FOUND.mkdir(exist_ok=True)
        failure.path.write_bytes(failure.data)
        sys.stdout.write(f"    {failure.error}\n    {failure.place}\n    {failure.path.name}\n")
        sys.stdout.write(f"    {failure.data[:200]!r}\n")


if __name__ == "__main__":
    sys.exit(main())
