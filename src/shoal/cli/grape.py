"""shoal grape: a node of Grenache's DHT with its HTTP API.

Takes the flags of the original's `grape`, so that scripts go on as they are.
"""

import asyncio
from argparse import ArgumentParser, Namespace

from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.errors import UsageError
from shoal.rpc.grape_server import GrapeServer

NO_EFFECT = "taken for compatibility, without effect"


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--dp", type=int, default=20001, metavar="PORT", help="UDP port of the DHT; 0: any free")
    add("--aph", type=int, default=30001, metavar="PORT", help="TCP port of the API; 0: any free")
    add(
        "--bn", default="", metavar="HOST:PORT,...", help="Grapes to start from; none for the first"
    )
    add("-b", "--bind", metavar="HOST", help="address to listen on (all; profile local: loopback)")
    add(
        "--dht_peer_maxAge",
        "--dpa",
        type=int,
        default=120_000,
        metavar="MS",
        help="life of announces",
    )
    add("--dht_maxValues", type=int, default=5000, metavar="N", help="values kept")
    add("--check_maxPayloadSize", type=int, default=8192, metavar="BYTES", help="of a question")
    for name in (
        ("--dc",),
        ("--dht_maxTables",),
        ("--cache_maxAge",),
        ("--dht_nodeLiveness", "--dnl"),
    ):
        add(*name, type=int, metavar="N", help=NO_EFFECT)


async def run(args: Namespace, output: Output) -> int:
    """Run a Grape until a signal ends it."""
    config = load(args)
    host = args.bind or ("127.0.0.1" if config.loopback_only else "0.0.0.0")
    if not config.allows(host):
        raise UsageError(f"profile local listens on loopback only, not on {host}")
    for name in ("dp", "aph"):
        if not 0 <= getattr(args, name) < 65536:
            raise UsageError(f"--{name} is a port: 0 to 65535")
    if min(args.dht_peer_maxAge, args.dht_maxValues, args.check_maxPayloadSize) < 1:
        raise UsageError("lives and limits are 1 at least")
    grape = GrapeServer(
        host=host,
        dht_port=args.dp,
        api_port=args.aph,
        bootstrap=read_bootstrap(args.bn),
        peer_life=args.dht_peer_maxAge / 1000,
        values_max=args.dht_maxValues,
        payload_max=args.check_maxPayloadSize,
        allows=config.allows,
    )
    async with grape:
        shown = "127.0.0.1" if host == "0.0.0.0" else host
        url = f"http://{shown}:{grape.api_port}"
        record = {"dht_port": grape.dht_port, "api_port": grape.api_port, "url": url}
        output.ready(record, f"grape ready: {url}, DHT on UDP port {grape.dht_port}")
        await asyncio.get_running_loop().create_future()  # until a signal ends us
    return 0


def read_bootstrap(text: str) -> list[str]:
    """host:port,host:port"""
    found = [each.strip() for each in text.split(",") if each.strip()]
    for each in found:
        host, _, port = each.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port[:6]) < 65536:
            raise UsageError(f"--bn {each}: allowed is HOST:PORT,HOST:PORT")
    return found
