"""shoal up runs a node that shoal ping reaches, and shoal id knows who it is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shoal.cli.main import main


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "SHOAL_HOME": str(home), "SHOAL_PROFILE": "local"}


@contextmanager
def running(home: Path) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "shoal", "up", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(home), text=True
    ) as child:
        try:
            assert child.stdout
            yield json.loads(child.stdout.readline())
        finally:
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 130


def shoal(home: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    ended = subprocess.run(
        [sys.executable, "-m", "shoal", *arguments, "--json"],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=15,
    )
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.slow
def test_up_ping_and_id(tmp_path: Path) -> None:
    code, known = shoal(tmp_path, "id")
    assert code == 0
    with running(tmp_path) as up:
        assert up["ready"]
        assert up["id"] == known["id"]
        assert all(address.endswith(f"/p2p/{up['id']}") for address in up["addresses"])
        assert shoal(tmp_path, "id") == (0, known)
        code, said = shoal(tmp_path / "other", "ping", up["addresses"][0], "--count", "3")
        assert (code, said["sent"], said["received"]) == (0, 3, 3)
        assert said["median_us"] > 0
    code, said = shoal(tmp_path / "other", "ping", up["addresses"][0])
    assert code == 4
    assert "refused" in said["tried"][0]


@pytest.mark.parametrize("address", ["nonsense", "/ip4/nowhere/tcp/1", "/ip4/127.0.0.1/tcp"])
def test_a_mistyped_address_is_wrong_usage_and_no_peer_is_blamed(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SHOAL_HOME", str(tmp_path))
    assert main(["ping", address]) == 2
    assert main(["up", "--listen", address]) == 2
    assert "peer broke" not in capsys.readouterr().err
