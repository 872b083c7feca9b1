"""Nodes offer services by name and call each other's, over any loop and in a simulated world."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
import uvloop

from shoal.config import Config
from shoal.errors import (
    ClosedError,
    NotFoundError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from shoal.node import Node
from shoal.peer.key import PrivateKey
from shoal.rpc import answer, native
from shoal.rpc.record import ServiceRecord
from shoal.sim.world import World

LOOPS: list[Any] = [asyncio.new_event_loop, uvloop.new_event_loop]
LOCAL = ["/ip4/127.0.0.1/tcp/0"]


def make(seed: int, listen: list[str] = LOCAL, **settings: Any) -> Node:
    rng = Random(seed)
    return Node(
        key=PrivateKey.generate(rng), rng=rng, listen=listen, security=["noise"], **settings
    )


def offer(node: Node, says: str = "") -> Node:
    @node.service("echo", version="1.0")
    async def echo(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        return says or list(arguments)

    @node.service("plain")
    def plain(value: Any) -> Any:
        return value

    @node.service("fail")
    async def fail(what: str) -> None:
        raise ValueError(f"no {what}")

    @node.service("slow")
    async def slow(seconds: float, log: Any = None) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.append(says)
            raise
        return says

    cancelled: list[str] = []
    node.cancelled = cancelled  # type: ignore[attr-defined]

    @node.service("unspeakable")
    async def unspeakable() -> object:
        return object()

    return node


def run(case: Callable[[Node, Node], Awaitable[None]], loop: Any = None) -> None:
    async def both() -> None:
        async with asyncio.timeout(15), make(1) as caller, offer(make(2), "b") as server:
            await caller.dial(server.addresses[0])
            await case(caller, server)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(both())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_service_is_called_by_its_name(loop: Any) -> None:
    async def case(caller: Node, server: Node) -> None:
        value = {"x": [1, "ü", b"\x00", None, 2.5]}
        assert await caller.call("plain", value) == value
        assert await caller.call("echo", 1, 2) == "b"
        many = await asyncio.gather(*(caller.call("plain", each) for each in range(500)))
        assert many == list(range(500))
        with pytest.raises(RefusedError, match="no bread"):
            await caller.call("fail", "bread")
        with pytest.raises(RefusedError, match="cannot be sent"):
            await caller.call("unspeakable")
        with pytest.raises(RefusedError, match="argument"):
            await caller.call("plain", 1, 2, 3)
        with pytest.raises(NotFoundError):
            await caller.call("nobody")
        with pytest.raises(UsageError):
            await caller.call("plain", object())
        assert len(server.host.connections[0].streams) <= 1

    run(case, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_caller_that_waits_no_more_ends_the_call_there_too(loop: Any) -> None:
    async def case(caller: Node, server: Node) -> None:
        with pytest.raises(TimeoutError):
            await caller.call("slow", 60, timeout=0.05)
        task = asyncio.create_task(caller.call("slow", 60))
        await asyncio.sleep(0.05)
        task.cancel()
        for _ in range(100):
            if server.cancelled == ["b", "b"]:  # type: ignore[attr-defined]
                break
            await asyncio.sleep(0.01)
        assert server.cancelled == ["b", "b"]  # type: ignore[attr-defined]
        assert not any(each.load for each in server.services.offered.values())

    run(case, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_call_that_is_cancelled_before_it_begins_leaves_nothing(loop: Any) -> None:
    async def case(caller: Node, server: Node) -> None:
        stream = await caller.host.open(server.id, native.PROTOCOL)
        pairs = [(native.Call(n, "slow", [60]), native.Cancel(n)) for n in range(50)]
        stream.post(b"".join(native.encode(each) for pair in pairs for each in pair))
        await caller.call("echo")
        for _ in range(100):
            if not server.services.offered["slow"].load:
                break
            await asyncio.sleep(0.01)
        assert server.services.offered["slow"].load == 0
        assert len(server.cancelled) == 50  # type: ignore[attr-defined]

    run(case, loop)


def test_who_asks_for_our_record_too_often_gets_it_a_few_times_and_costs_one_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed: list[int] = []
    seal = ServiceRecord.seal

    def count(key: Any, offers: Any, sequence: int) -> bytes:
        signed.append(sequence)
        return seal(key, offers, sequence)

    monkeypatch.setattr(ServiceRecord, "seal", count)
    frames = native.Frames()
    told: list[native.Message] = []

    async def case(caller: Node, server: Node) -> None:
        stream = await caller.host.open(server.id, native.PROTOCOL)
        stream.post(b"".join(native.encode(native.Ask(n)) for n in range(100)))
        while len(told) < 100:
            told.extend(frames.receive(await stream.read()))
        assert sum(type(each) is native.Told for each in told) <= 2 * answer.ASKS_MAX
        assert len(signed) <= 2

    run(case)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_result_passes_and_a_larger_one_is_refused(loop: Any) -> None:
    async def case(caller: Node, server: Node) -> None:
        big = bytes(native.MESSAGE_MAX - 100)
        assert await caller.call("plain", big) == big
        with pytest.raises(UsageError):
            await caller.call("plain", big + bytes(200))
        assert await caller.call("plain", 1) == 1

    run(case, loop)


def test_too_many_calls_at_once_are_refused_unexecuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "CALLS_MAX", 5)

    async def case(caller: Node, server: Node) -> None:
        calls = [asyncio.create_task(caller.call("slow", 0.2)) for _ in range(8)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [each for each in ended if each == "b"] == ["b"] * 5
        assert all(isinstance(each, UnreachableError) for each in ended if each != "b")

    run(case)


def test_pending_calls_fail_at_once_when_the_peer_goes() -> None:
    async def case(caller: Node, server: Node) -> None:
        call = asyncio.create_task(caller.call("slow", 60, timeout=60))
        await asyncio.sleep(0.1)
        await server.aclose()
        with pytest.raises(ClosedError):
            await call
        with pytest.raises((NotFoundError, UnreachableError)):
            await caller.call("slow", 60)

    run(case)


def test_when_one_of_two_dies_no_idempotent_call_fails_and_at_most_one_other() -> None:
    async def main(idempotent: bool) -> int:
        failed = 0
        async with asyncio.timeout(15), make(1) as caller, offer(make(2), "b") as one:
            async with offer(make(3), "c") as two:
                await caller.dial(one.addresses[0])
                await caller.dial(two.addresses[0])
                said = {await caller.call("echo") for _ in range(50)}
                assert said == {"b", "c"}
            for _ in range(50):
                try:
                    assert await caller.call("echo", idempotent=idempotent) == "b"
                except ClosedError:
                    failed += 1
        return failed

    assert asyncio.run(main(idempotent=True)) == 0
    assert asyncio.run(main(idempotent=False)) <= 1


def test_a_peer_tells_what_it_offers_and_those_not_well_are_called_last() -> None:
    async def main() -> None:
        well = [False]
        async with asyncio.timeout(15), make(1) as caller, make(2) as one, make(3) as two:
            one.service("who", version="7", well=lambda: well[0])(lambda: "one")
            two.service("who")(lambda: "two")
            record = await caller.services.ask(one.addresses[0])
            assert (record.peer, record.offers[0].version) == (one.id, "7")
            await caller.dial(two.addresses[0])
            records = await caller.services.records()
            assert {each.peer for each in records} == {one.id, two.id}
            assert {await caller.call("who") for _ in range(30)} == {"two"}
            well[0] = True
            caller.services._known.clear()
            assert {await caller.call("who") for _ in range(30)} == {"one", "two"}

    asyncio.run(main())


def test_a_finder_brings_those_we_are_not_connected_to() -> None:
    class Board:
        def __init__(self, node: Node) -> None:
            self.node = node

        async def publish(self, name: str) -> int:
            board.setdefault(name, []).append(self.node)
            return 1

        async def find(self, name: str) -> AsyncIterator[Any]:
            for node in board.get(name, []):
                yield node.addresses[0]

    board: dict[str, list[Node]] = {}

    async def main() -> None:
        async with asyncio.timeout(15), make(1) as caller, make(2) as server:
            for node in (caller, server):
                node.services.finders.append(Board(node))
            offer(server, "b")
            await asyncio.sleep(0.1)
            assert await caller.call("echo") == "b"
            with pytest.raises(NotFoundError):
                await caller.call("nobody")

    asyncio.run(main())


def test_mistakes_of_the_user_are_told() -> None:
    node = make(1)
    node.service("x")(print)
    for name, version in (("", ""), ("y" * 2000, ""), ("x", ""), ("z", "v" * 200)):
        with pytest.raises(UsageError):
            node.service(name, version=version)(print)


@pytest.mark.parametrize("seed", range(4))
def test_a_simulated_world_calls_through_crashes(seed: int) -> None:
    nodes: dict[str, Node] = {}

    async def boot(host: Any) -> None:
        node = Node(
            Config(profile="public", home="/home", listen=[f"/ip4/{host.ip}/tcp/4001"]),
            key=PrivateKey.generate(Random(host.name)),
            security=["noise"],
            disk=host.disk,
            rng=host.rng,
            clock=asyncio.get_running_loop().time,
        )
        offer(node, host.name)
        await node.start()
        nodes[host.name] = node

    async def play() -> None:
        one, two, three = hosts = list(world.hosts(3, boot))
        await world.until(lambda: len(nodes) == 3, within=10)
        caller = nodes[one.name]

        async def meet() -> None:
            for other in (two, three):
                await caller.dial(nodes[other.name].addresses[0])

        async def many(count: int) -> list[Any]:
            return [await caller.call("echo", idempotent=True, timeout=60) for _ in range(count)]

        await one.run(meet())
        assert set(await one.run(many(40))) == {two.name, three.name}
        two.crash()
        assert set(await one.run(many(40))) == {three.name}
        two.restart()
        await asyncio.sleep(30)
        await one.run(meet())
        await asyncio.sleep(30)
        assert set(await one.run(many(40))) == {two.name, three.name}
        for host in hosts:
            await host.run(nodes[host.name].aclose())

    with World(seed) as world:
        world.run(play())
