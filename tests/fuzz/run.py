"""One decoder against its inputs: what it accepted, what it refused, how it failed."""

import hashlib
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.fuzz.decoders import BY_NAME, Decoder
from tests.fuzz.mutate import Inputs

from shoal.errors import ProtocolError

FOUND = Path(__file__).parent / "found"
PATIENCE = 100  # seconds for one part: whoever takes longer is stuck, or too slow for a peer
FAILURES_MAX = 5  # of one decoder that are kept: more would say the same


@dataclass
class Failure:
    """An input which a decoder neither accepted nor refused."""

    decoder: str
    data: bytes
    error: str
    place: str  # the line that raised it

    @property
    def path(self) -> Path:
        return FOUND / f"{self.decoder}-{hashlib.sha256(self.data).hexdigest()[:12]}.bin"


@dataclass
class Outcome:
    """What became of the inputs of one decoder."""

    accepted: int = 0
    refused: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)  # by place: one of a sort

    def add(self, other: "Outcome") -> None:
        self.accepted += other.accepted
        self.refused += other.refused
        for place, failure in other.failures.items():
            self.failures.setdefault(place, failure)


def found() -> Iterator[tuple[Decoder, Path]]:
    """The committed cases; one whose decoder is gone is in the way and says so."""
    for path in sorted(FOUND.glob("*.bin")):
        yield BY_NAME[path.stem.rpartition("-")[0]], path


def try_one(decoder: Decoder, data: bytes, as_view: bool) -> bool | Failure:
    """Whether it was accepted, or what went wrong."""
    try:
        decoder.call(memoryview(data) if as_view else data)
    except ProtocolError:
        return False
    except Exception as error:  # whatever it is, it must not come out of a decoder
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {last.name}:{last.lineno}"
        return Failure(decoder.name, data, f"{type(error).__name__}: {error}", place)
    return True


def run(name: str, part: int, count: int) -> Outcome:
    """Part of the inputs of a decoder: the same part has the same inputs on any machine."""
    decoder = BY_NAME[name]
    inputs = Inputs(f"{name} {part}", decoder.seeds)
    outcome = Outcome()
    for index, data in enumerate(islice(inputs, count)):
        result = try_one(decoder, data, as_view=index % 2 == 1)
        if isinstance(result, Failure):
            if len(outcome.failures) < FAILURES_MAX:
                outcome.failures.setdefault(result.place, result)
        elif result:
            outcome.accepted += 1
            inputs.accepted(data)
        else:
            outcome.refused += 1
    return outcome


def run_watched(name: str, part: int, count: int) -> Outcome:
    """The same in a process of its own, where the input that does not end is found out."""
    signal.signal(signal.SIGALRM, _out_of_patience)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
    outcome = run(name, part, count)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return outcome


def _out_of_patience(*_: object) -> None:
    raise TimeoutError(f"{PATIENCE} seconds are over")
