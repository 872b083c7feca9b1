"""shoal demo and shoal lab replay, in this process."""

import json
from pathlib import Path

import pytest

from shoal.cli.main import main


def test_the_demo_prints_who_heard_when_and_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "sim", "--hosts", "20", "--seed", "2"]) == 0
    said = capsys.readouterr().out
    assert all(f"node{number} " in said or f"node{number}* " in said for number in range(20))
    assert "All 20 heard" in said
    assert "both runs have trace" in said
    assert "partition of 8 nodes" in said


def test_the_demo_as_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "sim", "--hosts", "20", "--json"]) == 0
    story = json.loads(capsys.readouterr().out)
    assert len(story["heard"]) == 20
    assert set(story["heard"][3]) == {"host", "at", "from", "hops", "crashes"}


def test_a_demo_needs_a_few_hosts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "sim", "--hosts", "3"]) == 2
    assert "at least 10" in capsys.readouterr().err


def test_a_replay_says_what_happened(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "run.svg"
    name = "tests.sim.scenarios:ping_pong"
    assert main(["lab", "replay", name, "--seed", "4", "--picture", str(picture), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["scenario"], said["seed"], said["seconds"]) == (name, 4, 20.0)
    assert picture.read_text().startswith("<svg")
    assert main(["lab", "replay", name, "--seed", "4", "--picture", "-"]) == 0
    caught = capsys.readouterr()
    assert f"{name} passed with seed 4" in caught.out
    assert said["trace"] in caught.out
    assert "node1" in caught.err


def test_a_replay_of_nothing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "replay", "nothing"]) == 2
    assert main(["lab", "replay", "no.such:scenario"]) == 2
    assert main(["lab"]) == 2


def test_swarms_are_compared_with_each_seed_that_is_named(capsys):
    few = ["--contributors", "4", "--riders", "2", "--size", "200000", "--seed", "1", "--seed", "2"]
    assert main(["lab", "swarms", "riders", *few, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["seed"] for row in rows] == [1, 2]
    assert main(["lab", "swarms", "riders", "--riders", "0"]) == 2
