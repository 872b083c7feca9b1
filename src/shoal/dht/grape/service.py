"""A Grape that runs: lookup, announce, put and get over its UDP socket.

It keeps what it is asked to announce and put by itself as well, so that a
single Grape stores and answers.  Lookups of one name at one time share one
walk; the answer holds what that walk and our own store know, and if both know
nothing what was known a moment ago, for datagrams get lost.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from shoal.dht.grape.core import Grape, Storing
from shoal.dht.krpc import Address, Refusal, unpack_address
from shoal.dht.mainline.items import Item, to_fields
from shoal.dht.mainline.service import resolve
from shoal.dht.pump import Pump
from shoal.dht.questions import Answer, Verb, Walk
from shoal.net.transport.udp import Kind, UdpSocket

LOOKUP_MAX = 2.0  # seconds for a walk; a Link waits 2.5
STORE_MAX = 1.5  # seconds for those who are to store something
WALKS_AT_ONCE = 200  # walks; further ones wait for their turn
ANSWER_MAX = 100  # addresses of one service, in random order
REMEMBERED = 40.0  # seconds that a lookup's answer stands in for an empty one
REMEMBERED_MAX = 5000  # names
PROBE = ("192.0.2.1", 9)  # RFC 5737: nobody's address; nothing is sent there
CAS_AND_SEQUENCE = (301, 302)  # refusals that the asker has to know of


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
        self._turns = asyncio.Semaphore(WALKS_AT_ONCE)
        self._looking: dict[bytes, asyncio.Task[list[Address]]] = {}
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
        for task in self._looking.values():
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)
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
        looking = self._looking.get(name)
        if looking is None:
            looking = asyncio.create_task(self._look_up(name, asker))
            self._looking[name] = looking
            looking.add_done_callback(lambda _: self._looking.pop(name, None))
        return list(await asyncio.shield(looking))

    async def _look_up(self, name: bytes, asker: str) -> list[Address]:
        found: dict[Address, None] = {}
        await self._walk(
            Verb.GET_PROVIDERS,
            name,
            listener=lambda answer: found.update(dict.fromkeys(answer.values)),
        )
        now = self._now()
        own = self.core.replies.peers_of(name, asker, now)
        found |= dict.fromkeys(unpack_address(packed) for packed in own)
        addresses = list(found)
        self.core.rng.shuffle(addresses)
        return self._remember(name, addresses[:ANSWER_MAX], now)

    def _remember(self, name: bytes, addresses: list[Address], now: float) -> list[Address]:
        if addresses:
            self._remembered.pop(name, None)
            self._remembered[name] = (now + REMEMBERED, addresses)
            if len(self._remembered) > REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            return addresses
        until, former = self._remembered.get(name, (0.0, addresses))
        return former if now < until else addresses

    async def announce(self, name: bytes, port: int) -> int:
        """Tell others, and keep it ourselves; how many have it, other than us if there are others.

        0 if nobody, not even we, can keep it.
        """
        replies = self.core.replies
        port = port or self.port
        kept = replies.own.put(name, port, None, self._now(), replies.peer_life, size=len(name))
        walk = await self._walk(Verb.GET_PROVIDERS, name)
        fields = {b"port": port, b"implied_port": 0}
        storings = [
            (answer, Storing({**fields, b"token": answer.token})) for answer in storers(walk)
        ]
        return await self._store(Verb.ADD_PROVIDER, name, storings) or int(kept)

    # Values

    async def put(self, item: Item, cas: int | None = None) -> Refusal | None:
        """Store a value here and with others; or why not."""
        fault = self.core.replies.values.put(item, cas)
        if fault is not None:
            return Refusal(b"", *fault)
        walk = await self._walk(Verb.GET_VALUE, item.key, argument=item.salt)
        fields = to_fields(item)
        if item.salt:
            fields[b"salt"] = item.salt
        if cas is not None:
            fields[b"cas"] = cas
        storings = [
            (answer, Storing({**fields, b"token": answer.token})) for answer in storers(walk)
        ]
        taken = await self._store(Verb.PUT_VALUE, item.key, storings)
        refusals = [refusal for _, storing in storings for refusal in storing.refusals]
        told = [each for each in refusals if each.code in CAS_AND_SEQUENCE]
        return told[0] if told and not taken else None

    async def get(self, key: bytes, salt: bytes = b"") -> Found | None:
        """Our own value, else that of others; of mutable ones the most recent."""
        item = self.core.replies.values.get(key)
        if item is not None and not item.public_key:
            return Found(item, self.core.id)
        found = [Found(item, self.core.id)] if item is not None else []

        def hear(answer: Answer) -> None:
            token = answer.token or None
            found.extend(Found(each, answer.contact.id, token) for each in answer.values)

        await self._walk(
            Verb.GET_VALUE, key, argument=salt or (item.salt if item else b""), listener=hear
        )
        return max(found, key=lambda each: each.item.sequence, default=None)

    # How

    async def _walk(
        self,
        verb: Verb,
        key: bytes,
        *,
        argument: bytes = b"",
        listener: Callable[[Answer], None] | None = None,
    ) -> Walk:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def finished(walk: Walk, now: float) -> None:
            if not ended.done():
                ended.set_result(None)

        async with self._turns:
            engine = self.core.engine
            walk = engine.walk(
                verb, key, loop.time(), argument=argument, listener=listener, finished=finished
            )
            self.pump.poke()
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOKUP_MAX):
                        await ended
            finally:
                engine.cancel(walk)
        return walk

    async def _store(
        self, verb: Verb, key: bytes, storings: Sequence[tuple[Answer, Storing]]
    ) -> int:
        """Hand something to each; how many took it."""
        if not storings:
            return 0
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        taken, left = 0, len(storings)

        def hear(answer: Answer | None) -> None:
            nonlocal taken, left
            taken += answer is not None
            left -= 1
            if not left and not ended.done():
                ended.set_result(None)

        for answer, storing in storings:
            self.core.engine.ask(
                answer.contact, verb, loop.time(), key, argument=storing, listener=hear
            )
        self.pump.poke()
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_MAX):
                await ended
        return taken

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


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
