"""A Grape's client: announce, look up, put and get through one Grape or several.

    async with Link("http://127.0.0.1:30001") as link:
        await link.announce("rest:util:net", 1337)
        addresses = await link.lookup("rest:util:net")

Announcements are repeated at less than half of the shortest time for which a
Grape keeps them (80 s), so that one lost announce shows nowhere.  When a Grape
does not answer, the next one is asked and stays the first choice.  An empty
lookup is never remembered: the service may be there in a moment.
"""

import asyncio
from collections.abc import Callable
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

from shoal.errors import ClosedError, NotFoundError, RefusedError, UnreachableError, UsageError
from shoal.net.web import Web
from shoal.rpc import grenache

if TYPE_CHECKING:
    from random import Random

TIMEOUT = 2.5  # seconds for one try at one Grape, as in grenache-nodejs-link
ANSWER_MAX = 1 << 20  # bytes of a Grape's answer
AGAIN = 30.0  # seconds, at least, between two announces of a service
JITTER = 10.0  # seconds, at most, that are added to it
CACHE = 10.0  # seconds that a lookup is remembered
CACHE_MAX = 2500  # names remembered
ANNOUNCED_MAX = 1000  # services of one Link

Answer = TypeVar("Answer")


class Link:
    """`async with Link(url, ...) as link`; the urls are of Grapes' HTTP APIs."""

    def __init__(self, *grapes: str, rng: "Random | None" = None, timeout: float = TIMEOUT) -> None:
        if not grapes:
            raise UsageError("a Link needs the URL of a Grape, such as http://127.0.0.1:30001")
        self.grapes = [url.rstrip("/") for url in grapes]
        self.rng = rng or SystemRandom()
        self.timeout = timeout
        self._web: Web | None = None
        self._announced: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._cache: dict[str, tuple[float, list[str]]] = {}  # name -> good until, addresses
        self._asking: dict[str, asyncio.Task[list[str]]] = {}

    async def __aenter__(self) -> "Link":
        self._web = Web()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop announcing; what is announced fades from the DHT by itself."""
        tasks = [*self._announced.values(), *self._asking.values()]
        self._announced.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        web, self._web = self._web, None
        if web is not None:
            await web.aclose()

    async def announce(self, name: str, port: int) -> int:
        """Announce a service now and for as long as the Link lives; how many nodes stored it.

        RefusedError in the Grape's words, and then nothing is announced.
        """
        if not 0 <= port < 65536:
            raise UsageError(f"{port} is no port")
        if len(self._announced) >= ANNOUNCED_MAX:
            raise UsageError(f"a Link announces at most {ANNOUNCED_MAX} services")
        stored = await self._ask("announce", [check_name(name), port], grenache.read_announce)
        await self.withdraw(name, port)
        self._announced[name, port] = asyncio.create_task(self._announce_again(name, port))
        return stored

    async def withdraw(self, name: str, port: int) -> None:
        """Announce it no more."""
        task = self._announced.pop((name, port), None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def lookup(self, name: str, *, fresh: bool = False) -> list[str]:
        """The `host:port` of a service's instances, in random order; empty if there is none.

        `fresh` asks the Grape even if it was asked a moment ago.
        """
        until, addresses = self._cache.get(check_name(name), (0.0, []))
        if not fresh and asyncio.get_running_loop().time() < until:
            return list(addresses)
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._look_up(name))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        return list(await asyncio.shield(asking))

    async def put(self, value: str | dict[str, Any]) -> str:
        """Store a text, or a signed value as BEP 44 has it, in hex; its key."""
        data = {"v": value} if isinstance(value, str) else value
        if not isinstance(data.get("v"), str):
            raise UsageError("a Grape stores texts: other values come back as nonsense")
        return await self._ask("put", data, grenache.read_put)

    async def get(self, key: str, *, salt: str | None = None) -> dict[str, Any]:
        """The value under a key: `v`, and for signed ones `k`, `sig`, `seq`, `salt`.

        NotFoundError if no node has it.
        """
        data = key if salt is None else {"hash": key, "salt": salt}
        found = await self._ask("get", data, grenache.read_get)
        if found is None:
            raise NotFoundError(f"no value under {key}")
        return found

    async def _look_up(self, name: str) -> list[str]:
        addresses = await self._ask("lookup", name, grenache.read_lookup)
        self._cache.pop(name, None)
        if addresses:
            if len(self._cache) >= CACHE_MAX:
                del self._cache[next(iter(self._cache))]
            self._cache[name] = (asyncio.get_running_loop().time() + CACHE, addresses)
        return addresses

    async def _announce_again(self, name: str, port: int) -> None:
        while True:
            await asyncio.sleep(AGAIN + JITTER * self.rng.random())
            try:
                await self._ask("announce", [name, port], grenache.read_announce)
            except (UnreachableError, RefusedError):
                continue  # the Grape may be back in time for the next one

    async def _ask(self, kind: str, data: Any, read: Callable[[int, bytes], Answer]) -> Answer:
        """One question to the first Grape that answers; it becomes the first."""
        rid = f"{self.rng.getrandbits(128):032x}"
        body = grenache.encode_question(rid, data)
        reasons: dict[str, str] = {}
        for grape in list(self.grapes):
            try:
                status, answer = await self._ask_one(f"{grape}/{kind}", body)
            except TimeoutError:
                reasons[grape] = f"no answer within {self.timeout:g} s"
            except (UnreachableError, ClosedError) as error:
                reasons[grape] = str(error)
            else:
                if grape != self.grapes[0]:
                    self.grapes.remove(grape)
                    self.grapes.insert(0, grape)
                return read(status, answer)
        raise UnreachableError("no Grape answered", reasons)

    async def _ask_one(self, url: str, body: bytes) -> tuple[int, bytes]:
        web = self._web
        if web is None:
            raise UsageError("the Link is not open: use `async with`")
        async with asyncio.timeout(self.timeout):  # for one Grape's answer
            try:
                return await web.post(url, body, limit=ANSWER_MAX)
            except ClosedError:  # a Grape may close a connection that was idle as we use it
                return await web.post(url, body, limit=ANSWER_MAX)


def check_name(name: str) -> str:
    if not name or len(name.encode()) > grenache.NAME_MAX:
        raise UsageError(f"a service's name has 1 to {grenache.NAME_MAX} bytes")
    return name
