"""shoal lab dht prints the tables of lookups."""

import json

import pytest

from shoal.cli.main import main

SMALL = ("--size", "60", "--lookups", "20", "--json")


@pytest.mark.parametrize("table", ["hops", "joins", "chord", "half"])
def test_a_table_is_rows(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "dht", table, *SMALL]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["nodes"] == 60
    assert row["questions"] >= 3


def test_the_share_of_the_dead_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "dht", "half", "--share", "0.2", *SMALL]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["dead"] == 12


def test_liars_have_one_row_for_each_number_of_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "dht", "liars", "--paths", "1", "--paths", "2", *SMALL]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["paths"] for row in rows] == [1, 2]


@pytest.mark.slow
def test_under_churn_values_and_nodes_are_sought(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "dht", "churn", "--hours", "0.05", "--young", *SMALL]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["sought"] for row in rows] == ["value", "node"]
    assert {row["sessions"] for row in rows} == {"new"}


def test_a_network_of_one_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "dht", "half", "--size", "1"]) == 2
    assert main(["lab", "dht", "half", "--share", "1"]) == 2
    assert "--size is 2 or more" in capsys.readouterr().err
