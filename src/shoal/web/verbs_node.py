"""Verbs on the node as a whole: status, peers, limit."""

import os
from collections.abc import AsyncGenerator

from msgspec import Struct

from shoal import __version__
from shoal.node import Node
from shoal.swarm.remote import Remote
from shoal.web.verbs_swarm import find_job, positive


class StatusOf(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who the node is, where it listens and what it does."""


class Network(Struct, kw_only=True):
    """A DHT that the node takes part in."""

    name: str
    nodes: int  # that it knows


class Status(Struct, kw_only=True):
    """The node at this moment; times in seconds, rates in bytes a second (null: no limit)."""

    id: str
    version: str
    pid: int
    home: str
    profile: str
    uptime: float
    addresses: list[str]
    connections: int
    port: int  # for peers of contents; 0: not open yet
    dht: list[Network]
    transfers: int
    running: int
    down: int
    up: int
    down_limit: float | None
    up_limit: float | None


class PeersOf(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who is connected."""


class Peer(Struct, kw_only=True):
    """One connection."""

    peer: str  # its id; peers of contents have none
    address: str
    direction: str
    protocol: str
    seconds: float
    received: int
    sent: int


class Peers(Struct, kw_only=True):
    """All connections."""

    peers: list[Peer]


class LimitOf(Struct, kw_only=True, forbid_unknown_fields=True):
    """Bound the rates of a transfer, or of the whole node until it ends; 0: no bound."""

    transfer: str = ""
    down: float | None = None  # bytes a second; null: as it is
    up: float | None = None


class Limited(Struct, kw_only=True):
    """The bounds that hold now, in bytes a second; null: none."""

    transfer: str
    down: float | None
    up: float | None


async def status(node: Node, given: StatusOf) -> AsyncGenerator[Status, None]:
    swarm = node.swarm.opened
    jobs = node.swarm.jobs.all.values()
    reports = [job.progress() for job in jobs]
    networks = node.dht.opened
    bounds = swarm.bounds if swarm else (None, None)
    yield Status(
        id=str(node.id), version=__version__, pid=os.getpid(), home=node.config.home,
        profile=node.config.profile, uptime=round(node.host.now - node.began, 3),
        addresses=[str(address) for address in node.addresses],
        connections=len(node.host.connections), port=swarm.port if swarm else 0,
        dht=[Network(name=name, nodes=dht.size) for name, dht in networks.items()],
        transfers=len(reports), running=sum(job.transfer is not None for job in jobs),
        down=round(sum(each.down for each in reports)),
        up=round(sum(each.up for each in reports)), down_limit=bounds[0], up_limit=bounds[1],
    )  # fmt: skip


async def peers(node: Node, given: PeersOf) -> AsyncGenerator[Peers, None]:
    now = node.host.now
    rows = [
        Peer(
            peer=str(one.peer), address=str(one.about.remote),
            direction="out" if one.about.initiator else "in",
            protocol=f"{one.about.security} {one.about.muxer}",
            seconds=round(max(0.0, now - one.about.opened), 3), **one.traffic,
        )
        for one in node.host.connections
    ]  # fmt: skip
    for job in node.swarm.jobs.all.values():
        exchange = job.transfer.exchange if job.transfer else None
        rows += [swarm_peer(one, now) for one in exchange.remotes.values()] if exchange else []
    yield Peers(peers=rows)


def swarm_peer(one: Remote, now: float) -> Peer:
    return Peer(
        peer="", address=one.address, direction="", protocol="bittorrent",
        seconds=round(max(0.0, now - one.since), 3), received=one.down.total, sent=one.up.total,
    )  # fmt: skip


async def limit(node: Node, given: LimitOf) -> AsyncGenerator[Limited, None]:
    positive("down", given.down)
    positive("up", given.up)
    if given.transfer:
        job = find_job(node, given.transfer)
        entry = job.entry
        down, up = chosen(given.down, entry.down), chosen(given.up, entry.up)
        await node.swarm.jobs.limit(job, down, up)
        yield Limited(transfer=entry.id, down=down, up=up)
        return
    swarm = await node.swarm.open()
    down, up = chosen(given.down, swarm.bounds[0]), chosen(given.up, swarm.bounds[1])
    swarm.limit(down, up)
    yield Limited(transfer="", down=down, up=up)


def chosen(given: float | None, before: float | None) -> float | None:
    return before if given is None else given or None
