"""Transmission as a child: its daemon, told by JSON over HTTP what to do.

It drops loopback addresses that a tracker or a peer names, so it never dials:
the other side has to.
"""

import json
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.interop.children import Child, free_port
from tests.interop.programs import program

LOCAL = "127.0.0.1"
SETTINGS = {
    "bind-address-ipv4": LOCAL,
    "rpc-bind-address": LOCAL,
    "dht-enabled": False,
    "lpd-enabled": False,
    "pex-enabled": False,
    "utp-enabled": False,
    "port-forwarding-enabled": False,
    "encryption": 0,  # tolerated: it dials nobody
    "ratio-limit-enabled": False,
    "prefetch-enabled": False,
}
WAIT = 40.0  # seconds: it unchokes and hands out metadata at its own slow pace


class Transmission(Child):
    """A daemon with a folder of its own, which survives it."""

    def __init__(self, home: Path, **settings: object) -> None:
        home.mkdir(exist_ok=True)
        self.rpc, self.port = free_port(), free_port()
        self._session = ""
        chosen = {**SETTINGS, "rpc-port": self.rpc, "peer-port": self.port, **settings}
        (home / "settings.json").write_text(json.dumps(chosen))
        words = [program("transmission-daemon"), "--foreground", "--log-error"]
        super().__init__([*words, "--config-dir", str(home)], port=self.rpc)

    def ask(self, method: str, **arguments: object) -> Any:
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):  # the first answer names the session
            request = Request(f"http://{LOCAL}:{self.rpc}/transmission/rpc", body)
            request.add_header("X-Transmission-Session-Id", self._session)
            try:
                with urlopen(request, timeout=10) as answer:
                    said = json.load(answer)
            except HTTPError as error:
                with error:
                    self._session = error.headers.get("X-Transmission-Session-Id", "")
            else:
                assert said["result"] == "success", said
                return said["arguments"]
        raise AssertionError("transmission names no session")

    def add(self, what: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.ask("torrent-add", **{"filename": what, "download-dir": str(folder)})

    def have(self) -> float:
        """The share of its one content that it has proven."""
        fields = ["percentDone", "status", "metadataPercentComplete"]
        listed = self.ask("torrent-get", fields=fields)["torrents"]
        if not listed:
            return 0.0  # it has just begun
        found = listed[0]
        whole = found["metadataPercentComplete"] == 1 and found["status"] in (4, 6)
        return found["percentDone"] if whole else 0.0  # downloading or seeding

    def until(self, share: float) -> float:
        """Wait until it has this share."""
        deadline = time.monotonic() + WAIT
        while (have := self.have()) < share:
            assert time.monotonic() < deadline, f"transmission has {have:.0%}"
            time.sleep(0.05)
        return have
