"""A Link asks its Grapes sparingly, goes on to the next one, and says what they say."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from shoal.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from shoal.net.web import WebServer, read_body, reply
from shoal.rpc import link as link_module
from shoal.rpc.link import AGAIN, CACHE, JITTER, Link
from shoal.sim.loop import SimLoop

LOCAL = "127.0.0.1"


class FakeGrape:
    """Answers as it is told, and keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str, Any]] = []
        self.status = 200
        self.answer: Any = []
        self.silent = False
        self.cuts = 0  # connections still to be cut instead of an answer
        self._web = WebServer(self._serve)

    async def open(self) -> str:
        return f"http://{LOCAL}:{await self._web.listen(LOCAL)}"

    async def aclose(self) -> None:
        await self._web.aclose()

    async def _serve(self, request: Any) -> Any:
        question = json.loads(await read_body(request, limit=10_000))
        now = asyncio.get_running_loop().time()
        self.asked.append((now, request.path[1:], question["data"]))
        if self.silent:
            await asyncio.sleep(3600)
        if self.cuts:
            self.cuts -= 1
            request.transport.abort()
        body = b"" if self.answer is None else json.dumps(self.answer).encode()
        return reply(body, status=self.status)


def run(case: Callable[[Link, FakeGrape, FakeGrape], Awaitable[None]]) -> None:
    async def main() -> None:
        one, two = FakeGrape(), FakeGrape()
        async with Link(await one.open(), await two.open(), rng=Random(1)) as link:
            await case(link, one, two)
        await one.aclose()
        await two.aclose()

    with asyncio.Runner(loop_factory=lambda: SimLoop(1)) as runner:
        runner.run(main())


def test_the_same_lookup_is_asked_once_and_remembered_unless_it_found_nobody() -> None:
    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        assert await link.lookup("svc") == []
        one.answer = ["127.0.0.1:1", "tcp://127.0.0.1:2", "junk", 7]
        found = await asyncio.gather(*(link.lookup("svc") for _ in range(10)))
        assert found == [["127.0.0.1:1", "127.0.0.1:2"]] * 10
        assert len(one.asked) == 2
        await asyncio.sleep(CACHE - 1)
        await link.lookup("svc")
        assert len(one.asked) == 2
        await link.lookup("svc", fresh=True)
        await asyncio.sleep(CACHE + 1)
        await link.lookup("svc")
        assert len(one.asked) == 4

    run(case)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "CACHE_MAX", 3)
    monkeypatch.setattr(link_module, "ANNOUNCED_MAX", 2)

    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        one.answer = ["127.0.0.1:1"]
        for number in range(10):
            await link.lookup(f"svc{number}")
        assert len(link._cache) == 3
        one.answer = 1
        await link.announce("a", 1)
        await link.announce("b", 1)
        with pytest.raises(UsageError):
            await link.announce("c", 1)

    run(case)


def test_the_grape_that_answers_becomes_the_first() -> None:
    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        one.silent = True
        two.answer = ["127.0.0.1:1"]
        for name in ("a", "b"):
            assert await link.lookup(name) == ["127.0.0.1:1"]
        assert (len(one.asked), len(two.asked)) == (1, 2)
        await two.aclose()
        one.silent = False
        assert await link.lookup("c") == []
        await one.aclose()
        with pytest.raises(UnreachableError) as failure:
            await link.lookup("d")
        assert len(failure.value.reasons) == 2

    run(case)


def test_a_connection_that_is_cut_is_no_failure() -> None:
    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        one.cuts = 1
        assert await link.lookup("svc") == []
        assert (len(one.asked), len(two.asked)) == (2, 0)

    run(case)


def test_the_words_of_a_grape_are_errors_and_a_redirection_is_not_followed() -> None:
    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        asking: list[Callable[[], Awaitable[Any]]] = [
            lambda: link.lookup("svc"),
            lambda: link.announce("svc", 1),
            lambda: link.put("v"),
            lambda: link.get("0" * 40),
        ]
        for status, words in (
            (200, "ERR_GRAPE_LOOKUP"),
            (200, "No nodes to query"),
            (301, "301 CAS mismatch, re-read and try again"),
            (302, "302 sequence number less than current"),
            (500, "ERR_GRAPE_PAYLOAD_INVALID"),
        ):
            one.status, one.answer = status, words
            for ask in asking:
                with pytest.raises(RefusedError, match=words):
                    await ask()
        assert not link._announced
        one.status, one.answer = 200, None
        with pytest.raises(NotFoundError):
            await link.get("0" * 40)

    run(case)


def test_a_service_is_announced_again_in_time_even_if_a_grape_fails_meanwhile() -> None:
    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        one.answer = two.answer = 1
        await link.announce("svc", 1337)
        await asyncio.sleep(200)
        one.silent = two.silent = True
        await asyncio.sleep(100)
        one.silent = two.silent = False
        one.status = 500
        await asyncio.sleep(100)
        one.status = 200
        await asyncio.sleep(200)
        times = [when for when, kind, data in one.asked + two.asked if data == ["svc", 1337]]
        times.sort()
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert max(gaps) <= AGAIN + JITTER + 2 * link.timeout
        assert len(set(gaps)) > 5
        await link.withdraw("svc", 1337)
        count = len(one.asked) + len(two.asked)
        await asyncio.sleep(200)
        assert len(one.asked) + len(two.asked) == count

    run(case)


def test_mistakes_of_the_user_are_told() -> None:
    async def case(link: Link, one: FakeGrape, two: FakeGrape) -> None:
        wrong: list[Awaitable[Any]] = [
            link.lookup(""),
            link.lookup("x" * 1001),
            link.announce("x", 65536),
            link.put({"v": 7}),
            link.put("x" * 9000),
        ]
        for asked in wrong:
            with pytest.raises(UsageError):
                await asked
        assert not one.asked
        with pytest.raises(UsageError):
            await Link("http://127.0.0.1:1").lookup("x")
        with pytest.raises(UsageError):
            Link()

    run(case)
