"""Hole punching succeeds and fails as theory says, and mappings die of age."""

import asyncio
from itertools import combinations_with_replacement

import pytest
from tests.sim.test_network import PORT, Inbox, finish, inbox, world

from shoal.sim.nat import KINDS

FAIL = {
    frozenset({"port-restricted", "symmetric"}),
    frozenset({"symmetric"}),
}


@pytest.mark.parametrize(("one", "other"), list(combinations_with_replacement(KINDS, 2)))
def test_the_hole_punching_matrix(one: str, other: str) -> None:
    """Both learn their public address from a third, tell each other, and send at once."""
    loop = world()
    network = loop.network
    server = network.host("server")
    hosts = [network.host(nat=network.nat(kind)) for kind in (one, other)]

    async def main() -> bool:
        meeting = await inbox(server)
        boxes = [await inbox(host) for host in hosts]
        for box in boxes:
            box.transport.sendto(b"who am I?", (server.ip, PORT))
        await asyncio.sleep(1)
        # who came first is in the order of hosts: their routers have addresses of their own
        public = [
            next(seen for _, _, seen in meeting.got if seen[0] == host.nat.ip)  # type: ignore[union-attr]
            for host in hosts
        ]
        for _ in range(3):
            boxes[0].transport.sendto(b"punch", public[1])
            boxes[1].transport.sendto(b"punch", public[0])
            await asyncio.sleep(0.2)
            for box in boxes:  # answer to where it really came from, as ICE does
                for _, _, seen in list(box.got):
                    box.transport.sendto(b"answer", seen)
        await asyncio.sleep(1)
        return all(any(data == b"answer" for _, data, _ in box.got) for box in boxes)

    assert finish(loop, main()) is (frozenset({one, other}) not in FAIL)


def talk(kind: str, pause: float, **options: float) -> tuple[Inbox, Inbox]:
    """A host behind a NAT writes to a public one, which answers after a pause."""
    loop = world()
    network = loop.network
    server, host = network.host("server"), network.host(nat=network.nat(kind, **options))

    async def main() -> tuple[Inbox, Inbox]:
        there, here = await inbox(server), await inbox(host)
        here.transport.sendto(b"hello", (server.ip, PORT))
        await asyncio.sleep(pause)
        there.transport.sendto(b"answer", there.got[0][2])
        await asyncio.sleep(1)
        return here, there

    return finish(loop, main())


@pytest.mark.parametrize("kind", KINDS)
def test_answers_come_back_while_the_mapping_lives(kind: str) -> None:
    here, there = talk(kind, 20, udp_lifetime=30)
    assert [data for _, data, _ in here.got] == [b"answer"]
    assert there.got[0][2][0] != "192.168.0.2"
    here, _ = talk(kind, 40, udp_lifetime=30)
    assert here.got == []


def test_a_forwarded_port_lets_everybody_in() -> None:
    loop = world()
    network = loop.network
    nat = network.nat("symmetric")
    host, stranger = network.host(nat=nat), network.host("stranger")
    nat.forward("udp", 7000, host, PORT)

    async def main() -> list[bytes]:
        here, there = await inbox(host), await inbox(stranger)
        there.transport.sendto(b"knock", (nat.ip, 7000))
        await asyncio.sleep(1)
        return [data for _, data, _ in here.got]

    assert finish(loop, main()) == [b"knock"]


def test_neighbours_behind_one_router_reach_each_other_directly() -> None:
    loop = world()
    nat = loop.network.nat()
    one, other = loop.network.host(nat=nat), loop.network.host(nat=nat)

    async def main() -> list[tuple[str, int]]:
        here, there = await inbox(one), await inbox(other)
        here.transport.sendto(b"hi", (other.ip, PORT))
        await asyncio.sleep(1)
        return [seen for _, _, seen in there.got]

    assert finish(loop, main()) == [(one.ip, PORT)]


def test_streams_go_out_through_a_nat_and_in_through_a_forwarded_port() -> None:
    loop = world()
    network = loop.network
    nat = network.nat()
    host, server = network.host("host", nat=nat), network.host("server")
    nat.forward("tcp", 8000, host, 80)

    async def serve() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(writer.get_extra_info("peername")[0].encode())
            writer.close()

        await asyncio.start_server(greet, "0.0.0.0", 80)

    async def ask(ip: str, port: int) -> str:
        reader, writer = await asyncio.open_connection(ip, port)
        answer = await reader.read()
        writer.close()
        return answer.decode()

    async def main() -> list[str]:
        await server.run(serve())
        await host.run(serve())
        return [await host.run(ask(server.ip, 80)), await server.run(ask(nat.ip, 8000))]

    assert finish(loop, main()) == [nat.ip, server.ip]


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="a NAT is one of"):
        world().network.nat("magic")
