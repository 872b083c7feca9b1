"""A download that is killed again and again.

    python -m tests.swarm.victim TORRENT FOLDER HOST:PORT

Each line on stdin begins a new life, as a process that was forked from one which
has loaded everything already.  A life tells its port, and each piece as soon as
it is reported as proven.
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from shoal.disk import Disk
from shoal.swarm import keeper
from shoal.swarm.progress import Wish
from shoal.swarm.service import Swarm
from shoal.swarm.torrent import Torrent

LOCAL = "127.0.0.1"
OFTEN = 0.002  # seconds between looks


def say(*words: object) -> None:
    """A line, whole or not at all."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def live(life: int, torrent: Torrent, folder: str, peer: tuple[str, int]) -> None:
    async with Swarm(Disk(), random.SystemRandom()) as swarm:
        port = await swarm.listen(LOCAL)
        got = await swarm.download(torrent, folder, Wish(seed=True), peers=[peer])
        told: set[int] = set()
        while True:
            if got.exchange is not None:
                fresh = [piece for piece in got.exchange.have if piece not in told]
                if fresh or not told:
                    say(f"life {life} port {port} have", *fresh)
                told.update(fresh)
            if got.done.is_set():
                say("complete")
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(OFTEN)


def main(path: str, folder: str, peer: str) -> None:
    keeper.SAVE_INTERVAL = 0.02  # so that many die while they write a note
    torrent = Torrent.decode(Path(path).read_bytes())
    host, _, port = peer.rpartition(":")
    for life, _ in enumerate(sys.stdin):
        child = os.fork()
        if not child:
            asyncio.run(live(life, torrent, folder, (host, int(port))))
        say(f"process {life} is {child}.")
        os.waitpid(child, 0)
        say(f"life {life} ended")


if __name__ == "__main__":
    main(*sys.argv[1:])
