"""A Grape that runs: lookup, announce, put and get over its UDP socket.

It keeps what it is asked to announce and put by itself as well, so that a
single Grape stores and answers.  Lookups of one name at one time share one
walk; the answer holds what that walk and our own store know, and if both know
nothing what was known a moment ago, for datagrams get lost.

Who asks hands in a function that is told the result: thousands are asked a
second, and a task for each would cost more than its walk.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from shoal.dht.grape.core import Grape, Storing
from shoal.dht.grape.deadlines import Deadlines
from shoal.dht.krpc import Address, Refusal, unpack_address
from shoal.dht.mainline.items import Item, to_fields
from shoal.dht.mainline.service import resolve
from shoal.dht.pump import Pump
from shoal.dht.questions import Answer, Verb, Walk
from shoal.errors import LimitError
from shoal.net.transport.udp import Kind, UdpSocket

LOOKUP_MAX = 2.0  # seconds for a walk; a Link waits 2.5
STORE_MAX = 1.5  # seconds for those who are to store something
WALKS_AT_ONCE = 200  # walks; further ones wait for their turn
WAITING_MAX = 4096  # walks that wait; further ones are refused
STORERS_FRESH = 60.0  # seconds that whoever took an announce is told of the next one without a walk
STORERS_MAX = 5000  # names
ANSWER_MAX = 100  # addresses of one service, in random order
REMEMBERED = 40.0  # seconds that a lookup's answer stands in for an empty one
REMEMBERED_MAX = 5000  # names
PROBE = ("192.0.2.1", 9)  # RFC 5737: nobody's address; nothing is sent there
CAS_AND_SEQUENCE = (301, 302)  # refusals that the asker has to know of


Told = Callable[[list[Address]], None]


@dataclass(slots=True)
class Storers:
    """Who took an announce, for as long as nobody else becomes known."""

    answers: list[Answer]
    until: float
    version: int  # of the table


@dataclass(slots=True, eq=False)
class Stores:
    """Several are asked to keep something."""

    tell: Callable[[int], None]  # how many took it
    left: int
    taken: int = 0
    ended: bool = False


@dataclass(slots=True)
class Found:
    """A value, who had it and the token that came with it."""

    item: Item
    node_id: bytes
    token: bytes | None = None  # None: it was our own store


class GrapeDht:
    """One Grape on one socket; `async with` closes it."""

    def __init__(self, core: Grape, pump: Pump, socket: UdpSocket) -> None:
        self.core = core
        self.pump = pump
        self.socket = socket
        loop = asyncio.get_running_loop()
        self._time = loop.time
        self._later = loop.call_soon
        self._walks: Deadlines[Walk] = Deadlines(LOOKUP_MAX, self._end_walk, loop)
        self._stores: Deadlines[Stores] = Deadlines(STORE_MAX, self._end_stores, loop)
        self._waiting: deque[Callable[[], None]] = deque()  # walks to be started
        self._looking: dict[bytes, list[tuple[str, Told]]] = {}  # name -> who asks for it
        self._storers: dict[bytes, Storers] = {}
        self._remembered: dict[bytes, tuple[float, list[Address]]] = {}
        self._outward = ""  # our address on the network, where the socket has all of them

    @classmethod
    async def open(
        cls,
        core: Grape,
        *,
        host: str = "0.0.0.0",
        port: int = 0,
        bootstrap: Sequence[str] = (),
        allows: Callable[[str], bool] = lambda host: True,
    ) -> Self:
        """Port 0 takes a free one; `bootstrap` are HOST:PORT texts."""
        socket = await UdpSocket.open(host, port)
        loop = asyncio.get_running_loop()

        def send(data: bytes, address: Address) -> None:
            if allows(address[0]):
                socket.send(data, address)

        pump = Pump(core, send, loop, socket.address)
        grape = cls(core, pump, socket)
        socket.handle(Kind.KRPC, pump.receive)
        grape._outward = await outward() if host == "0.0.0.0" else host
        core.replies.own_host = grape.own_host
        core.join(loop.time(), [each for each in await resolve(bootstrap) if ":" not in each[0]])
        pump.poke()
        return grape

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Whoever still waits is told what is known."""
        while self._waiting or len(self._walks) or len(self._stores):
            self._walks.close()
            self._stores.close()
            for _ in range(min(len(self._waiting), WALKS_AT_ONCE)):
                self._waiting.popleft()()
        self.pump.close()
        await self.socket.aclose()

    @property
    def port(self) -> int:
        return self.socket.address[1]

    def own_host(self, asker: str) -> str:
        """Where the asker can reach our host."""
        return asker if asker.startswith("127.") and self._bound_to_all else self._outward

    @property
    def _bound_to_all(self) -> bool:
        return self.socket.address[0] == "0.0.0.0"

    # Services

    async def lookup(self, name: bytes, asker: str = "127.0.0.1") -> list[Address]:
        """Where a service is, in random order."""
        future: asyncio.Future[list[Address]] = asyncio.get_running_loop().create_future()
        self.find(name, asker, lambda found: None if future.done() else future.set_result(found))
        return await future

    def find(self, name: bytes, asker: str, tell: Told) -> None:
        """Where a service is, in random order."""
        asking = self._looking.get(name)
        if asking is not None:
            asking.append((asker, tell))
            return
        self._looking[name] = [(asker, tell)]
        try:
            self._walk(Verb.GET_PROVIDERS, name, lambda walk: self._found(name, walk))
        except LimitError:
            del self._looking[name]
            raise

    def _found(self, name: bytes, walk: Walk) -> None:
        now = self._time()
        found = {each: None for answer in walk.answers.values() for each in answer.values}
        for asker, tell in self._looking.pop(name, ()):
            own = self.core.replies.peers_of(name, asker, now)
            addresses = list(found | dict.fromkeys(map(unpack_address, own)) if own else found)
            if len(addresses) > 1:
                self.core.rng.shuffle(addresses)
            tell(self._remember(name, addresses[:ANSWER_MAX], now))

    def _remember(self, name: bytes, addresses: list[Address], now: float) -> list[Address]:
        if addresses:
            self._remembered.pop(name, None)
            self._remembered[name] = (now + REMEMBERED, addresses)
            if len(self._remembered) > REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            return addresses
        until, former = self._remembered.get(name, (0.0, addresses))
        return former if now < until else addresses

    def announce(self, name: bytes, port: int, tell: Callable[[int], None]) -> None:
        """Keep it ourselves, and tell others; how many have it, other than us if there are others.

        0 if nobody, not even we, can keep it.
        """
        now = self._time()
        replies = self.core.replies
        port = port or self.port
        kept = replies.own.put(name, port, None, now, replies.peer_life, size=len(name))

        def walked(walk: Walk) -> None:
            self._tell_storers(name, port, storers(walk), lambda taken: tell(taken or int(kept)))

        def told(taken: int) -> None:
            if taken == len(known.answers):
                tell(taken)
            else:
                self._storers.pop(name, None)
                self._walk(Verb.GET_PROVIDERS, name, walked)

        known = self._storers.get(name, NOBODY)
        if now < known.until and known.version == self.core.engine.table.version:
            self._tell_storers(name, port, known.answers, told)
        else:
            self._storers.pop(name, None)
            self._walk(Verb.GET_PROVIDERS, name, walked)

    def _tell_storers(
        self, name: bytes, port: int, answers: list[Answer], tell: Callable[[int], None]
    ) -> None:
        storings = [
            (answer, Storing({b"port": port, b"token": answer.token})) for answer in answers
        ]

        def told(taken: int) -> None:
            if taken == len(answers) > 0 and name not in self._storers:
                until = self._time() + STORERS_FRESH
                self._storers[name] = Storers(answers, until, self.core.engine.table.version)
                if len(self._storers) > STORERS_MAX:
                    del self._storers[next(iter(self._storers))]
            tell(taken)

        self._store(Verb.ADD_PROVIDER, name, storings, told)

    # Values

    def put(self, item: Item, cas: int | None, tell: Callable[[Refusal | None], None]) -> None:
        """Store a value here and with others; None, or why not."""
        fault = self.core.replies.values.put(item, cas)
        if fault is not None:
            tell(Refusal(b"", *fault))
            return
        fields = to_fields(item)
        if item.salt:
            fields[b"salt"] = item.salt
        if cas is not None:
            fields[b"cas"] = cas

        def walked(walk: Walk) -> None:
            storings = [(each, Storing({**fields, b"token": each.token})) for each in storers(walk)]

            def stored(taken: int) -> None:
                refusals = [refusal for _, storing in storings for refusal in storing.refusals]
                told = [each for each in refusals if each.code in CAS_AND_SEQUENCE]
                tell(told[0] if told and not taken else None)

            self._store(Verb.PUT_VALUE, item.key, storings, stored)

        self._walk(Verb.GET_VALUE, item.key, walked, argument=item.salt)

    def get(self, key: bytes, salt: bytes, tell: Callable[[Found | None], None]) -> None:
        """Our own value, else that of others; of mutable ones the most recent."""
        item = self.core.replies.values.get(key)
        found = [Found(item, self.core.id)] if item is not None else []
        if item is not None and not item.public_key:
            tell(found[0])
            return

        def walked(walk: Walk) -> None:
            for answer in walk.answers.values():
                token = answer.token or None
                found.extend(Found(each, answer.contact.id, token) for each in answer.values)
            tell(max(found, key=lambda each: each.item.sequence, default=None))

        self._walk(Verb.GET_VALUE, key, walked, argument=salt or (item.salt if item else b""))

    # How

    def _walk(
        self, verb: Verb, key: bytes, ended: Callable[[Walk], None], *, argument: bytes = b""
    ) -> None:
        """Walk now, or when others have ended; LimitError if too many wait for that already."""
        if len(self._walks) < WALKS_AT_ONCE:
            self._start(verb, key, ended, argument)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append(lambda: self._start(verb, key, ended, argument))
        else:
            raise LimitError(f"{WAITING_MAX} lookups wait already")

    def _start(
        self, verb: Verb, key: bytes, ended: Callable[[Walk], None], argument: bytes
    ) -> None:
        def finished(walk: Walk, now: float) -> None:
            self._walks.done(walk)
            if self._waiting:
                self._later(self._go_on)
            ended(walk)

        now = self._time()
        walk = self.core.engine.walk(verb, key, now, argument=argument, finished=finished)
        if not walk.done:
            self._walks.begin(walk, now)
        self.pump.poke()

    def _go_on(self) -> None:
        if self._waiting and len(self._walks) < WALKS_AT_ONCE:
            self._waiting.popleft()()

    def _end_walk(self, walk: Walk) -> None:
        self.core.engine.cancel(walk)
        if walk.finished:
            walk.finished(walk, self._time())

    def _store(
        self,
        verb: Verb,
        key: bytes,
        storings: Sequence[tuple[Answer, Storing]],
        tell: Callable[[int], None],
    ) -> None:
        """Hand something to each."""
        if not storings:
            tell(0)
            return
        stores = Stores(tell, len(storings))

        def hear(answer: Answer | None) -> None:
            stores.taken += answer is not None
            stores.left -= 1
            if not stores.left:
                self._stores.done(stores)
                self._end_stores(stores)

        now = self._time()
        self._stores.begin(stores, now)
        for answer, storing in storings:
            try:
                self.core.engine.ask(
                    answer.contact, verb, now, key, argument=storing, listener=hear
                )
            except LimitError:
                hear(None)
        self.pump.poke()

    def _end_stores(self, stores: Stores) -> None:
        if not stores.ended:
            stores.ended = True
            stores.tell(stores.taken)


NOBODY = Storers([], 0.0, -1)


def storers(walk: Walk) -> list[Answer]:
    """Those closest to the key who gave a token."""
    answers = [walk.answers[contact.address] for contact in walk.closest]
    return [answer for answer in answers if answer.token]


async def outward() -> str:
    """The address that packets to others would leave from; loopback where there is no network."""
    loop = asyncio.get_running_loop()
    try:  # a connected datagram socket knows it without sending anything
        probe, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=PROBE)
    except OSError:
        return "127.0.0.1"
    host: str = probe.get_extra_info("sockname")[0]
    probe.close()
    return host
