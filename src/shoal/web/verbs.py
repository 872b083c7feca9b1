"""What can be asked of a node: one table, whoever asks.

A verb has a name, the struct of its arguments and an async generator of the
events that it gives.  The command runs it in a node of its own or sends it to
the daemon; the HTTP API serves the same table, and --json prints its events.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

from shoal.web import verbs_node as node, verbs_swarm as swarm


class Verb(NamedTuple):
    """One row of the table."""

    takes: type[Any]  # its docstring says what the verb does
    gives: tuple[type[Any], ...]
    run: Callable[..., AsyncGenerator[Any, None]]  # (node, arguments)
    looks: bool = False  # and changes nothing: may be asked by GET


VERBS: dict[str, Verb] = {
    "get": Verb(swarm.Get, (swarm.Moving, swarm.Complete), swarm.get),
    "limit": Verb(node.LimitOf, (node.Limited,), node.limit),
    "pause": Verb(swarm.Pause, (swarm.Row,), swarm.pause),
    "peers": Verb(node.PeersOf, (node.Peers,), node.peers, looks=True),
    "remove": Verb(swarm.Remove, (swarm.Row,), swarm.remove),
    "resume": Verb(swarm.Resume, (swarm.Row,), swarm.resume),
    "share": Verb(swarm.Share, (swarm.Hashing, swarm.Shared), swarm.share),
    "status": Verb(node.StatusOf, (node.Status,), node.status, looks=True),
    "transfers": Verb(swarm.TransfersOf, (swarm.Transfers,), swarm.transfers, looks=True),
}
