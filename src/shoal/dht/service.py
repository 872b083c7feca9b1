"""Find by key, on any of the networks.

    dht.closest(key)             the nodes that answer for a key
    dht.find_peer(id)            where one node is
    dht.providers(key)           who has it, as they become known
    dht.provide(key, what)       tell those nodes that we have it
    dht.records(key), dht.get    what is stored under a key
    dht.put(record)              store it there

What we provide and put is stored anew before it expires, and at once when our
address has changed.  The engine decides, `Words` say it in one network's
terms, a carrier brings questions to the others (a pump on a UDP socket, or
streams of the host).
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol, Self

from shoal.dht.crawl import Crawl
from shoal.dht.kademlia import Kademlia
from shoal.dht.questions import Answer, Step, Verb, Walk
from shoal.dht.store import Publication, Publications
from shoal.dht.table import Contact
from shoal.errors import LimitError, NotFoundError, ProtocolError, StorageError, UnreachableError

log = logging.getLogger(__name__)

LOOKUP_MAX = 60.0  # seconds after which a lookup has failed, whatever it waits for
STORE_MAX = 20.0  # seconds for those who answered to take what we store with them
KEEP_EVERY = 300.0  # seconds between two saves of the table
LOOK_EVERY = 5.0  # seconds between two looks at what is to be published anew
SAVED_VERSION = 1
PUBLISH_AT_ONCE = 8  # publications under way at a time

Watcher = Callable[[Step], None]


class Carrier(Protocol):
    """Brings an engine's questions to other nodes."""

    address: tuple[str, int]  # where others reach us

    @property
    def engine(self) -> Kademlia: ...
    def stored(self, verb: Verb, key: bytes, /) -> list[Any]: ...  # by ourselves
    def poke(self) -> None: ...
    def close(self) -> None: ...


class Words(Protocol):
    """What one network wants to be told."""

    name: str
    provide_walk: Verb  # the walk that finds whom to tell
    put_walk: Verb
    provide_every: float  # seconds
    put_every: float

    def providing(self, answer: Answer, what: Any) -> Any: ...
    def storing(self, answer: Answer, what: Any) -> Any: ...
    def better(self, one: Any, other: Any) -> bool: ...


class Saved(Protocol):
    """Where a node keeps things over a restart (`shoal.home`)."""

    async def load(self, name: str, version: int) -> Any: ...
    async def save(self, name: str, data: bytes, version: int) -> None: ...


class Record(Protocol):
    """Something to store under its key."""

    @property
    def key(self) -> bytes: ...


