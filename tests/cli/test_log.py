"""Each level says more, on stderr, and nothing twice."""

import logging
from collections.abc import Iterator

import pytest

from shoal.cli.log import set_up


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("shoal")
    handlers, level = list(root.handlers), ours.level
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)


@pytest.mark.parametrize(
    ("verbose", "debug", "levels"),
    [
        (0, False, ["WARNING", "ERROR"]),
        (1, False, ["INFO", "WARNING", "ERROR"]),
        (2, False, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (9, False, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (0, True, ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
def test_each_level_says_more(
    verbose: int, debug: bool, levels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(0)
    set_up(verbose, debug=debug)
    log = logging.getLogger("shoal.pond")
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)("3 fish")
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.err.splitlines()] == levels
    assert all(line.endswith("shoal.pond: 3 fish") for line in said.err.splitlines())
    assert said.out == ""


def test_other_libraries_are_heard_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(2)
    logging.getLogger("other").info("chatter")
    logging.getLogger("other").warning("careful")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["careful"]


def test_a_journal_adds_the_time_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    set_up(0)
    logging.getLogger("shoal").warning("careful")
    assert capsys.readouterr().err == "WARNING shoal: careful\n"
