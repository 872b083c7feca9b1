"""shoal get says what it recognised, fetches torrents by HTTP within bounds, refuses the rest."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shoal.cli.main import main
from shoal.swarm.torrent import METAINFO_MAX

ANSWERS = {"/moved": 302, "/missing": 404, "/long": 200, "/garbage": 200}


class Answers(BaseHTTPRequestHandler):
    """A web server with nothing good."""

    def do_GET(self) -> None:
        body = b"x" * (METAINFO_MAX + 1) if self.path == "/long" else b"no torrent"
        self.send_response(ANSWERS[self.path])
        if self.path == "/moved":
            self.send_header("Location", "http://192.0.2.1/x.torrent")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def get(capsys, *arguments: str) -> tuple[int, list[dict]]:
    code = main(["get", *arguments, "--json", "--profile", "local"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "code", "kind"),
    [("/missing", 3, "NotFoundError"), ("/moved", 3, "NotFoundError"),
     ("/garbage", 1, "ProtocolError"), ("/long", 1, "LimitError")],
)  # fmt: skip
def test_what_is_no_torrent_at_an_address_is_told(capsys, path, code, kind):
    with server() as url:
        ended, (recognised, error) = get(capsys, url + path)
    assert recognised == {"event": "recognised", "kind": "url"}
    assert (ended, error["kind"]) == (code, kind)


def test_profile_local_asks_no_other_machine(capsys):
    code, (_, error) = get(capsys, "http://192.0.2.1/x.torrent")
    assert code == 2
    assert "loopback" in error["error"]


def test_what_is_not_understood_is_answered_with_what_is(capsys):
    code, (error,) = get(capsys, "no such thing")
    assert code == 2
    assert "magnet" in error["advice"]
    assert "7042" in error["advice"]
