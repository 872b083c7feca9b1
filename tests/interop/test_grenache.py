"""Grapes, Links, services and callers of Node.js and ours, mixed in all combinations."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from tests.interop.children import Child, free_port
from tests.interop.programs import node
from tests.rpc.authority import Authority, fingerprint
from tests.rpc.grape_rows import REFUSED, SALTED, SIGNED, SIGNED_KEY, TAKEN, VECTORS, question

from shoal.errors import NotFoundError, RefusedError, ShoalError
from shoal.net.certificates import Certificates
from shoal.net.web import Web
from shoal.rpc.client import RpcClient
from shoal.rpc.grape_server import GrapeServer
from shoal.rpc.grenache import Caller
from shoal.rpc.link import Link
from shoal.rpc.publish import Publisher, Subscriber
from shoal.rpc.server import RpcServer
from shoal.rpc.streams import ServedStream

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

LOCAL = "127.0.0.1"
KINDS = ("http", "ws")


@dataclass
class Network:
    """Two Grapes of Node.js and one of ours: the URLs of their APIs."""

    node: list[str]
    ours: str
    grape: GrapeServer


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    ports = [free_port() for _ in range(4)]
    first = [*node("grenache/grape.cjs"), str(ports[0]), str(ports[1])]
    second = [*node("grenache/grape.cjs"), str(ports[2]), str(ports[3]), f"{LOCAL}:{ports[0]}"]
    bootstrap = [f"{LOCAL}:{ports[0]}", f"{LOCAL}:{ports[2]}"]
    with Child(first, ready="grape ready"), Child(second, ready="grape ready"):
        async with GrapeServer(host=LOCAL, bootstrap=bootstrap) as grape:
            for _ in range(100):
                if len(grape.dht.core.engine.table) == 2:
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)  # they ask back whether we live
            urls = [f"http://{LOCAL}:{port}" for port in (ports[1], ports[3])]
            yield Network(urls, f"http://{LOCAL}:{grape.api_port}", grape)


def run(case: Callable[[Network], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(110), network() as grapes:
            await case(grapes)

    asyncio.run(main())


async def started(command: list[str], ready: str, files: Certificates | None = None) -> Child:
    """A script of Node.js; with `files` it speaks TLS."""
    environment = {}
    if files is not None:
        environment = {"KEY": files.key, "CERT": files.certificate, "CA": files.authorities}
    return await asyncio.to_thread(Child, command, ready=ready, environment=environment)


async def answer(script: str, *arguments: str, files: Certificates | None = None) -> Any:
    """What a script of Node.js says."""
    child = await started([*node(f"grenache/{script}"), *arguments], r"^answer (.*)$", files)
    assert child.match
    found = json.loads(child.match[1])
    await asyncio.to_thread(child.end)
    return found


def test_both_kinds_of_grape_answer_every_row_alike() -> None:
    async def case(grapes: Network) -> None:
        web = Web()
        for url, rows in product([grapes.node[0], grapes.ours], [REFUSED]):
            for (kind, body), status, expected in rows:
                assert await web.post(f"{url}/{kind}", body) == (status, expected), (
                    url,
                    kind,
                    body,
                )
        for (kind, body), status, expected in TAKEN:
            told = await web.post(f"{grapes.node[0]}/{kind}", body)
            assert told[0] == status
            if kind != "announce":  # two others took it, not one
                assert told[1] == expected
        await web.aclose()

    run(case)


def test_a_grape_of_node_alone_says_so_and_a_link_of_ours_tells() -> None:
    async def main() -> None:
        dht, api = free_port(), free_port()
        command = [*node("grenache/grape.cjs"), str(dht), str(api)]
        with await started(command, "grape ready"):
            async with asyncio.timeout(100), Link(f"http://{LOCAL}:{api}") as link:
                for asked in (link.announce("svc", 1337), link.put("hello")):
                    with pytest.raises(RefusedError, match="No nodes to query"):
                        await asked
                assert await link.lookup("svc") == [f"{LOCAL}:1337"]  # it has kept it all the same
                assert await link.lookup("nobody") == []
                with pytest.raises(RefusedError, match="ERR_GRAPE_GENERIC"):
                    await link.get(7)  # type: ignore[arg-type]

    asyncio.run(main())


def test_port_0_is_the_grape_s_own_and_refused_values_have_their_status() -> None:
    async def case(grapes: Network) -> None:
        web = Web()
        async with Link(grapes.node[0]) as theirs, Link(grapes.ours) as ours:
            assert await theirs.announce("self:node", 0) == 2
            assert await ours.announce("self:shoal", 0) == 2
            (found,) = await ours.lookup("self:node")
            assert found == grapes.grape.bootstrap[0]
            assert await theirs.lookup("self:shoal") == [f"{LOCAL}:{grapes.grape.dht_port}"]
            await ours.put(SALTED)
            for url in (grapes.node[0], grapes.ours):
                for cas, status, words in (
                    (None, 302, "302 sequence number less than current"),
                    (7, 301, "301 CAS mismatch, re-read and try again"),
                ):
                    fields = SALTED if cas is None else {**SALTED, "cas": cas}
                    told = await web.post(f"{url}/put", question(fields))
                    assert told == (status, json.dumps(words).encode()), url
        await web.aclose()

    run(case)


@pytest.mark.parametrize("kind", KINDS)
def test_all_instances_of_both_kinds_are_called_by_map(kind: str) -> None:
    async def case(grapes: Network) -> None:
        command = [*node("grenache/service.cjs"), kind, grapes.node[0], "of:both"]
        service = await started([*command, str(free_port())], "service ready 2")
        async with Link(grapes.ours) as link, RpcServer(link, host=LOCAL) as server:
            server.service("of:both")(lambda payload: {"from": "shoal", "payload": payload})
            await server.announce()
            async with RpcClient(link, over=kind) as client:
                told = await client.map("of:both", 5)
                assert sorted(each["from"] for each in told) == ["node", "shoal"]
                assert all(each["payload"] == 5 for each in told)
        await asyncio.to_thread(service.end)

    run(case)


@pytest.mark.parametrize("kind", KINDS)
def test_services_and_callers_mix_through_every_grape(kind: str) -> None:
    async def case(grapes: Network) -> None:
        port = free_port()
        command = [*node("grenache/service.cjs"), kind, grapes.node[0], "of:node", str(port)]
        service = await started(command, "service ready 2")
        async with Link(grapes.ours) as link, RpcServer(link, host=LOCAL) as server:

            @server.service("of:shoal")
            async def echo(payload: Any) -> Any:
                if payload.get("fail"):
                    raise ValueError("ERR_ON_PURPOSE")
                return {"from": "shoal", "payload": payload}

            await server.announce()
            for url in (*grapes.node, grapes.ours):
                for name, by in (("of:node", "node"), ("of:shoal", "shoal")):
                    payload = {"x": [1, "ü", None]}
                    async with Link(url) as ours, RpcClient(ours, over=kind) as client:
                        assert await client.request(name, payload) == {
                            "from": by,
                            "payload": payload,
                        }
                        with pytest.raises(RefusedError, match="ERR_ON_PURPOSE"):
                            await client.request(name, {"fail": 1})
                    told = await answer("caller.cjs", kind, url, name, json.dumps(payload))
                    assert told == {"result": {"from": by, "payload": payload}}
            told = await answer("caller.cjs", kind, grapes.node[1], "of:shoal", '{"fail": 1}')
            assert "ERR_ON_PURPOSE" in told["error"]
            if kind == "http":
                async with (
                    Link(grapes.ours) as ours,
                    RpcClient(ours, over=kind, gzip=True) as client,
                ):
                    told = await client.request("of:node", {"x": 1})
                    assert told == {"from": "node", "payload": {"x": 1}}
                arguments = (kind, grapes.node[1], "of:shoal", '{"x": 1}', "gzip")
                told = await answer("caller.cjs", *arguments)
                assert told == {"result": {"from": "shoal", "payload": {"x": 1}}}
        await asyncio.to_thread(service.end)

    run(case)


def test_streams_flow_both_ways_between_both_kinds() -> None:
    async def case(grapes: Network) -> None:
        port = free_port()
        command = [*node("grenache/stream_service.cjs"), grapes.node[0], "stream:node", str(port)]
        service = await started(command, "service ready")
        async with Link(grapes.ours) as link, RpcServer(link, host=LOCAL) as server:

            @server.stream("stream:shoal")
            async def shout(stream: ServedStream) -> None:
                head = f"{stream.action} {stream.arguments} {stream.headers['x-own']} "
                while data := await stream.read():
                    await stream.write(head.encode() + data.upper())
                    head = ""

            await server.announce()
            told = await answer("stream_caller.cjs", grapes.node[1], "stream:shoal")
            assert told == ["up {'foo': 'bär'} [1] ONE", "TWO", "THREE"]
            async with RpcClient(link) as client:
                how = {"action": "up", "arguments": {"foo": "bär"}, "headers": {"x-own": [1]}}
                async with client.stream("stream:node", **how) as stream:  # type: ignore[arg-type]
                    head = json.loads(await stream.read())
                    key = {"isStream": True, "key": "stream:node"}
                    assert head == {**key, "action": "up", "args": {"foo": "bär"}, "own": "[1]"}
                    for word in (b"one", b"two"):
                        await stream.write(word)
                        assert await stream.read() == word.upper()
                    await stream.close_write()
                    assert await stream.read() == b""
                async with client.stream("stream:node") as stream:
                    await stream.read()
                await asyncio.to_thread(service.wait_for, "caller left")
        await asyncio.to_thread(service.end)

    run(case)


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_are_shown_and_fingerprints_told_both_ways(kind: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours, theirs, refused = (authority.issue(name) for name in ("shoal", "node", "refused"))
    stranger = Authority(tmp_path / "other", "stranger").issue("stranger")
    misled = Certificates(stranger.key, stranger.certificate, ours.authorities)

    def prints(files: Certificates) -> list[str]:
        return [fingerprint(files.certificate, kind) for kind in (SHA1, SHA256)]

    async def case(grapes: Network) -> None:
        port = free_port()
        command = [*node("grenache/service.cjs"), kind, grapes.node[0], "tls:node", str(port)]
        service = await started(command, "service ready", theirs)
        async with Link(grapes.ours) as link:
            async with RpcClient(link, over=kind, tls=ours.client()) as client:
                assert await client.request("tls:node", 1) == [1, *prints(ours)]
            for files in (misled, *([refused] if kind == "ws" else [])):
                async with RpcClient(link, over=kind, tls=files.client()) as client:
                    with pytest.raises(ShoalError):
                        await client.request("tls:node", 1, timeout=5)

            def allows(caller: Caller) -> bool:
                return caller.fingerprint != prints(refused)[0]

            tls = ours.server()
            async with RpcServer(link, host=LOCAL, tls=tls, allows=allows) as server:

                @server.service("tls:shoal", caller=True)
                def who(payload: Any, caller: Caller) -> Any:
                    return [payload, caller.fingerprint, caller.fingerprint256]

                await server.announce()
                where = (kind, grapes.node[1], "tls:shoal", "2")
                told = await answer("caller.cjs", *where, files=theirs)
                assert told == {"result": [2, *prints(theirs)]}
                if kind == "http":  # over WebSocket Node.js ends with an uncaught error
                    for files in (misled, refused):
                        told = await answer("caller.cjs", *where, files=files)
                        assert "ERR_REQUEST_GENERIC" in told["error"]
        await asyncio.to_thread(service.end)

    run(case)


def test_values_put_on_one_are_got_from_the_others() -> None:
    async def case(grapes: Network) -> None:
        (hello, hello_key), (world, world_key) = VECTORS.items()
        async with Link(grapes.ours) as ours, Link(grapes.node[1]) as theirs:
            assert await ours.put(hello) == hello_key
            assert (await theirs.get(hello_key))["v"] == hello
            told = await answer("link.cjs", grapes.node[0], "put", json.dumps({"v": world}))
            assert told == {"result": world_key}
            assert (await ours.get(world_key))["v"] == world
            told = await answer("link.cjs", grapes.ours, "get", json.dumps(hello_key))
            assert told["result"]["v"] == hello
            assert await theirs.put(SIGNED) == SIGNED_KEY  # ours verifies and keeps it
            assert (await ours.get(SIGNED_KEY))["sig"] == SIGNED["sig"]
            with pytest.raises(NotFoundError):  # they cannot verify, so they do not take it
                await theirs.get(SIGNED_KEY)
            told = await answer("link.cjs", grapes.ours, "get", json.dumps(SIGNED_KEY))
            assert told["result"]["seq"] == 1

    run(case)


def test_what_is_published_is_heard_both_ways() -> None:
    async def case(grapes: Network) -> None:
        port = free_port()
        command = [*node("grenache/publish.cjs"), grapes.node[0], "news:node", str(port)]
        publisher = await started(command, "publisher ready")
        async with Link(grapes.ours) as link, Subscriber(link, "news:node") as news:
            async for message in news:
                assert str(message).startswith("from node")
                break
        await asyncio.to_thread(publisher.end)
        async with Link(grapes.ours) as link:
            async with Publisher(link, "news:shoal", host=LOCAL) as ours:
                command = [*node("grenache/subscribe.cjs"), grapes.node[1], "news:shoal"]
                listener = await started(command, "connected")
                ours.publish("hello")
                await asyncio.to_thread(listener.wait_for, "heard hello")
                await asyncio.to_thread(listener.end)

    run(case)


def test_a_grape_of_node_finds_a_service_though_ours_has_gone_and_come_back() -> None:
    async def case(grapes: Network) -> None:
        async with Link(grapes.node[0], grapes.ours) as link:
            assert await link.announce("svc", 4711) == 2
            await grapes.grape.aclose()
            again = GrapeServer(
                host=LOCAL,
                dht_port=grapes.grape.dht_port,
                api_port=grapes.grape.api_port,
                bootstrap=grapes.grape.bootstrap,
            )
            async with again, Link(grapes.ours) as other:
                await asyncio.sleep(1)
                assert await other.lookup("svc") == [f"{LOCAL}:4711"]

    run(case)
