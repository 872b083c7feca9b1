"""shoal demo: real nodes share, store and call on this machine."""

import json

import pytest

from shoal.cli.main import main


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_three_nodes_fetch_the_library_from_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--nodes", "3", "--json"]) == 0
    scenes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    last = next(scene for scene in scenes if scene.get("done"))
    assert last["equal"]
    assert last["files"] > 100
    assert last["given"] + last["traded"] >= 2 * last["size"] * 0.9


def test_values_and_services_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "dht", "--nodes", "4"]) == 0
    said = capsys.readouterr().out
    assert "'node 3 was here'" in said
    assert "signed, under one key: 'second'" in said
    assert main(["demo", "rpc", "--json"]) == 0
    scenes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"name": "fibonacci", "argument": 30, "answer": 832040}.items() <= scenes[3].items()


def test_a_demo_of_one_node_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--nodes", "1"]) == 2
    assert "--nodes is 3 to 30" in capsys.readouterr().err
