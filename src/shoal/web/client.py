"""How a command reaches the daemon of its home.

A daemon keeps three files in the folder `daemon` of its home: `info.json` says
where it listens, `socket` is a unix socket for this user alone, `token` is
what loopback HTTP asks for.  Plain blocking calls: a command that asks one
question should cost little more than the interpreter.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from shoal import errors
from shoal.errors import ClosedError, NotRunningError, ShoalError, StorageError, UnreachableError

FOLDER, INFO, SOCKET, TOKEN = "daemon", "info.json", "socket", "token"
LOCK = "lock"  # of the home: held while the daemon lives
SOCKET_PATH_MAX = 107  # bytes of a unix socket's path: 108 with the zero after it
PATIENCE = 30.0  # seconds for the next line of an answer
LINE_MAX = 64 << 20  # bytes of one event: the largest holds a torrent's metainfo


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


class Daemon:
    """A daemon that answers."""

    def __init__(
        self, connection: HTTPConnection, info: dict[str, Any], headers: dict[str, str]
    ) -> None:
        self.pid = int(info["pid"])
        self.profile = str(info["profile"])
        self._connection = connection
        self._headers = {"Content-Type": "application/json", **headers}

    @classmethod
    def find(cls, home: str) -> "Daemon | None":
        """The daemon of this home, if one runs."""
        folder = os.path.join(home, FOLDER)
        try:
            with open(os.path.join(folder, INFO), encoding="utf-8") as file:
                info = json.load(file)
            _ = int(info["pid"]), str(info["profile"])
            connection, headers = open_door(home, folder, info)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        except (PermissionError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"the daemon's files in {folder} cannot be used: {error}") from error
        return cls(connection, info, headers)

    def run(self, verb: str, arguments: bytes = b"{}") -> Iterator[dict[str, Any]]:
        """The events of a verb; the error that it ended with is raised here."""
        try:
            self._connection.request("POST", f"/v1/{verb}", arguments, self._headers)
            yield from self._events(self._connection.getresponse())
        except (HTTPException, ConnectionError, ValueError) as error:
            raise ClosedError(f"the daemon (process {self.pid}) has ended: {error}") from error
        except TimeoutError:
            mute = NotRunningError(f"process {self.pid} says nothing for {PATIENCE:g} s")
            mute.advice = "end it, and start it again with `shoal up`"
            raise mute from None
        finally:
            self._connection.close()

    def _events(self, response: HTTPResponse) -> Iterator[dict[str, Any]]:
        event: Any = None
        while line := response.readline(LINE_MAX):
            event = json.loads(line)
            if not isinstance(event, dict):
                raise ValueError("no event")
            if "error" in event and "kind" in event:
                raise error_of(event)
            yield event
        if event is None or not response.isclosed():
            raise ConnectionError("it was cut off")


def open_door(
    home: str, folder: str, info: dict[str, Any]
) -> tuple[HTTPConnection, dict[str, str]]:
    """A connection through the unix socket, or else over loopback."""
    if info["socket"]:
        through: HTTPConnection = UnixConnection(os.path.join(folder, SOCKET), PATIENCE)
        through.connect()
        return through, {}
    if not is_locked(os.path.join(home, LOCK)):  # the port may be somebody else's by now
        raise ConnectionRefusedError("the daemon has ended")
    with open(os.path.join(folder, TOKEN), encoding="ascii") as file:
        token = file.read().strip()
    found = urlsplit(info["url"])
    through = HTTPConnection(found.hostname or "", found.port, timeout=PATIENCE)
    through.connect()
    return through, {"Authorization": f"Bearer {token}"}


def is_locked(path: str) -> bool:
    """Whether a process has this home."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        return True
    finally:
        os.close(descriptor)


def error_of(event: dict[str, Any]) -> ShoalError:
    """The error that the verb raised, as its kind."""
    kind = getattr(errors, str(event["kind"]), None)
    if not (isinstance(kind, type) and issubclass(kind, ShoalError)):
        kind = ShoalError
    error = kind(str(event["error"]))
    if isinstance(error, UnreachableError):
        error.reasons = event.get("reasons") or {}
    error.advice = str(event.get("advice") or "")
    return error
