"""shoal tracker: run a BitTorrent tracker, over HTTP and UDP on one port number."""

import asyncio
from argparse import ArgumentParser, Namespace
from os.path import join
from random import SystemRandom

from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.discovery.index import Index
from shoal.discovery.tracker import INTERVAL
from shoal.discovery.tracker_server import Tracker, TrackerServer
from shoal.disk import Disk
from shoal.errors import UsageError

FILE = "tracker-index"  # in the home folder


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=6969, help="TCP and UDP; 0 takes a free one")
    parser.add_argument(
        "--host", help="address to listen on (all of them; profile local: loopback)"
    )
    parser.add_argument(
        "--interval", type=int, default=INTERVAL, metavar="SECONDS", help="between two announces"
    )


async def run(args: Namespace, output: Output) -> int:
    config = load(args)
    host = args.host or ("127.0.0.1" if config.loopback_only else "0.0.0.0")
    if not config.allows(host):
        raise UsageError(f"profile local listens on loopback only, not on {host}")
    if not 0 <= args.port < 65536 or args.interval < 1:
        raise UsageError("a port is 0 to 65535 and an interval at least 1 second")
    disk = Disk()
    await disk.make_folder(config.home)
    lock = await disk.lock(join(config.home, f"{FILE}.lock"))
    tracker = Tracker(Index(life=2.2 * args.interval), SystemRandom(), interval=args.interval)
    path = join(config.home, FILE)
    async with TrackerServer(tracker, host=host, port=args.port, disk=disk, path=path) as server:
        shown = "127.0.0.1" if host == "0.0.0.0" else host
        urls = [f"{kind}://{shown}:{server.port}/announce" for kind in ("http", "udp")]
        output.ready({"port": server.port, "urls": urls}, f"tracker ready: {' and '.join(urls)}")
        await asyncio.get_running_loop().create_future()  # until a signal ends us
    lock.release()
    return 0
