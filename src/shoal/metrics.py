"""What one node counts, as Prometheus reads it.

Metrics is made by the node and handed down; a service keeps the counters it
asks for and adds to them: `counter.value += 1` is the whole cost.  A family
with labels has one member per combination of label values; as peers may
choose those values, a family stops growing at MEMBERS_MAX and counts the rest
under `other`.

Text exposition format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from shoal.errors import UsageError

MEMBERS_MAX = 100  # label combinations of a family: a page stays readable, memory bounded
OTHER = "other"  # the label value of the combinations beyond that
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)  # from loopback to a patient user
NAME = re.compile(r"[a-z][a-z0-9_]*")
ESCAPES = {"\\": "\\\\", "\n": "\\n", '"': '\\"'}


class Counter:
    """A number that only grows; `read`, if set, is called when somebody looks."""

    __slots__ = ("read", "value")
    kind = "counter"

    def __init__(self) -> None:
        self.value: float = 0
        self.read: Callable[[], float] | None = None

    def samples(self) -> Iterator[tuple[str, str, float]]:
        """(suffix of the name, extra label, value) of each line."""
        yield "", "", self.value if self.read is None else self.read()


class Gauge(Counter):
    """A number that rises and falls."""

    __slots__ = ()
    kind = "gauge"


class Histogram:
    """How often values fell at or under each bound."""

    __slots__ = ("bounds", "counts", "sum")
    kind = "histogram"

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one: above every bound
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def samples(self) -> Iterator[tuple[str, str, float]]:
        total = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            total += count
            yield "_bucket", f'le="{bound!r}"', total
        total += self.counts[-1]
        yield "_bucket", 'le="+Inf"', total
        yield "_sum", "", self.sum
        yield "_count", "", total


Member = TypeVar("Member", Counter, Gauge, Histogram)


class Family(Generic[Member]):
    """The members of one name, by the values of their labels."""

    def __init__(self, labels: Sequence[str], make: Callable[[], Member]) -> None:
        self.labels = tuple(labels)
        self._make: Callable[[], Member] = make
        self._members: dict[tuple[str, ...], Member] = {}

    def of(self, *values: str) -> Member:
        """The member with these label values; keep it where it is used often."""
        member = self._members.get(values)
        if member is None:
            if len(values) != len(self.labels):
                raise UsageError(f"a value for each of the labels {', '.join(self.labels)}")
            if len(self._members) >= MEMBERS_MAX:
                values = (OTHER,) * len(self.labels)
            member = self._members.setdefault(values, self._make())
        return member

    def members(self) -> list[tuple[str, Member]]:
        """Each member after its labels as text, in a fixed order."""
        return [(self._text(values), self._members[values]) for values in sorted(self._members)]

    def _text(self, values: tuple[str, ...]) -> str:
        pairs = zip(self.labels, values, strict=True)
        return ",".join(f'{name}="{escape(value)}"' for name, value in pairs)


class Metrics:
    """All that one node counts.

    Asking twice for a name gives the same family.  Names are without the
    prefix `shoal_`; a counter's ends in `_total`, a unit comes last, as
    Prometheus wants it.
    """

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, Family[Any]]] = {}  # name -> kind, help, family

    def counter(self, name: str, says: str) -> Counter:
        return self.counters(name, says).of()

    def gauge(self, name: str, says: str, read: Callable[[], float] | None = None) -> Gauge:
        gauge = self.gauges(name, says).of()
        gauge.read = read
        return gauge

    def histogram(self, name: str, says: str, bounds: Sequence[float] = SECONDS) -> Histogram:
        return self.histograms(name, says, bounds=bounds).of()

    def counters(self, name: str, says: str, *labels: str) -> Family[Counter]:
        return self._family(name, says, Counter.kind, Family(labels, Counter))

    def gauges(self, name: str, says: str, *labels: str) -> Family[Gauge]:
        return self._family(name, says, Gauge.kind, Family(labels, Gauge))

    def histograms(
        self, name: str, says: str, *labels: str, bounds: Sequence[float] = SECONDS
    ) -> Family[Histogram]:
        bounds = tuple(sorted(bounds))
        return self._family(name, says, Histogram.kind, Family(labels, lambda: Histogram(bounds)))

    def text(self) -> str:
        """The page that Prometheus fetches."""
        lines: list[str] = []
        for name in sorted(self._families):
            kind, says, family = self._families[name]
            help_ = says.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP shoal_{name} {help_}", f"# TYPE shoal_{name} {kind}"]
            for labels, member in family.members():
                lines += [sample(name, labels, *each) for each in member.samples()]
        return "\n".join([*lines, ""])

    def _family(self, name: str, says: str, kind: str, fresh: Family[Member]) -> Family[Member]:
        if not all(map(NAME.fullmatch, (name, *fresh.labels))):
            raise UsageError(f"{name} {fresh.labels}: names are small letters, digits and _")
        known, _, family = self._families.setdefault(name, (kind, says, fresh))
        if (known, family.labels) != (kind, fresh.labels):
            raise UsageError(f"{name} is a {known} with the labels {family.labels} already")
        return family


def sample(name: str, labels: str, suffix: str, extra: str, value: float) -> str:
    inside = ",".join(filter(None, (labels, extra)))
    braces = f"{{{inside}}}" if inside else ""
    return f"shoal_{name}{suffix}{braces} {number(value)}"


def number(value: float) -> str:
    return repr(value).replace("inf", "+Inf").replace("-+", "-").replace("nan", "NaN")


def escape(value: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in value)
