"""Other programs as children of a test.

    with Child(node("echo.mjs"), ready=r"listening on (\\S+)") as child:
        address = child.match[1]

A child has a process group of its own, which ends with the block, whatever it
started.  What it writes is kept; the last lines are printed when the block
fails, so that pytest shows them.
"""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

READY = 30.0  # seconds until a program is ready: Node.js with libp2p takes two on a busy machine
GRACE = 5.0  # seconds between the request to end and the end
POLL = 0.02  # seconds between looks at the log
TAIL = 60  # lines of the log that are printed after a failure
GROUPS = "GATE_CHILDREN"  # a folder with one file per living process group, for who stops us all
PORT_TRIES = 100  # for a number that is free for TCP and UDP


class Child:
    """A running program and what it wrote."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready: str | None = None,
        port: int | None = None,
        environment: dict[str, str] | None = None,
        folder: str | Path | None = None,
        timeout: float = READY,
    ) -> None:
        """Ready when a line matches `ready`, or when `port` on 127.0.0.1 answers."""
        self.command = list(command)
        self.match: re.Match[str] | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="shoal-child-", suffix=".log")  # noqa: SIM115 (end closes it)
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self._mark = group_mark(self._process.pid)
        try:
            if ready:
                self.match = self.wait_for(ready, timeout)
            if port:
                self._wait("answer", lambda: answers(port), timeout)
        except BaseException:
            self.print_tail()
            self.end()
            raise

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self.print_tail()
        self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it wrote so far, both streams."""
        return Path(self._log.name).read_text(errors="replace")

    def wait_for(self, pattern: str, timeout: float = READY) -> re.Match[str]:
        """The first match in its log; blocks, so call it by `asyncio.to_thread` within a loop."""
        found: re.Match[str] = self._wait(
            f"write {pattern!r}", lambda: re.search(pattern, self.log, re.MULTILINE), timeout
        )
        return found

    def wait(self, timeout: float = READY) -> int:
        """Its exit code, once it has ended by itself."""
        return self._process.wait(timeout)

    def say(self, line: str) -> None:
        """A line on its stdin."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """To the whole group; SIGKILL is a power cut."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def end(self) -> None:
        """End the whole group, first politely; safe to call twice."""
        if self._log.closed:
            return
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        self.signal(signal.SIGKILL)  # also what it started and left behind
        self._process.wait()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._mark.unlink(missing_ok=True)
        self._log.close()

    def print_tail(self) -> None:
        print(f"--- {' '.join(self.command)}")
        print("\n".join(self.log.splitlines()[-TAIL:]))

    def _wait(self, what: str, look: Callable[[], Any], timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            ended = self._process.poll()
            if found := look():
                return found
            if ended is not None:
                raise AssertionError(f"{self.command[0]} ended with {ended} before it did {what}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.command[0]} did not {what} in {timeout:g} s")
            time.sleep(POLL)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def free_port(host: str = "127.0.0.1") -> int:
    """A number that is free for TCP and UDP now: for programs that cannot choose by themselves."""
    for _ in range(PORT_TRIES):
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind((host, 0))
            port: int = stream.getsockname()[1]
            with suppress(OSError):
                datagram.bind((host, port))
                return port
    raise AssertionError("no port is free for both TCP and UDP")


def group_mark(group: int) -> Path:
    """A file that lives as long as the group, where somebody wants to know."""
    folder = os.environ.get(GROUPS)
    mark = Path(folder or tempfile.gettempdir(), f"shoal-group-{group}")
    if folder:
        mark.touch()
    return mark


def end_groups(folder: Path) -> None:
    """End what a stopped test run has left behind."""
    for mark in folder.glob("shoal-group-*"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(mark.name.rpartition("-")[2]), signal.SIGKILL)
        mark.unlink(missing_ok=True)
