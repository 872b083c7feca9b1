"""shoal serve makes a program a service, shoal call calls it, shoal services lists it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DOUBLE = """
import json, sys
for line in sys.stdin:
    if json.loads(line) == "die":
        sys.exit()
    print(json.dumps(2 * json.loads(line)), flush=True)
"""


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "SHOAL_HOME": str(home), "SHOAL_PROFILE": "local"}


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """What the ready line of a command says."""
    command = [sys.executable, "-m", "shoal", "--json", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment(home), text=True
    ) as child:
        try:
            assert child.stdout
            ready: dict[str, Any] = json.loads(child.stdout.readline())
            assert ready["ready"]
            yield ready
        finally:
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 130


def shoal(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal", *arguments]
    return subprocess.run(
        command, env=environment(home), capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.slow
def test_a_program_is_called_by_peers_and_through_a_grape(tmp_path: Path) -> None:
    program = ["--", sys.executable, "-c", DOUBLE]
    with running(tmp_path, "grape", "--dp", "0", "--aph", "0") as grape:
        with running(tmp_path, "serve", "double", "--grape", grape["url"], *program) as served:
            address = served["addresses"][0]
            listed = shoal(tmp_path, "--json", "services", "double", "--grape", grape["url"])
            (row,) = json.loads(listed.stdout)["services"]
            assert row == {"name": "double", "address": f"127.0.0.1:{served['port']}"}
            assert shoal(tmp_path, "call", "double", "21", "--peer", address).stdout == "42\n"
            done = shoal(tmp_path, "--json", "call", "double", '"x"', "--grape", grape["url"])
            assert json.loads(done.stdout) == {"name": "double", "result": "xx"}
            listed = shoal(tmp_path, "--json", "services", "--peer", address)
            (row,) = json.loads(listed.stdout)["services"]
            assert (row["name"], row["load"], row["peer"]) == ("double", 0, served["id"])
            died = shoal(tmp_path, "call", "double", '"die"', "--peer", address)
            assert "ended without an answer" in died.stderr
            assert shoal(tmp_path, "call", "double", "4", "--peer", address).stdout == "8\n"


@pytest.mark.slow
def test_a_service_is_found_by_its_name_alone(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = ("--set", f"bootstrap=127.0.0.1:{port}")
    program = ["--", sys.executable, "-c", DOUBLE]
    with running(tmp_path / "1", "serve", "other", "--set", f"mainline.port={port}", *program):
        with running(tmp_path / "2", "serve", "double", *start, *program) as served:
            for _ in range(10):  # until a DHT knows of it
                done = shoal(tmp_path, "call", "double", "21", *start)
                if done.returncode == 0:
                    break
            assert done.stdout == "42\n"
            listed = shoal(tmp_path, "--json", "services", "double", *start)
            (row,) = json.loads(listed.stdout)["services"]
            assert row["peer"] == served["id"]


@pytest.mark.slow
def test_mistakes_are_told(tmp_path: Path) -> None:
    for arguments, words, code in (
        (["call", "x", "{"], "no JSON", 2),
        (["call", "x", "1"], "nobody offers x", 3),
        (["call", "x", "--grape", "http://h:1", "--peer", "/ip4/127.0.0.1/tcp/1"], "not both", 2),
        (["services"], "--peer", 2),
        (["serve", "x", "--host", "0.0.0.0", "--", "cat"], "loopback only", 2),
        (["call", "x", "1", "--grape", "http://127.0.0.1:1"], "no Grape answered", 4),
    ):
        ended = shoal(tmp_path, *arguments)
        assert (ended.returncode, words in ended.stderr) == (code, True), ended.stderr
