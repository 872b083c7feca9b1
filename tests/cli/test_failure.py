"""Each kind of failure has its sentences and its code."""

import errno
import inspect

import pytest

from shoal import errors
from shoal.cli.failure import MISTAKE, explain
from shoal.errors import NotFoundError, ShoalError, UnreachableError

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ShoalError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_says_what_happened_and_what_to_do(kind: type[ShoalError]) -> None:
    failure = explain(kind("the pond is dry"))
    assert failure.happened.endswith(": the pond is dry")
    assert failure.advice
    assert failure.advice != MISTAKE
    assert failure.code in (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EADDRINUSE, "choose another port"),
        (errno.EACCES, "make the file readable"),
        (errno.ENOSPC, "free some space"),
        (errno.EISDIR, "check the name"),
    ],
)
def test_what_the_system_says_has_advice_of_its_own(number: int, advice: str) -> None:
    failure = explain(OSError(number, "no, it said", "pond.txt"))
    assert failure.happened == "No, it said: pond.txt"
    assert failure.advice.startswith(advice)
    assert failure.code == 1


def test_notes_and_reasons_are_what_was_tried() -> None:
    error = UnreachableError("X", {"a": "refused"})
    error.add_note("the DHT: asked 43 nodes")
    assert explain(error).tried == ["a: refused", "the DHT: asked 43 nodes"]


def test_whoever_raises_an_error_may_know_better_what_to_do() -> None:
    error = NotFoundError("X")
    error.advice = "ask the carp"
    assert explain(error).advice == "ask the carp"


def test_the_first_failure_of_a_group_is_told() -> None:
    group = ExceptionGroup("a", [ExceptionGroup("b", [NotFoundError("X")]), ValueError("echo")])
    assert explain(group).code == 3


def test_a_mistake_of_ours_says_so() -> None:
    failure = explain(ZeroDivisionError("division by zero"))
    assert failure.happened == "Something unforeseen happened: ZeroDivisionError: division by zero"
    assert failure.advice == MISTAKE
