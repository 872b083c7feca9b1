"""Carries a datagram node's bytes between a socket and the core, and wakes it.

The loop is handed in: nothing is awaited here, and the same pump runs under
asyncio, uvloop and the simulator.
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

from shoal.dht.kademlia import Kademlia
from shoal.dht.krpc import Address
from shoal.dht.questions import Verb


class Core(Protocol):
    """A node that speaks datagrams (mainline's, a Grape's)."""

    engine: Kademlia
    out: list[tuple[bytes, Address]]

    @property
    def deadline(self) -> float: ...
    def receive(self, data: bytes, address: Address, now: float) -> bool: ...
    def tick(self, now: float) -> None: ...
    def flush(self) -> None: ...


class Pump:
    """One core on one socket."""

    def __init__(
        self, core: Core, send: Callable[[bytes, Address], None], loop: Any, address: Address
    ) -> None:
        self.core = core
        self.address = address
        self._send = send
        self._loop = loop
        self._time: Callable[[], float] = loop.time
        self._timer: Any = None
        self._timer_at = float("inf")
        self._closed = False
        self.closed: Callable[[], None] | None = None  # is told when the pump stops
        self.poke()

    @property
    def engine(self) -> Kademlia:
        return self.core.engine

    def stored(self, verb: Verb, key: bytes) -> list[Any]:
        """What the node keeps of others; a Grape's service asks its own stores."""
        found: list[Any] = cast("Any", self.core).stored(verb, key, self._time())
        return found

    def receive(self, data: bytes, address: Address) -> None:
        core = self.core
        more = core.receive(data, address, self._time())
        if core.out:
            self._empty()
        if more:
            self._arm()

    def poke(self) -> None:
        """Somebody has asked the engine for something."""
        self.core.flush()
        self._empty()
        self._arm()

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self.closed:
            self.closed()

    def _empty(self) -> None:
        out = self.core.out
        for data, address in out:
            self._send(data, address)
        out.clear()

    def _arm(self) -> None:
        deadline = self.core.deadline
        if deadline < self._timer_at and not self._closed:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        self._timer_at = float("inf")
        self._timer = None
        self.core.tick(self._time())
        self._empty()
        self._arm()
