"""The door lets in who may, says what it is asked, and is bounded whoever asks."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec import Struct
from tests.web.doors import ask, connect, door

from shoal.errors import ConfigError, NotFoundError, UnreachableError
from shoal.web import server
from shoal.web.verbs import VERBS, Verb


def test_who_has_no_token_or_a_wrong_one_stays_outside(tmp_path: Path) -> None:
    async def run() -> None:
        async with door(tmp_path) as one:
            for token in (None, "", "wrong", "ÿ", one._token[:-1], one._token + "0"):
                answer = await ask(one, "POST", "/v1/status", token=token)
                assert answer.status == 401, token
                assert answer.headers["www-authenticate"] == "bearer"
            assert (await ask(one, "GET", "/metrics", token=None)).status == 401
            assert (await ask(one, "POST", "/v1/status")).status == 200

    asyncio.run(run())


@pytest.mark.parametrize("unix", [False, True])
def test_pages_from_elsewhere_and_rebound_names_are_refused(tmp_path: Path, unix: bool) -> None:
    async def run() -> None:
        async with door(tmp_path) as one:
            for host in ("evil.example", "evil.example:80", "", "127.0.0.1.evil.example", "["):
                answer = await ask(one, "GET", "/v1/status", host=host, unix=unix)
                assert answer.status in (400, 421), host
            for origin in (
                "http://evil.example",
                "null",
                "https://localhost",
                "http://localhost:1",
            ):
                answer = await ask(one, "GET", "/v1/status", unix=unix, Origin=origin)
                assert answer.status == 403, origin
            same = await ask(one, "GET", "/v1/status", unix=unix, Origin=one.url)
            assert same.status == 200

    asyncio.run(run())


def test_only_this_user_reaches_the_socket_and_the_token(tmp_path: Path) -> None:
    async def run() -> None:
        async with door(tmp_path) as one:
            assert modes(folder) == {"info.json": 0o600, "socket": 0o600, "token": 0o600}
            assert (await ask(one, "GET", "/v1/status", unix=True)).json["pid"] == os.getpid()

    folder = tmp_path / "daemon"
    asyncio.run(run())
    assert (modes(folder), modes(tmp_path)["daemon"]) == ({}, 0o700)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_unknown_verbs_and_wrong_arguments_are_told_in_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with door(tmp_path) as one:
            for path in ("/v1/nothing", "/", "/v1/", "/v2/status", "/v1/../v1/x"):
                answer = await ask(one, "POST", path)
                assert (answer.status, answer.json["kind"]) == (404, "NotFoundError"), path
            wrong = [b"[]", b"{", b"\xff", b'{"transfer":1}', b'{"other":1}', b"{}", b"null"]
            for body in [*wrong, b"[" * 100_000]:
                answer = await ask(one, "POST", "/v1/pause", body)
                assert (answer.status, answer.json["kind"]) == (400, "UsageError"), body[:20]
            answer = await ask(one, "POST", "/v1/pause", b'{"transfer":"x"}')
            assert answer.status == 404
            assert "shoal transfers" in answer.json["advice"]
            assert (await ask(one, "GET", "/v1/pause?transfer=x")).status == 405
            assert (await ask(one, "DELETE", "/v1/status")).status == 405
            assert (await ask(one, "GET", "/v1/status?x=1")).status == 400
            for bad in (b'{"down":-1}', b'{"down":1e999}', b'{"transfer":"","up":-5}'):
                assert (await ask(one, "POST", "/v1/limit", bad)).status == 400

    asyncio.run(run())


def test_a_giant_body_is_refused_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(server, "BODY_MAX", 1000)
        async with door(tmp_path) as one:
            answer = await ask(one, "POST", "/v1/get", b"x" * 1001)
            assert (answer.status, answer.json["kind"]) == (413, "LimitError")

    asyncio.run(run())


def test_without_a_token_no_body_is_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with door(tmp_path) as one:
            reader, writer = await connect(one, unix=False)
            writer.write(
                b"POST /v1/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
            )
            async with asyncio.timeout(5):
                assert b" 401 " in await reader.readline()
            writer.close()

    asyncio.run(run())


class Nothing(Struct):
    """Count without end."""


class Number(Struct, tag_field="event", tag="number"):
    """One of them."""

    value: int
    padding: str = "x" * 10_000


def count_with(last: list[int], end: int) -> Verb:
    async def count(node: object, given: Nothing) -> AsyncGenerator[Number, None]:
        for last[0] in range(end):
            yield Number(last[0])
            await asyncio.sleep(0)
        raise NotFoundError("no more numbers")

    return Verb(Nothing, (Number, Number), count, looks=True)


def test_events_are_lines_or_server_sent_events_and_end_with_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setitem(VERBS, "count", count_with([0], 2))
        async with door(tmp_path) as one:
            answer = await ask(one, "POST", "/v1/count")
            assert answer.headers["content-type"] == "application/x-ndjson"
            lines = [json.loads(line) for line in answer.body.splitlines()]
            assert [line.get("value") for line in lines] == [0, 1, None]
            assert (lines[-1]["kind"], lines[-1]["error"]) == ("NotFoundError", "no more numbers")
            answer = await ask(one, "GET", "/v1/count", Accept="text/event-stream")
            names = [line for line in answer.body.splitlines() if line.startswith(b"event:")]
            assert names == [b"event: number", b"event: number", b"event: error"]
            assert answer.body.count(b"\ndata: {") == 3

    asyncio.run(run())


@pytest.mark.slow
def test_a_reader_who_does_not_read_is_waited_for_and_then_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        last = [0]
        monkeypatch.setattr(server, "WRITE_PATIENCE", 0.2)
        monkeypatch.setitem(VERBS, "count", count_with(last, 1_000_000))
        async with door(tmp_path) as one:
            reader, writer = await asyncio.open_unix_connection(one.socket, limit=1000)
            writer.write(b"POST /v1/count HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.sleep(0.6)
            reached = last[0]
            await asyncio.sleep(0.1)
            assert last[0] == reached < 1000
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1_000_000_000)
            writer.close()

    asyncio.run(run())


def test_who_leaves_ends_its_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def wait(node: object, given: Nothing) -> AsyncGenerator[Number, None]:
            try:
                yield Number(1)
                await asyncio.sleep(60)
            finally:
                ended.set()

        monkeypatch.setitem(VERBS, "wait", Verb(Nothing, (Number,), wait))
        async with door(tmp_path) as one:
            reader, writer = await connect(one, unix=True)
            writer.write(b"POST /v1/wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"number")
            writer.close()
            async with asyncio.timeout(5):
                await ended.wait()
            assert one.node.host.connections == []

    asyncio.run(run())


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
        async with door(tmp_path) as one:
            held = [await connect(one, unix=True) for _ in range(3)]
            await asyncio.sleep(0.05)
            reader, late = await connect(one, unix=True)
            assert await reader.read() == b""
            for _, writer in [*held, (reader, late)]:
                writer.close()
            await asyncio.sleep(0.05)
            assert (await ask(one, "GET", "/v1/status", unix=True)).status == 200

    asyncio.run(run())


def test_a_mistake_of_ours_is_an_answer_without_its_insides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async def fail(node: object, given: Nothing) -> AsyncGenerator[Number, None]:
            raise ZeroDivisionError("insides")
            yield Number(1)

        monkeypatch.setitem(VERBS, "fail", Verb(Nothing, (Number,), fail))
        async with door(tmp_path) as one:
            answer = await ask(one, "POST", "/v1/fail")
            assert answer.status == 500
            assert b"insides" not in answer.body

    asyncio.run(run())
    assert "insides" in caplog.text


def test_prometheus_and_openapi_are_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with door(tmp_path) as one:
            answer = await ask(one, "GET", "/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert b"# TYPE shoal_net_connections gauge" in answer.body
            assert b"\nshoal_swarm_transfers 0" in answer.body
            described = (await ask(one, "GET", "/openapi.json")).json
            assert set(described["paths"]) == {f"/v1/{name}" for name in VERBS}

    asyncio.run(run())


def test_a_socket_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    async def run() -> None:
        folder = tmp_path / "daemon"
        folder.mkdir()
        (folder / "socket").write_text("left behind")
        async with door(tmp_path) as one:
            assert (await ask(one, "GET", "/v1/status", unix=True)).status == 200

    asyncio.run(run())


def test_a_home_too_long_for_a_unix_socket_is_reached_over_loopback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        home = tmp_path / ("long" * 30)
        async with door(home) as one:
            assert one.socket == ""
            assert (await ask(one, "GET", "/v1/status")).status == 200
        with pytest.raises(ConfigError, match="shorter --home"):
            async with door(home, http=False):
                pass

    asyncio.run(run())
    assert "too long for a unix socket" in caplog.text


def test_a_busy_port_is_one_clear_error_and_nothing_stays(tmp_path: Path) -> None:
    async def run() -> None:
        async with door(tmp_path / "a") as one:
            port = int(one.url.rpartition(":")[2])
            with pytest.raises(UnreachableError, match=str(port)):
                async with door(tmp_path / "b", port=port):
                    pass
        assert list((tmp_path / "b" / "daemon").iterdir()) == []

    asyncio.run(run())
