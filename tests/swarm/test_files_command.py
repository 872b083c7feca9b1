"""shoal share, get and torrent do what they say, in words and in JSON."""

import json
import os
import subprocess
import sys

import pytest
from tests.swarm.contents import MULTI, counting, write_tree

from shoal.cli.main import main


def shoal(capsys, *arguments: str) -> tuple[int, list[dict]]:
    code = main([*arguments, "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def multi(tmp_path):
    write_tree(tmp_path / "multi", MULTI)
    return tmp_path / "multi"


def test_a_torrent_is_made_shown_and_checked(multi, tmp_path, capsys):
    out = str(tmp_path / "x.torrent")
    more = ["--hybrid", "--piece-length", "32KiB", "--tracker", "http://127.0.0.1:1/announce"]
    code, (made,) = shoal(capsys, "torrent", "make", str(multi), "-o", out, *more)
    assert code == 0
    assert made["v1"] == "7853e2318e11a4e9ce029733c4be8e8f250e4480"
    code, (shown,) = shoal(capsys, "torrent", "show", out)
    assert (shown["version"], shown["name"], len(shown["files"])) == ("hybrid", "multi", len(MULTI))
    assert shown["trackers"] == [["http://127.0.0.1:1/announce"]]
    assert shoal(capsys, "torrent", "check", out, str(tmp_path))[0] == 0
    (multi / "f40000").write_bytes(b"x" * 40_000)
    code, (checked,) = shoal(capsys, "torrent", "check", out, str(tmp_path))
    assert (code, checked["incomplete"]) == (1, ["multi/f40000"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", "no link"], 2),
        (["get", "missing.torrent"], 3),
        (["torrent", "show", "missing"], 3),
        (["get", "0" * 40, "--peer", "nowhere"], 2),
        (["share", "a", "b", "--torrent", "x"], 2),
        (["get", "0" * 40, "--timeout", "0.1"], 3),
    ],
)
def test_mistakes_have_their_exit_codes(tmp_path, monkeypatch, capsys, arguments, code):
    monkeypatch.chdir(tmp_path)
    assert shoal(capsys, *arguments)[0] == code


@pytest.mark.slow
def test_what_is_shared_can_be_got(multi, tmp_path):
    command = [sys.executable, "-m", "shoal", "--json"]
    environment = {
        **os.environ,
        "SHOAL_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with subprocess.Popen(
        [*command, "share", str(multi)], stdout=subprocess.PIPE, env=environment
    ) as sharing:
        try:
            ready = json.loads(sharing.stdout.readline())
            assert ready["ready"] is True
            peer = f"127.0.0.1:{ready['port']}"
            got = subprocess.run(
                [*command, "get", ready["magnet"], "-o", str(tmp_path / "out"), "--peer", peer],
                capture_output=True, env=environment, check=True, timeout=15,
            )  # fmt: skip
        finally:
            sharing.terminate()
    events = [json.loads(line) for line in got.stdout.splitlines()]
    assert events[-1]["event"] == "complete"
    assert events[-1]["done"] == events[-1]["total"] == sum(MULTI.values())
    for name, size in MULTI.items():
        assert (tmp_path / "out" / "multi" / name).read_bytes() == counting(size)
