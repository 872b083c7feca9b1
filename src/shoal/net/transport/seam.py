"""What a transport offers to the host, and what it is given.

There are two results.  A byte pipe is pumped into the protocol that `pipe`
makes, and the host upgrades it.  A transport that proves who the peer is and
has streams of its own gives a finished session instead: `dial` returns it, and
a listener hands it to the function that it was given.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from shoal.peer.id import PeerId
    from shoal.peer.multiaddr import Multiaddr

Pipe = Callable[[], asyncio.BufferedProtocol]


class Session(Protocol):
    """A connection that its transport has made.

    It carries streams as a muxer does, and `accept` and `ended` are given to it
    before anything else happens; `net.connection` names the rest that it can do.
    """

    peer: "PeerId"
    remote: "Multiaddr"
    accept: Callable[[Any], Any]  # for each stream that the peer opens
    ended: Callable[[Exception | None], None]  # to be called once, when it ends

    def close(self) -> None: ...

    def abort(self, error: Exception | None = None, /) -> None: ...

    async def wait_closed(self) -> None: ...


class Listening(Protocol):
    """Where connections are accepted."""

    addresses: list["Multiaddr"]  # as bound: with real ports, perhaps with a wildcard for the IP

    def close(self) -> None: ...


class Transport(Protocol):
    """One way for bytes to travel."""

    def speaks(self, address: "Multiaddr", /) -> bool: ...

    async def dial(self, address: "Multiaddr", pipe: Pipe, /) -> Session | None: ...

    async def listen(
        self, address: "Multiaddr", pipe: Pipe, session: Callable[[Session], Any], /
    ) -> Listening: ...

    async def aclose(self) -> None: ...
