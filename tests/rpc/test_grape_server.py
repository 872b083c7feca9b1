"""A Grape answers Links to the letter of the original, alone and among others."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import pytest
from tests.rpc.grape_rows import (
    REFUSED,
    SALTED,
    SALTED_KEY,
    SIGNED,
    SIGNED_KEY,
    TAKEN,
    VECTORS,
    Row,
    put,
    question,
)

from shoal.errors import NotFoundError, RefusedError, UnreachableError
from shoal.net.web import Web
from shoal.rpc import grape_server
from shoal.rpc.grape_server import GrapeServer
from shoal.rpc.link import Link
from shoal.sim.loop import SimLoop

LOCAL = "127.0.0.1"
Case = Callable[[Sequence[GrapeServer], Web], Awaitable[None]]


def run(case: Case, grapes: int = 1, loop: str = "asyncio", **settings: Any) -> None:
    async def main() -> None:
        first = GrapeServer(host=LOCAL, rng=Random(0), **settings)
        web = Web()
        async with asyncio.timeout(15), first:
            others = []
            for number in range(1, grapes):
                settings["rng"] = Random(number)
                other = GrapeServer(host=LOCAL, bootstrap=[f"{LOCAL}:{first.dht_port}"], **settings)
                others.append(await other.__aenter__())
            await acquainted([first, *others])
            await case([first, *others], web)
            await asyncio.gather(*(each.aclose() for each in others))
        await web.aclose()

    factory = (lambda: SimLoop(1)) if loop == "sim" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


async def acquainted(grapes: Sequence[GrapeServer]) -> None:
    for _ in range(1200):
        if all(len(each.dht.core.engine.table) == len(grapes) - 1 for each in grapes):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the Grapes do not find each other")


async def ask(web: Web, grape: GrapeServer, asked: tuple[str, bytes]) -> tuple[int, bytes]:
    return await web.post(f"http://{LOCAL}:{grape.api_port}/{asked[0]}", asked[1])


def link(grape: GrapeServer) -> Link:
    return Link(f"http://{LOCAL}:{grape.api_port}")


@pytest.mark.parametrize("grapes", [1, 2])
@pytest.mark.parametrize("rows", [REFUSED, TAKEN])
def test_every_row_of_the_table_is_answered_alone_and_among_others(
    rows: list[Row], grapes: int
) -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        for asked, status, body in rows:
            assert await ask(web, all_[0], asked) == (status, body), asked

    run(case, grapes)


@pytest.mark.parametrize("loop", ["asyncio", "sim"])
def test_one_grape_is_enough_for_a_link(loop: str) -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        async with link(all_[0]) as one:
            assert await one.announce("svc", 1337) == 1
            assert await one.lookup("svc") == [f"{LOCAL}:1337"]
            key = await one.put("Hello, P2P World!")
            assert (await one.get(key))["v"] == "Hello, P2P World!"
            with pytest.raises(RefusedError, match="All queries failed"):
                await one.put({**SIGNED, "v": "ho"})

    run(case, loop=loop)


@pytest.mark.parametrize("loop", ["asyncio", "sim"])
def test_what_one_grape_is_told_the_others_know(loop: str) -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        async with link(all_[0]) as one, link(all_[1]) as two:
            assert await one.announce("svc", 1337) == 2
            assert await two.announce("svc", 1338) == 2
            assert sorted(await two.lookup("svc")) == [f"{LOCAL}:1337", f"{LOCAL}:1338"]
            for value, key in VECTORS.items():
                assert await one.put(value) == key
                found = await two.get(key)
                assert (found["v"], found["token"], len(found["id"])) == (value, None, 40)
            with pytest.raises(NotFoundError):
                await two.get("0" * 40)

    run(case, grapes=3, loop=loop)


def test_signed_values_are_verified_and_only_grow() -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        assert await ask(web, all_[0], put(**SIGNED)) == (200, b'"%s"' % SIGNED_KEY.encode())
        assert await ask(web, all_[0], put(**SALTED)) == (200, b'"%s"' % SALTED_KEY.encode())
        status, body = await ask(web, all_[0], put(**SIGNED))
        assert (status, body) == (302, b'"302 sequence number less than current"')
        status, body = await ask(web, all_[1], put(**SIGNED, cas=7))
        assert (status, body) == (301, b'"301 CAS mismatch, re-read and try again"')
        found = json.loads((await ask(web, all_[1], ("get", question(SIGNED_KEY))))[1])
        assert {name: found[name] for name in SIGNED} == SIGNED
        salted = question({"hash": SALTED_KEY, "salt": "blog"})
        found = json.loads((await ask(web, all_[1], ("get", salted)))[1])
        assert {name: found[name] for name in SALTED} == SALTED

    run(case, grapes=2)


def test_numbers_and_buffers_of_javascript_are_understood() -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        key = list(bytes.fromhex(SIGNED["k"]))  # type: ignore[arg-type]
        signature = {"type": "Buffer", "data": list(bytes.fromhex(SIGNED["sig"]))}  # type: ignore[arg-type]
        fields = {**SIGNED, "k": json.dumps(key), "sig": signature}
        assert (await ask(web, all_[0], put(**fields)))[1] == b'"%s"' % SIGNED_KEY.encode()
        assert (await ask(web, all_[0], ("announce", b'{"data":["f",1e3]}')))[1] == b"1"
        assert (await ask(web, all_[0], ("lookup", question("f"))))[1] == b'["127.0.0.1:1000"]'

    run(case)


def test_port_0_is_the_grape_s_own_and_a_port_that_cannot_be_is_refused() -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        assert (await ask(web, all_[0], ("announce", question(["self", 0]))))[1] == b"1"
        found = json.loads((await ask(web, all_[0], ("lookup", question("self"))))[1])
        assert found == [f"{LOCAL}:{all_[0].dht_port}"]
        answer = await ask(web, all_[0], ("announce", question(["x", 70000])))
        assert answer == (200, b'"All queries failed"')

    run(case)


def test_an_announce_lives_exactly_as_long_as_it_should() -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        await ask(web, all_[0], ("announce", question(["svc", 1337])))
        replies = [each.dht.core.replies for each in all_]
        now = asyncio.get_running_loop().time()
        for each in replies:
            assert each.peers_of(b"svc", LOCAL, now + 4.5)
            assert not each.peers_of(b"svc", LOCAL, now + 5.1)

    run(case, grapes=2, peer_life=5.0)


def test_a_dead_bootstrap_costs_a_lookup_nothing() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(90):
            for living in (False, True):
                async with GrapeServer(host=LOCAL) as other:
                    bootstrap = ["127.0.0.1:9", "127.0.0.2:9"]
                    bootstrap += [f"{LOCAL}:{other.dht_port}"] if living else []
                    async with GrapeServer(host=LOCAL, bootstrap=bootstrap) as grape:
                        await asyncio.sleep(20)
                        for number in range(50):
                            begun = loop.time()
                            await grape.dht.lookup(b"svc%d" % number)
                            assert loop.time() - begun < 0.02

    with asyncio.Runner(loop_factory=lambda: SimLoop(1)) as runner:
        runner.run(main())


def test_a_taken_port_is_told() -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        with pytest.raises(UnreachableError):
            await GrapeServer(host=LOCAL, api_port=all_[0].api_port).__aenter__()
        with pytest.raises(UnreachableError):
            await GrapeServer(host=LOCAL, dht_port=all_[0].dht_port).__aenter__()

    run(case)


def test_connections_beyond_the_limit_and_silent_ones_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grape_server, "CONNECTIONS_MAX", 2)

    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        pairs = [await asyncio.open_connection(LOCAL, all_[0].api_port) for _ in range(3)]
        assert await pairs[2][0].read() == b""
        pairs[0][1].write(b"POST /lookup HTTP/1.1\r\n")
        await asyncio.sleep(30)
        assert await pairs[0][0].read() == b""
        assert len(all_[0].connections) == 1
        await asyncio.sleep(60)
        assert await pairs[1][0].read() == b""
        assert not all_[0].connections
        for _, writer in pairs:
            writer.close()

    async def patient() -> None:
        async with GrapeServer(host=LOCAL) as grape:
            web = Web()
            await case([grape], web)
            await web.aclose()

    with asyncio.Runner(loop_factory=lambda: SimLoop(1)) as runner:
        runner.run(patient())


def test_who_does_not_read_its_replies_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with GrapeServer(host=LOCAL) as grape:
            _, writer = await asyncio.open_connection(LOCAL, grape.api_port)
            monkeypatch.setattr(grape_server.Connection, "close", lambda self: None)  # it waits
            await asyncio.sleep(90)
            assert not grape.connections
            writer.close()

    with asyncio.Runner(loop_factory=lambda: SimLoop(1)) as runner:
        runner.run(main())


def test_requests_on_one_connection_are_answered_in_order() -> None:
    async def case(all_: Sequence[GrapeServer], web: Web) -> None:
        reader, writer = await asyncio.open_connection(LOCAL, all_[0].api_port)
        for name in ("a", "b", "c"):
            body = question({"a": 1} if name == "b" else f"no {name}")
            head = f"POST /lookup HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
        writer.write(b"nonsense\r\n\r\n")
        answers = (await reader.read()).split(b"HTTP/1.1 ")[1:]
        assert [each[:3] for each in answers] == [b"200", b"200", b"200", b"400"]
        assert [each.rpartition(b"\r\n")[2] for each in answers[:3]] == [
            b"[]",
            b'"ERR_GRAPE_LOOKUP"',
            b"[]",
        ]
        writer.close()

    run(case)
