"""Datagram endpoints: the same on the simulator, asyncio and uvloop."""

import asyncio
import os
import socket
import struct
from typing import Any

import pytest
from tests.sim.conftest import Run, leaky

GROUP = "239.192.7.7"


class Inbox(asyncio.DatagramProtocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[bytes, Any]] = asyncio.Queue()
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.got.put_nowait((data, address))

    def error_received(self, error: Exception) -> None:
        self.errors.put_nowait(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(error)


async def endpoint(**options: Any) -> Inbox:
    if not options:
        options = {"local_addr": ("127.0.0.1", 0)}
    loop = asyncio.get_running_loop()
    _, inbox = await loop.create_datagram_endpoint(Inbox, **options)
    return inbox


def address(inbox: Inbox) -> Any:
    return inbox.transport.get_extra_info("sockname")


def test_datagrams_come_whole_with_their_sender(run: Run) -> None:
    async def main() -> None:
        one, other = await endpoint(), await endpoint()
        for size in (1, 1400, 60_000):
            one.transport.sendto(bytes(size), address(other))
            assert await other.got.get() == (bytes(size), address(one))
        one.transport.close()
        other.transport.close()
        assert await one.lost is None
        assert one.transport.is_closing()

    run(main())


def test_connected_endpoints_hear_their_peer_alone(run: Run) -> None:
    async def main() -> None:
        server, stranger = await endpoint(), await endpoint()
        client = await endpoint(remote_addr=address(server))
        assert client.transport.get_extra_info("peername") == address(server)
        client.transport.sendto(b"hello")
        data, back = await server.got.get()
        assert (data, back) == (b"hello", address(client))
        stranger.transport.sendto(b"ignored", back)
        server.transport.sendto(b"answer", back)
        assert (await client.got.get())[0] == b"answer"
        for inbox in (server, stranger, client):
            inbox.transport.close()
        await client.lost

    run(main())


def test_nobody_there_is_an_error_for_connected_endpoints(run: Run) -> None:
    async def main() -> None:
        gone = await endpoint()
        there = address(gone)
        gone.transport.close()
        await gone.lost
        await asyncio.sleep(0.01)
        client = await endpoint(remote_addr=there)
        client.transport.sendto(b"anybody?")
        assert isinstance(await client.errors.get(), ConnectionRefusedError)
        client.transport.close()
        await client.lost

    run(main())


@leaky
def test_a_datagram_port_is_taken_once(run: Run) -> None:
    async def main() -> None:
        one = await endpoint()
        with pytest.raises(OSError):
            await endpoint(local_addr=address(one))
        one.transport.close()
        await one.lost
        again = await endpoint(local_addr=address(one))
        again.transport.close()
        await again.lost

    run(main())


def test_a_socket_can_be_handed_in(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        one, other = await endpoint(sock=sock), await endpoint()
        other.transport.sendto(b"hello", address(one))
        assert await one.got.get() == (b"hello", address(other))
        one.transport.close()
        other.transport.close()
        await one.lost

    run(main())


def test_dual_stack_sockets_see_mapped_addresses(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0, 0, 0))
        one, other = await endpoint(sock=sock), await endpoint()
        port = address(one)[1]
        other.transport.sendto(b"hello", ("127.0.0.1", port))
        data, seen = await one.got.get()
        assert data == b"hello"
        assert seen == ("::ffff:127.0.0.1", address(other)[1], 0, 0)
        one.transport.sendto(b"back", seen)
        assert (await other.got.get())[1] == ("127.0.0.1", port)
        one.transport.close()
        other.transport.close()
        await one.lost

    run(main())


def shared(port: int) -> socket.socket:
    """Bound to a port that others may use, too."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("0.0.0.0", port))
    return made


def test_sockets_handed_in_share_a_port_and_a_group(run: Run) -> None:
    async def main() -> None:
        port = 20_000 + os.getpid() % 10_000  # below those that the simulator draws anew
        members = [await endpoint(sock=shared(port)) for _ in range(2)]
        request = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        for member in members:
            sock = member.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request[4:])
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        members[0].transport.sendto(b"who is there?", (GROUP, port))
        for member in members:
            assert await member.got.get() == (b"who is there?", ("127.0.0.1", port))
            member.transport.close()
            await member.lost

    run(main())


def test_members_of_a_group_hear_multicast(run: Run) -> None:
    async def main() -> None:
        members = [await endpoint(local_addr=("0.0.0.0", 0), reuse_port=True)]
        port = address(members[0])[1]
        members.append(await endpoint(local_addr=("0.0.0.0", port), reuse_port=True))
        loopback = socket.inet_aton("127.0.0.1")
        for member in members:
            sock = member.transport.get_extra_info("socket")
            sock.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + loopback
            )
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, struct.pack("b", 1))
        members[0].transport.sendto(b"who is there?", (GROUP, port))
        for member in members:
            data, seen = await member.got.get()
            assert (data, seen[1]) == (b"who is there?", port)
            member.transport.close()
            await member.lost

    run(main())
