"""Questions to the node that `shoal up` runs: status, peers, transfers, pause, limit.

They load nothing of the node: an answer should come at once.
"""

import json
import os
import signal
from argparse import ArgumentParser, Namespace
from typing import Any, NoReturn

from shoal.cli.output import Output
from shoal.cli.settings import pairs
from shoal.config import read_home
from shoal.errors import NotRunningError, UsageError
from shoal.quantity import format_rate, format_size, parse_rate
from shoal.web.client import Daemon

Record = dict[str, Any]
ONE = ("pause", "resume", "remove")  # verbs on one transfer


def configure(parser: ArgumentParser) -> None:
    name = parser.prog.split()[-1]
    if name in ONE:
        parser.add_argument("transfer", metavar="TRANSFER", help="its name or id")
    elif name == "transfers":
        parser.add_argument("--follow", action="store_true", help="again and again")
    elif name == "limit":
        parser.add_argument(
            "transfer", metavar="TRANSFER", nargs="?", default="", help="else the whole node"
        )
        parser.add_argument("--down", type=rate, metavar="RATE", help="such as 5M; 0: no limit")
        parser.add_argument("--up", type=rate, metavar="RATE", help="such as 1M; 0: no limit")


def rate(text: str) -> int:
    return parse_rate(text)


def run(args: Namespace, output: Output) -> int:
    stop_on_term()
    verb = args.command
    names = {"transfers": ["follow"], "limit": ["transfer", "down", "up"]}
    taken = names.get(verb, ["transfer"] if verb in ONE else [])
    arguments = json.dumps({name: getattr(args, name) for name in taken}).encode()
    for answer in needed(args).run(verb, arguments):
        SHOW[verb](answer, output)
    return 0


def needed(args: Namespace) -> Daemon:
    home = home_of(args)
    daemon = Daemon.find(home)
    if daemon is None:
        raise NotRunningError(home)
    return daemon


def found(args: Namespace) -> Daemon | None:
    """The daemon that would do the same as a node of this command's own."""
    if args.set or args.config:
        return None  # settings of its own want a node of its own
    daemon = Daemon.find(home_of(args))
    profile = args.profile or os.environ.get("SHOAL_PROFILE") or ""
    if daemon is not None and profile and daemon.profile != profile:
        raise UsageError(
            f"the node of this home (process {daemon.pid}) runs with profile {daemon.profile}, "
            f"this command with {profile}: use the same, or another --home"
        )
    return daemon


def home_of(args: Namespace) -> str:
    home = pairs(args.set).get("home") or args.home or read_home()
    return os.path.abspath(os.path.expanduser(home))


def stop_on_term() -> None:
    """SIGTERM means what SIGINT does, as for the commands that await."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


# What is shown


def show_status(answer: Record, output: Output) -> None:
    dht = ", ".join(f"{each['name']} {each['nodes']} nodes" for each in answer["dht"])
    limits = [
        f"{way} at most {format_rate(answer[f'{way}_limit'])}"
        for way in ("down", "up")
        if answer[f"{way}_limit"]
    ]
    rates = f"{format_rate(answer['down'])} down, {format_rate(answer['up'])} up"
    lines = [
        f"node {answer['id']}",
        f"  process {answer['pid']}, up for {answer['uptime']:.0f} s, profile {answer['profile']}",
        *(f"  {address}" for address in answer["addresses"]),
        f"  connections: {answer['connections']}",
        f"  DHT: {dht or 'not open'}",
        f"  transfers: {answer['running']} of {answer['transfers']} run, {rates}",
        *(f"  limit: {each}" for each in limits),
    ]
    output.show(answer, "\n".join(lines))


def show_peers(answer: Record, output: Output) -> None:
    columns = ["peer", "address", "direction", "protocol", "seconds", "received", "sent"]
    output.table("peers", answer["peers"], columns)


def show_transfers(answer: Record, output: Output) -> None:
    columns = ["id", "name", "state", "done", "total", "down", "up", "peers", "problem"]
    rows = answer["transfers"]
    if not output.json:
        rows = [{**row, "id": row["id"][:8], **in_words(row)} for row in rows]
    output.table("transfers", rows, columns)


def in_words(row: Record) -> Record:
    sizes = {name: format_size(row[name]) for name in ("done", "total")}
    return {**sizes, **{name: format_rate(row[name]) for name in ("down", "up")}}


def show_one(answer: Record, output: Output) -> None:
    output.show(answer, f"{answer['name'] or answer['id']}: {answer['state']}")


def show_limit(answer: Record, output: Output) -> None:
    bounds = ", ".join(
        f"{way} {format_rate(answer[way])}" if answer[way] else f"{way} unlimited"
        for way in ("down", "up")
    )
    output.show(answer, f"{answer['transfer'] or 'node'}: {bounds}")


SHOW = {
    "status": show_status,
    "peers": show_peers,
    "transfers": show_transfers,
    "limit": show_limit,
    **dict.fromkeys(ONE, show_one),
}
