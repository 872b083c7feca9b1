"""shoal grape takes the original's flags, says when it is ready and what it cannot do."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest


@contextmanager
def running(home: Path, *flags: str) -> Iterator[dict[str, Any]]:
    """A Grape of the command; what its ready line says."""
    command = [sys.executable, "-m", "shoal", "grape", "--json", "--dp", "0", "--aph", "0", *flags]
    environ = {**os.environ, "SHOAL_HOME": str(home), "SHOAL_PROFILE": "local"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as child:
        try:
            assert child.stdout
            ready: dict[str, Any] = json.loads(child.stdout.readline())
            assert ready["ready"]
            yield ready
        finally:
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 130


def ask(url: str, kind: str, data: Any) -> Any:
    body = json.dumps({"data": data}).encode()
    with urlopen(f"{url}/{kind}", body, timeout=10) as reply:
        return json.loads(reply.read())


@pytest.mark.slow
def test_two_of_them_share_what_they_are_told(tmp_path: Path) -> None:
    flags = ["--dpa", "60000", "--dc", "32", "--dht_maxTables", "10", "--dnl", "1000"]
    with running(tmp_path, *flags) as one:
        with running(tmp_path, "--bn", f"127.0.0.1:{one['dht_port']}") as two:
            assert ask(one["url"], "announce", ["svc", 1337]) == 1
            assert ask(two["url"], "lookup", "svc") == ["127.0.0.1:1337"]


@pytest.mark.slow
def test_it_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    environ = {**os.environ, "SHOAL_HOME": str(tmp_path), "SHOAL_PROFILE": "local"}
    for flags, words in (
        (["-b", "0.0.0.0"], "loopback only"),
        (["--dp", "70000"], "port"),
        (["--bn", "nonsense"], "HOST:PORT"),
        (["--dpa", "0"], "at least"),
    ):
        command = [sys.executable, "-m", "shoal", "grape", *flags]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20)
        assert ended.returncode == 2
        assert words in ended.stderr
