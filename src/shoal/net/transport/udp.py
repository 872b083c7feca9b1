"""One UDP socket for everything that speaks datagrams.

BitTorrent peers expect the DHT and uTP on one port, and a NAT keeps one
mapping for it: so the mainline DHT, uTP, UDP trackers and STUN share a socket
and are told apart by their first bytes.  (QUIC has a socket of its own.)

    d                     KRPC: a bencoded dictionary (BEP 5)
    type << 4 | 1         uTP, version 1, types 0 to 4 (BEP 29)
    00 00 00 00 to 03     the answer of a UDP tracker (BEP 15)
    00 or 01, and the     STUN (RFC 8489): bytes 4 to 7 are 21 12 a4 42, which
    magic cookie          neither uTP nor a tracker's answer has but by chance
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any

from shoal.errors import UnreachableError, UsageError

Address = tuple[str, int]  # host as text, port
Handler = Callable[[bytes, Address], None]

STUN_COOKIE = b"\x21\x12\xa4\x42"
TRACKER_ACTIONS = [bytes([0, 0, 0, action]) for action in range(4)]
UTP_FIRST = frozenset(kind << 4 | 1 for kind in range(5))
RECEIVE_BUFFER = 2**20  # bytes: bursts wait in the kernel while Python is busy
OPEN_TIMEOUT = 10.0  # seconds


class Kind(Enum):
    """What a datagram is."""

    KRPC = "KRPC"
    UTP = "uTP"
    TRACKER = "UDP tracker"
    STUN = "STUN"


def kind_of(data: bytes) -> Kind | None:
    """What the first bytes say."""
    if not data:
        return None
    first = data[0]
    if first == 0x64:  # d
        return Kind.KRPC
    if first <= 1 and data[4:8] == STUN_COOKIE:
        return Kind.STUN
    if first in UTP_FIRST:
        return Kind.UTP
    return Kind.TRACKER if data[:4] in TRACKER_ACTIONS else None


class UdpSocket(asyncio.DatagramProtocol):
    """A bound socket; each kind of datagram goes to its handler."""

    def __init__(self) -> None:
        self.unclaimed = 0  # datagrams that nobody handles
        self.refused = 0  # datagrams that could not be sent
        self._handlers: dict[Kind, Handler] = {}
        self._krpc: Handler | None = None  # the commonest, found without a search
        self._transport: Any = None
        self._closed: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, host: str = "0.0.0.0", port: int = 0) -> "UdpSocket":
        """Port 0: any free one. UnreachableError if the address cannot be used."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                _, protocol = await loop.create_datagram_endpoint(cls, local_addr=(host, port))
        except (OSError, TimeoutError) as error:
            reason = {f"{host}:{port}": str(error)}
            raise UnreachableError("no UDP socket can be opened there", reason) from error
        return protocol

    @property
    def address(self) -> Address:
        if self._transport is None:
            raise UsageError("this UDP socket is closed")
        host, port, *_ = self._transport.get_extra_info("sockname")
        return host, port

    def handle(self, kind: Kind, handler: Handler) -> None:
        """Give datagrams of this kind to the handler; one at a time has a kind."""
        if kind in self._handlers:
            raise UsageError(f"{kind.value} has a handler on this socket already")
        self._handlers[kind] = handler
        self._krpc = self._handlers.get(Kind.KRPC)

    def leave(self, kind: Kind) -> None:
        self._handlers.pop(kind, None)
        self._krpc = self._handlers.get(Kind.KRPC)

    def send(self, data: bytes, address: Address) -> None:
        """As with UDP itself, nobody says whether it arrives."""
        if self._transport is not None:
            try:
                self._transport.sendto(data, address)
            except (OSError, ValueError):
                self.refused += 1  # by the system, at once: no such address, or too long

    async def aclose(self) -> None:
        if self._transport is not None and self._closed is not None:
            self._transport.close()
            async with asyncio.timeout(OPEN_TIMEOUT):
                await asyncio.shield(self._closed)

    # What asyncio calls

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._closed = asyncio.get_running_loop().create_future()
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def datagram_received(self, data: bytes, address: Any) -> None:
        if len(address) > 2:
            address = address[:2]  # IPv6: flow and scope say nothing that the text does not
        if self._krpc is not None and data[:1] == b"d":
            self._krpc(data, address)
            return
        kind = kind_of(data)
        handler = self._handlers.get(kind) if kind else None
        if handler is None:
            self.unclaimed += 1
        else:
            handler(data, address)

    def error_received(self, error: Exception) -> None:
        """ICMP says that some address is not there; who waits for an answer finds out."""

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
