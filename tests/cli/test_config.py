"""shoal config shows each value and where it came from."""

import json
from pathlib import Path

import pytest

from shoal.cli.main import main


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    assert main(["config", "--json", *arguments]) == 0
    return {row["key"]: row for row in json.loads(capsys.readouterr().out)["settings"]}


def test_each_value_has_an_origin(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("dht = ['libp2p']")
    rows = shown(capsys, "--home", str(tmp_path), "--set", "bootstrap=a.example:1,b.example:2")
    assert rows["dht"]["value"] == ["libp2p"]
    assert rows["dht"]["origin"] == str(tmp_path / "config.toml")
    assert rows["bootstrap"]["value"] == ["a.example:1", "b.example:2"]
    assert rows["bootstrap"]["origin"] == "flag"
    assert rows["profile"]["origin"] == "SHOAL_PROFILE"
    assert rows["listen"]["origin"] == "default"


def test_only_the_keys_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(shown(capsys, "profile", "dht")) == ["profile", "dht"]


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "profile", "--explain"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["key", "value", "unit", "origin", "says"]
    assert row.startswith("profile  local")


@pytest.mark.parametrize("arguments", [["--profile", "x"], ["--set", "a"], ["--set", "a=1"]])
def test_a_bad_setting_is_wrong_usage(arguments: list[str]) -> None:
    assert main(["config", *arguments]) == 2
