"""shoal dht finds and stores on a DHT that another shoal dht serves."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.interop.children import Child

INFOHASH = "0123456789" * 4


@pytest.fixture(scope="module")
def router() -> Iterator[str]:
    command = [sys.executable, "-m", "shoal", "dht", "--json", "serve"]
    with Child(command, ready=r'"port": (\d+)') as child:
        assert child.match
        yield f"127.0.0.1:{child.match[1]}"


def dht(router: str, *arguments: str, stdin: str = "") -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-m", "shoal", "--json", "dht", "--bootstrap", router, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=15,
        env=dict(os.environ),
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_what_is_announced_is_found(router: str) -> None:
    assert dht(router, "announce", INFOHASH, "--port", "6881") == (0, [{"nodes": 1}])
    code, events = dht(router, "--trace", "peers", INFOHASH)
    assert code == 0
    assert {"peer": "127.0.0.1:6881"} in events
    assert [event["trace"] for event in events if "trace" in event][:2] == ["asked", "answered"]
    assert dht(router, "crawl")[1][-1] == {"nodes": 1, "keys": 1}
    assert len(dht(router, "find", INFOHASH)[1][0]["nodes"]) == 1  # type: ignore[arg-type]


@pytest.mark.slow
def test_values_are_stored_and_got(router: str) -> None:
    code, (stored,) = dht(router, "put", "-", stdin="hello")
    assert code == 0
    assert dht(router, "get", str(stored["key"]))[1][0]["value"] == "hello"
    secret = ["--secret", "01" * 32]
    for version in (1, 2):
        code, (stored,) = dht(router, "put", f"version {version}", *secret)
        assert (code, stored["sequence"]) == (0, version)
    assert dht(router, "get", str(stored["key"]))[1][0]["value"] == "version 2"


@pytest.mark.slow
def test_what_fails_has_its_exit_code(router: str) -> None:
    assert dht(router, "get", INFOHASH)[0] == 3
    assert dht(router, "peers", "f" * 40)[0] == 3
    assert dht("127.0.0.1:9", "get", INFOHASH)[0] == 4
    assert dht(router, "get", "zz")[0] == 2
    assert re.fullmatch(r"127\.0\.0\.1:\d+", router)
