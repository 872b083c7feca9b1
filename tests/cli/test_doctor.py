"""shoal doctor: what others see of us, in words."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shoal.cli.doctor import offset_of
from shoal.cli.findings import (
    BAD,
    GOOD,
    LIMITED,
    UNKNOWN,
    Finding,
    Seen,
    judge_clock,
    judge_extras,
    judge_files,
    judge_ipv6,
    judge_nat,
    judge_reach,
    judge_udp,
    summarise,
)
from shoal.codec import bencode

ONE, TWO = ("192.0.2.1", 6881), ("198.51.100.1", 6881)
OURS = "203.0.113.7"


@pytest.mark.parametrize(
    ("told", "state", "words"),
    [
        ([], UNKNOWN, "nobody told"),
        ([None, None], UNKNOWN, "nobody told"),
        ([("10.0.0.2", 4000)], GOOD, "none"),
        ([(OURS, 4000)], UNKNOWN, "second answer"),
        ([(OURS, 4000), (OURS, 4000)], LIMITED, "keeps the port"),
        ([(OURS, 51000), (OURS, 51000)], LIMITED, "makes port 4000 51000"),
        ([(OURS, 51000), (OURS, 51001)], BAD, "another port"),
        ([(OURS, 4000), ("203.0.113.8", 4000)], BAD, "another port"),
    ],
)
def test_a_router_is_judged_by_what_others_see(told: list[Any], state: str, words: str) -> None:
    seen = [Seen((f"192.0.2.{number}", 1), as_) for number, as_ in enumerate(told)]
    found = judge_nat(["10.0.0.2"], 4000, seen)
    assert found.state == state
    assert words in found.says


def test_the_other_rows_have_their_words() -> None:
    behind = Finding("NAT", LIMITED, "")
    rows = [
        (judge_udp([], [], "nobody asked"), UNKNOWN, "nobody asked"),
        (judge_udp([ONE, TWO], [Seen(ONE, None)], ""), GOOD, "1 of 2"),
        (judge_udp([ONE, TWO], [], ""), BAD, "0 of 2"),
        (judge_reach(behind, None), LIMITED, "dialled first"),
        (judge_reach(behind, 3), GOOD, "opened 3"),
        (judge_reach(Finding("NAT", GOOD, ""), None), UNKNOWN, "public"),
        (judge_ipv6(None), LIMITED, "no way"),
        (judge_ipv6("fd00::2"), LIMITED, "no way"),
        (judge_ipv6("2a00:1450::1"), GOOD, "2a00:1450::1"),
        (judge_clock(None, "no server"), UNKNOWN, "no server"),
        (judge_clock(-1.5, ""), GOOD, "1.50 s ahead"),
        (judge_clock(3600.0, ""), BAD, "3600.00 s behind"),
        (judge_files(256, 1024), LIMITED, "1024 connections"),
        (judge_files(4096, 1024), GOOD, "4096"),
        (judge_extras({"uvloop": False}, ["spake2"])[0], LIMITED, "none"),
        (judge_extras({"uvloop": True}, ["spake2"])[1], LIMITED, "spake2"),
    ]
    for found, state, words in rows:
        assert found.state == state, found
        assert words in found.says


def test_the_summary_comes_to_the_point() -> None:
    good, bad = Finding("UDP", GOOD, ""), Finding("clock", BAD, "")
    assert "nothing is in the way" in summarise([good])
    assert summarise([good, bad]) == "Something is wrong: clock."


def test_a_clock_is_compared_with_the_middle_of_the_round_trip() -> None:
    answer = bytes(40) + struct.pack(">II", 2_208_988_800 + 100, 2**31)
    assert offset_of(answer, 90.0, 91.0) == 10.0


@contextmanager
def serving(answer: Any) -> Iterator[str]:
    """A UDP server of one function; where it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    data, address = server.recvfrom(2048)
                except TimeoutError:
                    continue
                server.sendto(answer(data, address), address)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def node_that_sees(port: int | None) -> Any:
    def answer(data: bytes, address: tuple[str, int]) -> bytes:
        query = bencode.decode(data)
        assert isinstance(query, dict)
        assert query[b"ro"] == 1
        seen = socket.inet_aton(address[0]) + struct.pack(">H", port or address[1])
        reply = {b"t": query[b"t"], b"y": b"r", b"r": {b"id": bytes(20)}, b"ip": seen}
        return bencode.encode(reply)

    return answer


def late(data: bytes, address: tuple[str, int]) -> bytes:
    now = time.time() + 7200
    return bytes(40) + struct.pack(">II", int(now) + 2_208_988_800, 0)


def doctor(home: Path, *flags: str) -> tuple[int, dict[str, dict[str, str]]]:
    command = [sys.executable, "-m", "shoal", "doctor", "--json", *flags]
    environ = {**os.environ, "SHOAL_HOME": str(home), "SHOAL_PROFILE": "local"}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    found = json.loads(ended.stdout)["findings"]
    return ended.returncode, {each["about"]: each for each in found}


@pytest.mark.slow
def test_the_command_asks_those_who_are_named(tmp_path: Path) -> None:
    with serving(node_that_sees(None)) as one, serving(late) as clock:
        code, found = doctor(tmp_path, "--bootstrap", one, "--ntp", clock)
    assert found["UDP"]["state"] == found["NAT"]["state"] == "good"
    assert found["clock"]["state"] == "bad"  # two hours behind
    assert code == 1


@pytest.mark.slow
def test_the_command_asks_nobody_else(tmp_path: Path) -> None:
    code, found = doctor(tmp_path)
    assert code == 0
    assert {found[about]["state"] for about in ("UDP", "NAT", "clock")} == {"unknown"}
