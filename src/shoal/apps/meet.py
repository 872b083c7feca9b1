"""Finding the one sender, among those who offer a number, that knows the words.

Several people may have drawn one number, and an attacker may offer all of them.
Each is tried, a few at a time, and each has one guess at our words at most: the
connection's handshake says who it is, and whoever had other words is not asked
again.  After a first one with other words there is little time for the right
one, because the likeliest reason is a mistyped code.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from shoal.apps.code import Code
from shoal.apps.pake import Pake
from shoal.apps.parcel import PROTOCOL, WORD_MAX, Hello, Proof, Wait
from shoal.apps.talk import expect, say
from shoal.errors import ClosedError, NotFoundError, RefusedError, ShoalError, UnreachableError
from shoal.net.stream import Stream
from shoal.net.tasks import Tasks
from shoal.node import Node
from shoal.peer.id import PeerId
from shoal.peer.multiaddr import Multiaddr

AT_ONCE = 4  # possible senders that are tried at a time
KNOWN_MAX = 256  # addresses in one search: a number is shared by few
WRONG_MAX = 10  # with other words, and the search ends: somebody is guessing
PROVING = 20.0  # seconds to connect, and again to prove
AGAIN = 3.0  # seconds before an address that did not answer is tried again
WAIT_LEAST, WAIT_MOST = 0.25, 30.0  # seconds that a sender can make us wait, meanwhile for others
GRACE = 3.0  # seconds left for others when one sender had other words

Seek = Callable[[], AsyncGenerator[Multiaddr, None]]


@dataclass(frozen=True, slots=True)
class Met:
    """A stream to a sender that has proved the words, and where it is."""

    stream: Stream
    address: Multiaddr


class Meeting:
    """One search."""

    def __init__(self, node: Node, code: Code) -> None:
        self._node = node
        self._code = code
        self._reasons: dict[str, str] = {}  # address -> what came of it
        self._again: dict[str, float] = {}  # address -> not before
        self._peers: set[PeerId] = set()  # under way, or with other words
        self._wrong = 0
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tasks = Tasks()
        self._found: asyncio.Future[Met] = asyncio.get_running_loop().create_future()

    async def find(self, seek: Seek, patience: float) -> Met:
        """The right one; else an error that says what came of each."""
        try:
            async with asyncio.timeout(patience):
                _ = self._tasks.start(self._look(seek), "look")
                return await self._found
        except TimeoutError:
            raise self._failure() from None
        finally:
            await self._tasks.aclose()

    async def _look(self, seek: Seek) -> None:
        clock = asyncio.get_running_loop().time
        trying = []
        try:
            async for address in seek():
                name = str(address)
                known = name in self._again
                if self._again.get(name, 0) <= clock() and (known or len(self._again) < KNOWN_MAX):
                    self._again[name] = float("inf")
                    trying.append(self._tasks.start(self._try(address), name))
            await asyncio.gather(*trying)
        except ShoalError as error:
            self._give_up(error)
        self._give_up()

    async def _try(self, address: Multiaddr) -> None:
        """Who makes us wait holds none of the few places meanwhile."""
        while True:
            async with self._gate:
                wait = await self._attempt(address)
            if not wait:
                return
            await asyncio.sleep(wait)

    async def _attempt(self, address: Multiaddr) -> float:
        """0 when it is over; else seconds after which to try again."""
        name = str(address)
        try:
            met = await self._meet(address)
        except RefusedError as error:
            self._reasons[name] = str(error)
            self._refused()
        except (ShoalError, TimeoutError) as error:
            reasons = getattr(error, "reasons", {})
            said = str(error) or f"no answer within {PROVING:g} s"
            self._reasons[name] = reasons.get(name, said)
            self._again[name] = asyncio.get_running_loop().time() + AGAIN
        else:
            if isinstance(met, float):
                self._reasons[name] = "it makes us wait"
                return met
            if self._found.done():
                met.reset()
            else:
                self._found.set_result(Met(met, address))
        return 0.0

    def _refused(self) -> None:
        self._wrong += 1
        if self._wrong >= WRONG_MAX:
            self._give_up()
        elif self._wrong == 1:
            asyncio.get_running_loop().call_later(GRACE, self._give_up)

    def _give_up(self, error: ShoalError | None = None) -> None:
        if not self._found.done():
            self._found.set_exception(error or self._failure())

    def _failure(self) -> ShoalError:
        number = f"{self._code.number:04}"
        if self._wrong:
            count = "a sender" if self._wrong == 1 else f"{self._wrong} senders"
            error: ShoalError = RefusedError(f"{count} under {number}, but with other words")
            error.advice = "check the words of the code with whoever sends"
            for address, reason in self._reasons.items():
                error.add_note(f"{address}: {reason}")
        elif self._reasons:
            error = UnreachableError(f"no sender under {number} can be reached", self._reasons)
        else:
            error = NotFoundError(f"nobody sends under {number}")
            error.advice = "check that the sender still runs, or name its address with --peer"
        return error

    # One of them

    async def _meet(self, address: Multiaddr) -> Stream | float:
        """A stream to who knows the words, or how long it makes us wait."""
        async with asyncio.timeout(PROVING):
            connection = await self._node.dial(address)
        peer = connection.peer
        if peer in self._peers:
            raise ClosedError("it is one that was tried already")
        self._peers.add(peer)
        right = False
        try:
            async with asyncio.timeout(PROVING):
                stream = await connection.open([PROTOCOL])
                wait = await self._prove(stream)
            if wait:
                self._peers.discard(peer)
                return wait
            right = True
            return stream
        except RefusedError:
            raise
        except BaseException:
            self._peers.discard(peer)
            raise
        finally:
            if not right:
                connection.close()

    async def _prove(self, stream: Stream) -> float:
        """0 when both sides know the words; else seconds after which to try again."""
        pake = Pake(
            self._code.password, PROTOCOL, self._node.id.bytes, stream.peer.bytes,
            is_sender=False, rng=self._node.rng,
        )  # fmt: skip
        await say(stream, Hello(pake.share))
        answer = await expect(stream, Hello | Wait, WORD_MAX)
        if isinstance(answer, Wait):
            return min(WAIT_MOST, max(WAIT_LEAST, answer.seconds))  # in this order NaN is the least
        pake.receive(answer.share)
        await say(stream, Proof(pake.proof))
        answer = await expect(stream, Proof, WORD_MAX)
        if not pake.check(answer.proof):
            raise RefusedError("it does not know the words either")
        return 0.0
