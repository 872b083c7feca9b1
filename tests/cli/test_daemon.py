"""shoal up and those who ask it: started, stopped, killed, twice, where it cannot be."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.swarm.contents import MULTI, counting, write_tree

from shoal.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
COMMAND = [sys.executable, "-m", "shoal"]
SIZE = 40_000_000


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "SHOAL_HOME": str(home), "SHOAL_PROFILE": "local", **more}


class Up:
    """A daemon of its own process."""

    def __init__(self, home: Path, *arguments: str, **more: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [*COMMAND, "up", "--json", *arguments], stdout=subprocess.PIPE, text=True,
            env=environment(home, **more),
        )  # fmt: skip
        assert self.process.stdout
        self.ready = json.loads(self.process.stdout.readline())

    def shoal(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        return shoal(self.home, *arguments)

    def one(self, *arguments: str) -> dict[str, Any]:
        code, events = self.shoal(*arguments)
        assert code == 0, events
        return events[-1]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(15)
        assert self.process.stdout
        self.process.stdout.close()
        return code


@contextmanager
def up(home: Path, *arguments: str) -> Iterator[Up]:
    one = Up(home, *arguments)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            assert one.end() == 130


def shoal(home: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [*COMMAND, "--json", *arguments], env=environment(home), capture_output=True, text=True,
        timeout=40,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_it_answers_while_it_runs_and_only_then(tmp_path: Path) -> None:
    code, (error,) = shoal(tmp_path, "status")
    assert (code, error["kind"], error["advice"]) == (
        4,
        "NotRunningError",
        "start one with `shoal up`",
    )
    with up(tmp_path) as one:
        assert one.ready["ready"]
        status = one.one("status")
        assert (status["id"], status["pid"]) == (one.ready["id"], one.process.pid)
        assert (status["profile"], status["home"]) == ("local", str(tmp_path))
        assert [each["name"] for each in status["dht"]] == ["mainline"]
        assert one.one("peers") == {"peers": []}
        assert one.one("transfers") == {"transfers": []}
        assert one.one("limit", "--down", "5M")["down"] == 5_000_000
        assert one.one("status")["down_limit"] == 5_000_000
        assert one.one("limit", "--down", "0")["down"] is None
        assert one.shoal("pause", "nothing")[0] == 3
    assert os.listdir(tmp_path / "daemon") == []
    assert shoal(tmp_path, "status")[0] == 4


def test_words_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path / "multi", MULTI)
    with up(tmp_path) as one:
        flags = ["--home", str(tmp_path), "--profile", "local"]
        for verb in ("status", "peers", "transfers", "limit"):
            assert main([verb, *flags]) == 0
        assert main(["share", *flags, str(tmp_path / "multi")]) == 0
        said = capsys.readouterr().out
        for text in (f"process {one.process.pid}", "node: down unlimited", "magnet:?xt="):
            assert text in said
        for verb, state in (("pause", "paused"), ("resume", "seeding"), ("remove", "removed")):
            assert main([verb, *flags, "multi"]) == 0
            assert f"multi: {state}" in capsys.readouterr().out.replace("checking", "seeding")


def test_share_and_get_are_handed_to_it_and_stay(tmp_path: Path) -> None:
    write_tree(tmp_path / "multi", MULTI)
    with up(tmp_path / "a") as giver, up(tmp_path / "b") as taker:
        out = str(tmp_path / "x.torrent")
        shared = giver.one("share", str(tmp_path / "multi"), "--torrent", out)
        assert shared["ready"]
        peer = f"127.0.0.1:{shared['port']}"
        done = taker.one("get", out, "-o", str(tmp_path / "out"), "--peer", peer)
        assert (done["event"], done["done"]) == ("complete", sum(MULTI.values()))
        (row,) = taker.one("transfers")["transfers"]
        assert (row["state"], row["name"]) == ("complete", "multi")
        assert shoal(tmp_path / "b", "get", "no link")[0] == 2
        lonely = f"magnet:?xt=urn:btih:{'ab' * 20}"
        assert taker.shoal("get", lonely, "--timeout", "0.1")[0] == 3
        assert len(taker.one("transfers")["transfers"]) == 1
        assert giver.end(signal.SIGKILL) == -signal.SIGKILL
    for name, size in MULTI.items():
        assert (tmp_path / "out" / "multi" / name).read_bytes() == counting(size)
    with up(tmp_path / "a") as again:
        assert again.ready["id"] == giver.ready["id"]
        until(lambda: [r["state"] for r in again.one("transfers")["transfers"]] == ["seeding"])


def test_a_job_in_another_profile_is_refused(tmp_path: Path) -> None:
    with up(tmp_path):
        code, events = shoal(tmp_path, "get", "ab" * 20, "--profile", "public")
        assert code == 2
        assert "profile local" in events[-1]["error"]


def test_killed_in_the_middle_it_goes_on_by_itself_and_keeps_its_pieces(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(counting(SIZE))
    with up(tmp_path / "a") as giver:
        shared = giver.one(
            "share", str(tmp_path / "large"), "--up", "15M", "--piece-length", "64KiB"
        )
        peer = f"127.0.0.1:{shared['port']}"
        taker = Up(tmp_path / "b")
        get = [*COMMAND, "get", "--json", shared["magnet"], "-o", str(tmp_path), "--peer", peer]
        (tmp_path / "out").mkdir()
        get[get.index(str(tmp_path))] = str(tmp_path / "out")
        asking = subprocess.Popen(
            get, env=environment(tmp_path / "b"), stdout=subprocess.PIPE, text=True
        )
        had = until(lambda: done_of(taker, at_least=SIZE // 8))
        assert taker.end(signal.SIGKILL) == -signal.SIGKILL
        said, _ = asking.communicate(timeout=15)
        ended = json.loads(said.splitlines()[-1])
        assert (asking.returncode, ended["kind"]) == (1, "ClosedError")
        assert "it goes on" in ended["error"] or "has ended" in ended["error"]
        with up(tmp_path / "b") as taker:
            first = until(lambda: done_of(taker, at_least=1))
            assert first >= had
            until(lambda: state_of(taker) == "complete")
            row = taker.one("transfers")["transfers"][0]
            assert row["done"] == row["total"] == SIZE
    assert (tmp_path / "out" / "large").read_bytes() == counting(SIZE)


def done_of(one: Up, at_least: int) -> int:
    rows = one.one("transfers")["transfers"]
    done = rows[0]["done"] if rows and rows[0]["state"] != "metadata" else 0
    return int(done) if done >= at_least else 0


def state_of(one: Up) -> str:
    rows = one.one("transfers")["transfers"]
    return str(rows[0]["state"]) if rows else ""


def test_the_second_one_in_a_home_names_the_first(tmp_path: Path) -> None:
    with up(tmp_path) as one:
        code, (error,) = shoal(tmp_path, "up")
        assert (code, error["kind"]) == (1, "LockedError")
        assert f"process {one.process.pid}" in error["error"]
        assert one.one("status")["pid"] == one.process.pid
        with up(tmp_path / "other") as other:
            assert other.ready["id"] != one.ready["id"]


@pytest.mark.parametrize("name", ["daemon.port", "swarm.port"])
def test_a_busy_port_is_one_clear_message(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        code, (error,) = shoal(tmp_path, "up", "--set", f"{name}={port}")
        assert code in (1, 4)
        assert "another port" in error["advice"]


def test_a_home_or_a_setting_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("daemon = 3")
    code, (error,) = shoal(tmp_path, "up")
    assert (code, error["kind"]) == (2, "ConfigError")
    (tmp_path / "config.toml").write_text("[")
    assert shoal(tmp_path, "up")[0] == 2
    assert shoal(tmp_path / "x", "up", "--set", "daemon.services=all")[0] == 2
    code, (error,) = shoal(tmp_path / "config.toml", "up")
    assert (code, error["kind"]) == (1, "StorageError")
    assert "is a file" in error["error"]


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    home = Path("/sys/shoal") if os.getuid() == 0 else tmp_path / "home"
    tmp_path.chmod(0o500)
    code, (error,) = shoal(home, "up")
    assert (code, error["kind"]) == (1, "ReadOnlyError")


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    full = f"mount -t tmpfs -o size=16k none {tmp_path} && dd if=/dev/zero of={tmp_path}/x bs=1k"
    script = f"{full} 2>/dev/null; exec {' '.join(COMMAND)} up --json"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=environment(tmp_path / "home"),
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("mounting is not allowed here")
    error = json.loads(done.stdout)
    assert (done.returncode, error["kind"]) == (1, "DiskFullError")


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(15)
        one = Up(tmp_path / "home", NOTIFY_SOCKET=str(tmp_path / "notify"))
        try:
            assert listener.recv(100) == b"READY=1"
        finally:
            assert one.end() == 130
        assert listener.recv(100) == b"STOPPING=1"


def test_a_long_home_is_reached_over_loopback(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    with up(home) as one:
        assert one.ready["socket"] == ""
        assert one.one("status")["pid"] == one.process.pid
        assert one.end(signal.SIGKILL) == -signal.SIGKILL
        assert shoal(home, "status")[0] == 4


def test_status_loads_nothing_of_the_node(tmp_path: Path) -> None:
    heavy = ["asyncio", "aiohttp", "cryptography", "msgspec", "shoal.node", "rich"]
    code = f"""
import sys
from shoal.cli.main import main
code = main(["status"])
print(code, [name for name in {heavy!r} if name in sys.modules])
"""
    with up(tmp_path):
        done = subprocess.run(
            [sys.executable, "-S", "-c", code], env={**environment(tmp_path), "PYTHONPATH": "src"},
            capture_output=True, text=True, timeout=15,
        )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
