"""A child is ready when it says so, and it is gone when its block ends."""

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.interop.children import GROUPS, Child, answers, end_groups, free_port

pytestmark = pytest.mark.slow

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("grandchild", grandchild.pid, flush=True)
time.sleep(600)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def is_gone(pid: int) -> bool:
    """Ended, reaped or waiting to be reaped by whoever adopted it."""
    for _ in range(500):
        status = Path(f"/proc/{pid}/stat")
        with suppress(OSError):
            if status.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.01)
                continue
        return True
    return False


def test_a_child_is_ready_when_its_line_appears() -> None:
    with Child(python("print('port 4711'); input()"), ready=r"^port (\d+)") as child:
        assert child.match
        assert child.match[1] == "4711"
        child.say("end")
        assert child.wait() == 0


def test_a_child_is_ready_when_its_port_answers() -> None:
    port = free_port()
    code = f"import socket; s = socket.create_server(('127.0.0.1', {port})); input()"
    with Child(python(code), port=port):
        assert answers(port)
    assert not answers(port)


def test_a_child_that_ends_before_it_is_ready_shows_its_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(AssertionError, match="ended with 3"):
        Child(python("print('no such option'); exit(3)"), ready="ready")
    assert "no such option" in capsys.readouterr().out


def test_a_child_that_is_never_ready_is_given_up() -> None:
    with pytest.raises(AssertionError, match=r"did not write 'ready' in 0\.2 s"):
        Child(python("input()"), ready="ready", timeout=0.2)


def test_a_failing_block_prints_the_log_of_its_child(capsys: pytest.CaptureFixture[str]) -> None:
    child = Child(python("print('what went on'); input()"), ready="what")
    with pytest.raises(ZeroDivisionError), child:
        raise ZeroDivisionError
    assert "what went on" in capsys.readouterr().out


def test_a_stubborn_child_and_what_it_started_are_gone_after_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.interop.children.GRACE", 0.2)
    with Child(python(STUBBORN), ready=r"grandchild (\d+)") as child:
        assert child.match
        grandchild = int(child.match[1])
    child.end()
    assert is_gone(child.pid)
    assert is_gone(grandchild)


def test_a_stopped_run_leaves_no_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GROUPS, str(tmp_path))
    child = Child(python("print('up'); input()"), ready="up")
    assert len(list(tmp_path.iterdir())) == 1
    end_groups(tmp_path)
    assert child.wait() == -signal.SIGKILL
    assert not list(tmp_path.iterdir())
    child.end()


def test_a_child_killed_like_a_power_cut_is_noticed() -> None:
    with Child(python("print('up'); input()"), ready="up") as child:
        child.signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert os.getpgid(0) != child.pid
