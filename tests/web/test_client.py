"""Who asks a daemon finds it, or hears why not."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from shoal.cli.main import main
from shoal.errors import ClosedError, NotFoundError, NotRunningError, StorageError, UnreachableError
from shoal.web import client
from shoal.web.client import Daemon, error_of

INFO = {"pid": 7, "socket": True, "url": "", "profile": "local"}
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def pretending(home: Path, *parts: bytes, waits: bool = False) -> Iterator[None]:
    """A daemon that answers each request with these bytes, whatever was asked."""
    folder = home / "daemon"
    folder.mkdir()
    (folder / "info.json").write_text(json.dumps(INFO))
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen()

        def answer() -> None:
            came, _ = listener.accept()
            with came:
                asked = b""
                while not asked.endswith(b"{}") and (part := came.recv(65536)):
                    asked += part
                with suppress(BrokenPipeError):  # it has heard enough
                    came.sendall(b"".join(parts))
                if waits:
                    ended.wait(10)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        ended.set()
        thread.join(5)


def ask(home: Path) -> list[dict[str, object]]:
    daemon = Daemon.find(str(home))
    assert daemon
    return list(daemon.run("status"))


def chunk(line: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(line), line)


def test_no_daemon_is_none(tmp_path: Path) -> None:
    assert Daemon.find(str(tmp_path)) is None
    assert Daemon.find(str(tmp_path / "nowhere")) is None
    (tmp_path / "file").write_text("")
    assert Daemon.find(str(tmp_path / "file")) is None


def test_what_a_killed_daemon_left_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "daemon"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(folder / "socket"))
    (folder / "info.json").write_text(json.dumps(INFO))
    assert Daemon.find(str(tmp_path)) is None
    over_http = {**INFO, "socket": False, "url": "http://127.0.0.1:1"}
    (folder / "info.json").write_text(json.dumps(over_http))
    (folder / "token").write_text("secret")
    (tmp_path / "lock").write_text("")  # which nobody holds: the port may be somebody else's
    assert Daemon.find(str(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"socket": 1}', "\x00"])
def test_broken_files_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon" / "info.json").write_text(text)
    try:
        assert Daemon.find(str(tmp_path)) is None
    except StorageError as error:
        assert "cannot be used" in str(error)  # noqa: PT017
    assert main(["status", "--home", str(tmp_path)]) in (1, 4)


def test_events_come_one_by_one_and_an_error_is_raised(tmp_path: Path) -> None:
    failed = b'{"error":"nobody","kind":"NotFoundError","advice":"ask others"}\n'
    with pretending(tmp_path, HEAD, chunk(b'{"a":1}\n{"a"'), chunk(b":2}\n"), chunk(failed)):
        daemon = Daemon.find(str(tmp_path))
        assert daemon
        events = daemon.run("status")
        assert [next(events), next(events)] == [{"a": 1}, {"a": 2}]
        with pytest.raises(NotFoundError, match="nobody") as told:
            next(events)
        assert told.value.advice == "ask others"


@pytest.mark.parametrize(
    "parts",
    [[], [b"nonsense\r\n\r\n"], [b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", b'{"a": 1'],
     [HEAD, b"zz\r\n"], [HEAD, chunk(b"[1]\n"), b"0\r\n\r\n"], [HEAD, chunk(b"{\n")]],
)  # fmt: skip
def test_a_daemon_that_ends_in_the_middle_is_told(tmp_path: Path, parts: list[bytes]) -> None:
    with pretending(tmp_path, *parts):
        with pytest.raises(ClosedError, match="process 7"):
            ask(tmp_path)


def test_a_daemon_that_says_nothing_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    with pretending(tmp_path, HEAD, waits=True):
        with pytest.raises(NotRunningError, match="process 7 says nothing"):
            ask(tmp_path)


def test_errors_keep_their_kind_and_reasons() -> None:
    error = error_of({"error": "away", "kind": "UnreachableError", "reasons": {"a": "refused"}})
    assert isinstance(error, UnreachableError)
    assert error.reasons == {"a": "refused"}
    for kind in ("SystemExit", "nothing", "annotations", 7):
        assert str(error_of({"error": "x", "kind": kind})) == "x"