class Dht:
    """One network's DHT. `async with` keeps it alive; a carrier for each family of addresses."""

    def __init__(
        self,
        carriers: Sequence[Carrier],
        words: Words,
        *,
        lost: Callable[[Any], bytes | None] = lambda provider: None,
    ) -> None:
        self.carriers = list(carriers)
        self.words = words
        self._lost = lost  # the id of a provider of whom nobody has said where it is
        self.publications = Publications()
        self._keeper: asyncio.Task[None] | None = None
        self._saved: Saved | None = None
        self._dumps: list[tuple[str, Callable[[], bytes]]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await self.save()
        for carrier in self.carriers:
            carrier.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where the first carrier listens."""
        return self.carriers[0].address

    @property
    def size(self) -> int:
        """Nodes in the table."""
        return sum(len(carrier.engine.table) for carrier in self.carriers)

    def keep_in(self, saved: Saved, dumps: list[tuple[str, Callable[[], bytes]]]) -> None:
        """Save these (name, function that makes the bytes) from time to time."""
        self._saved, self._dumps = saved, dumps

    async def save(self) -> None:
        for name, dump in self._dumps if self._saved else []:
            try:
                await self._saved.save(name, dump(), SAVED_VERSION)  # type: ignore[union-attr]
            except StorageError as error:
                log.warning("the table of %s was not saved: %s", self.words.name, error)

    # Find

    async def closest(self, key: bytes, *, watcher: Watcher | None = None) -> list[Contact]:
        """The live nodes closest to a key. UnreachableError if nobody answers."""
        found: list[Contact] = []
        for _, walk in await self._walk_to_the_end(Verb.FIND_NODE, key, watcher=watcher):
            found += walk.closest
        return found

    async def find_peer(self, peer_id: bytes, *, watcher: Watcher | None = None) -> Contact:
        """The node with this id. NotFoundError if those closest to it do not know it."""
        async for answer in self._answers(Verb.FIND_NODE, peer_id, watcher=watcher):
            for contact in (answer.contact, *answer.closer):
                if contact.id == peer_id:
                    return contact
        raise NotFoundError(f"no node with id {peer_id.hex()} is known in {self.words.name}")

    async def providers(self, key: bytes, *, watcher: Watcher | None = None) -> AsyncIterator[Any]:
        """Who has it, each once, as they become known; leave the loop when you have enough."""
        seen: dict[Hashable, None] = {}
        async for values in self._values(Verb.GET_PROVIDERS, key, watcher=watcher):
            for provider in values:
                if provider not in seen:
                    seen[provider] = None
                    await self._follow(self._lost(provider))
                    yield provider

    async def _follow(self, peer_id: bytes | None) -> None:
        """Find out where somebody is; the dialect remembers it."""
        if peer_id is not None:
            with suppress(NotFoundError, UnreachableError, LimitError):
                await self.find_peer(peer_id)

    async def records(
        self, key: bytes, argument: Any = None, *, watcher: Watcher | None = None
    ) -> AsyncIterator[Any]:
        """What is stored under a key: the first, then each that is better than those before."""
        best: Any = None
        async for values in self._values(Verb.GET_VALUE, key, argument, watcher=watcher):
            for record in values:
                if best is None or self.words.better(record, best):
                    best = record
                    yield record

    async def get(self, key: bytes, argument: Any = None, *, watcher: Watcher | None = None) -> Any:
        """The best record under a key. NotFoundError if there is none."""
        best: Any = None
        async for record in self.records(key, argument, watcher=watcher):
            best = record
        if best is None:
            raise NotFoundError(f"nothing is stored under {key.hex()} in {self.words.name}")
        return best

    async def crawl(self, limit: int) -> AsyncIterator[Answer]:
        """Every node that can be met, from one to the next: its keys are counted (BEP 51)."""
        for carrier in self.carriers:
            heard: asyncio.Queue[Answer | None] = asyncio.Queue()
            walk = Crawl(carrier.engine, heard.put_nowait, limit)
            loop = asyncio.get_running_loop()
            while walk.next(loop.time()):
                carrier.poke()
                async with asyncio.timeout(LOOKUP_MAX):
                    answer = await heard.get()
                walk.heard(answer)
                if answer is not None:
                    yield answer

    # Publish

    async def provide(
        self, key: bytes, what: Any, *, keep: bool = True, watcher: Watcher | None = None
    ) -> int:
        """Tell the nodes closest to a key that we have it; how many took it."""
        if keep:
            now = asyncio.get_running_loop().time()
            self.publications.add(key, what, now, self.words.provide_every, name="provide")
        return await self._provide(key, what, watcher)

    async def put(
        self,
        record: Record,
        *,
        keep: bool = True,
        renew: Callable[[], Record] | None = None,
        watcher: Watcher | None = None,
    ) -> int:
        """Store a record with the nodes closest to its key; how many took it.

        `renew` makes the record that is stored next time, where one ends by its own terms.
        """
        if keep:
            now = asyncio.get_running_loop().time()
            again = renew or (lambda: record)
            self.publications.add(record.key, again, now, self.words.put_every, name="put")
        return await self._put(record.key, record, watcher)

    def withdraw(self, key: bytes) -> None:
        """Publish it no more; with the others it expires."""
        self.publications.remove(key, "provide")
        self.publications.remove(key, "put")

    def moved(self, host: str) -> None:
        """Our address has changed."""
        log.info("%s sees us at %s now", self.words.name, host)
        self.publications.hurry(asyncio.get_running_loop().time())

    async def _provide(self, key: bytes, what: Any, watcher: Watcher | None = None) -> int:
        walks = await self._walk_to_the_end(self.words.provide_walk, key, watcher=watcher)
        return await self._store(
            walks, Verb.ADD_PROVIDER, key, lambda answer: self.words.providing(answer, what)
        )

    async def _put(self, key: bytes, record: Any, watcher: Watcher | None = None) -> int:
        walks = await self._walk_to_the_end(self.words.put_walk, key, watcher=watcher)
        return await self._store(
            walks, Verb.PUT_VALUE, key, lambda answer: self.words.storing(answer, record)
        )

    async def _store(
        self,
        walks: list[tuple[Carrier, Walk]],
        verb: Verb,
        key: bytes,
        argument_for: Callable[[Answer], Any],
    ) -> int:
        """Hand something to each of the closest that a walk has found."""
        heard: asyncio.Queue[Answer | None] = asyncio.Queue()
        asked = 0
        loop = asyncio.get_running_loop()
        for carrier, walk in walks:
            for contact in walk.closest:
                argument = argument_for(walk.answers[contact.address])
                if argument is not None:
                    carrier.engine.ask(
                        contact,
                        verb,
                        loop.time(),
                        key,
                        argument=argument,
                        listener=heard.put_nowait,
                    )
                    asked += 1
            carrier.poke()
        taken = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_MAX):
                for _ in range(asked):
                    taken += await heard.get() is not None
        return taken

    # Walks

    async def _values(
        self, verb: Verb, key: bytes, argument: Any = None, *, watcher: Watcher | None = None
    ) -> AsyncIterator[list[Any]]:
        """What we keep ourselves, then the values of each answer; others need not exist."""
        own = [value for carrier in self.carriers for value in carrier.stored(verb, key)]
        if own:
            yield own
        try:
            async with aclosing(self._answers(verb, key, argument, watcher=watcher)) as answers:
                async for answer in answers:
                    yield answer.values
        except UnreachableError:
            if not own:
                raise

    async def _answers(
        self, verb: Verb, key: bytes, argument: Any = None, *, watcher: Watcher | None = None
    ) -> AsyncGenerator[Answer, None]:
        """Each answer of a walk as it comes; whoever stops listening stops the walk."""
        heard: asyncio.Queue[Answer | None] = asyncio.Queue()
        walks = self._start(verb, key, argument, heard, watcher)
        ends = asyncio.get_running_loop().time() + LOOKUP_MAX
        left, answered = len(walks), False
        try:
            while left:
                async with asyncio.timeout_at(ends):
                    answer = await heard.get()
                if answer is None:
                    left -= 1
                else:
                    answered = True
                    yield answer
            if not answered:
                raise self._unreachable(walks)
        except TimeoutError:
            log.info("a lookup in %s took too long", self.words.name)
        finally:
            for carrier, walk in walks:
                carrier.engine.cancel(walk)

    def _start(
        self,
        verb: Verb,
        key: bytes,
        argument: Any,
        heard: "asyncio.Queue[Answer | None]",
        watcher: Watcher | None,
    ) -> list[tuple[Carrier, Walk]]:
        now = asyncio.get_running_loop().time()
        walks = []
        for carrier in self.carriers:
            walk = carrier.engine.walk(
                verb,
                key,
                now,
                argument=argument,
                listener=heard.put_nowait,
                finished=lambda *_: heard.put_nowait(None),
                watcher=watcher,
            )
            walks.append((carrier, walk))
            carrier.poke()
        return walks

    async def _walk_to_the_end(
        self, verb: Verb, key: bytes, argument: Any = None, *, watcher: Watcher | None = None
    ) -> list[tuple[Carrier, Walk]]:
        heard: asyncio.Queue[Answer | None] = asyncio.Queue()
        walks = self._start(verb, key, argument, heard, watcher)
        left = len(walks)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOKUP_MAX):
                    while left:
                        left -= await heard.get() is None
        finally:
            for carrier, walk in walks:
                carrier.engine.cancel(walk)
        if not any(walk.closest for _, walk in walks):
            raise self._unreachable(walks)
        return walks

    def _unreachable(self, walks: list[tuple[Carrier, Walk]]) -> UnreachableError:
        asked = sum(walk.lookup.asked for _, walk in walks)
        what = f"asked {asked} nodes, none answered" if asked else "no node is known"
        return UnreachableError(f"{self.words.name}: {what}")

    # Keep

    async def _keep(self) -> None:
        """Publish anew what is due, and save the table."""
        loop = asyncio.get_running_loop()
        save_at = loop.time() + KEEP_EVERY
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._publish(loop.time())
            if loop.time() >= save_at:
                save_at = loop.time() + KEEP_EVERY
                await self.save()

    async def _publish(self, now: float) -> None:
        due = self.publications.due(now)
        for start in range(0, len(due), PUBLISH_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for publication in due[start : start + PUBLISH_AT_ONCE]:
                    group.create_task(self._attempt(publication))

    async def _attempt(self, publication: Publication) -> None:
        key, what = publication.key, publication.value
        try:
            if publication.name == "provide":
                await self._provide(key, what)
            else:
                await self._put(key, what())
        except (UnreachableError, LimitError, ProtocolError) as error:
            log.info("%s was not published anew: %s", key.hex(), error)
