"""shoal tracker answers, keeps its index over a restart and says what it cannot do."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from shoal.discovery.tracker import Announce, Answer, announce_url, read_answer


@contextmanager
def running(home: Path, *flags: str) -> Iterator[str]:
    """A tracker of the command; its HTTP announce URL."""
    command = [sys.executable, "-m", "shoal", "tracker", "--json", "--port", "0", *flags]
    environ = {**os.environ, "SHOAL_HOME": str(home), "SHOAL_PROFILE": "local"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as child:
        try:
            assert child.stdout
            ready = json.loads(child.stdout.readline())
            assert ready["ready"]
            yield ready["urls"][0]
        finally:
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 130


def ask(url: str, announce: Announce) -> Answer:
    with urlopen(announce_url(url, announce), timeout=10) as reply:
        return read_answer(reply.read())


@pytest.mark.slow
def test_it_remembers_its_peers_over_a_restart(tmp_path: Path) -> None:
    one = Announce(b"h" * 20, b"1" * 20, 7001, left=1)
    with running(tmp_path) as url:
        assert ask(url, one).peers == []
    with running(tmp_path) as url:
        two = Announce(b"h" * 20, b"2" * 20, 7002)
        assert ask(url, two).peers == [("127.0.0.1", 7001)]


@pytest.mark.slow
def test_it_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    environ = {**os.environ, "SHOAL_HOME": str(tmp_path), "SHOAL_PROFILE": "local"}
    command = [sys.executable, "-m", "shoal", "tracker"]
    for flags, words in (
        (["--host", "0.0.0.0"], "loopback only"),
        (["--port", "70000"], "a port is"),
    ):
        ended = subprocess.run([*command, *flags], env=environ, capture_output=True, text=True)
        assert ended.returncode == 2
        assert words in ended.stderr
