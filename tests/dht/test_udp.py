"""One socket tells datagrams apart by their first bytes."""

import asyncio

import pytest

from shoal.errors import UnreachableError, UsageError
from shoal.net.transport.udp import Kind, UdpSocket, kind_of


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"d1:ad2:id20:", Kind.KRPC),
        (bytes.fromhex("410019dffced1b0400000000000000007cf80000"), Kind.UTP),
        (bytes.fromhex("0100aaaa") + bytes(16), Kind.UTP),
        (bytes.fromhex("0000000012345678") + bytes(8), Kind.TRACKER),
        (bytes.fromhex("0000000312345678") + b"no", Kind.TRACKER),
        (bytes.fromhex("000100002112a442") + bytes(12), Kind.STUN),
        (bytes.fromhex("010100002112a442") + bytes(12), Kind.STUN),
        (b"", None),
        (b"\x99", None),
        (b"\x00\x00\x00\x09", None),
        (b"\x51\x00", None),
    ],
)
def test_kinds(data: bytes, kind: Kind | None) -> None:
    assert kind_of(data) is kind


def test_each_kind_goes_to_its_handler() -> None:
    async def scenario() -> None:
        one, two = await UdpSocket.open("127.0.0.1"), await UdpSocket.open("127.0.0.1")
        heard: asyncio.Queue[tuple[str, bytes, tuple[str, int]]] = asyncio.Queue()
        two.handle(Kind.KRPC, lambda data, address: heard.put_nowait(("krpc", data, address)))
        two.handle(Kind.UTP, lambda data, address: heard.put_nowait(("utp", data, address)))
        one.send(b"d1:ye", two.address)
        one.send(b"\x99 nobody wants this", two.address)
        one.send(b"\x41utp", two.address)
        async with asyncio.timeout(5):
            assert await heard.get() == ("krpc", b"d1:ye", one.address)
            assert await heard.get() == ("utp", b"\x41utp", one.address)
        assert two.unclaimed == 1
        with pytest.raises(UsageError):
            two.handle(Kind.UTP, print)
        two.leave(Kind.UTP)
        two.leave(Kind.UTP)
        for socket in (one, two, one):
            await socket.aclose()
        one.send(b"into nowhere", ("127.0.0.1", 9))
        with pytest.raises(UsageError):
            _ = one.address

    asyncio.run(scenario())


def test_ipv6_addresses_have_two_parts() -> None:
    async def scenario() -> None:
        one, two = await UdpSocket.open("::1"), await UdpSocket.open("::1")
        heard: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        two.handle(Kind.KRPC, lambda data, address: heard.put_nowait(address))
        one.send(b"d", two.address)
        async with asyncio.timeout(5):
            assert await heard.get() == one.address
        await one.aclose()
        await two.aclose()

    asyncio.run(scenario())


def test_an_address_that_cannot_be_used_is_told() -> None:
    async def scenario() -> None:
        one = await UdpSocket.open("127.0.0.1")
        with pytest.raises(UnreachableError):
            await UdpSocket.open(*one.address)
        one.send(b"x", ("no address", 1))
        one.send(b"x" * 70_000, one.address)
        await one.aclose()

    asyncio.run(scenario())
