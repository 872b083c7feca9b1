"""Eight nodes on this machine: one shares a folder, seven find it and fetch it from each other.

All that is real about Shoal in half a minute: the nodes meet in a DHT of their
own, learn from it alone who has the folder, trade its pieces while each is
proven by its hash, and in the end all have the same files.  The folder is a
copy of the Python standard library's source.
"""

import asyncio
import os
import shutil
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from filecmp import cmp
from pathlib import Path

from shoal.config import Config
from shoal.errors import StorageError
from shoal.node import Node
from shoal.swarm.progress import Progress, Wish
from shoal.swarm.transfer import Transfer

NODES = 8
PATIENCE = 60.0  # seconds for everything: it takes about ten
LOOK = 0.1  # seconds between two looks
UPLOAD = 8 << 20  # bytes a second from the first giver, so that the others have to help
PACKAGES = ("asyncio", "email", "http", "json", "logging", "urllib")  # of the library, and no more


@dataclass(slots=True)
class Scene:
    """How far all of them are."""

    seconds: float
    files: int
    size: int  # bytes of the folder
    pupils: list[Progress]
    given: int  # bytes that the first giver has sent
    traded: int  # bytes that the others have sent each other
    done: bool = False
    equal: bool = False  # every file of everybody was compared
    magnet: str = ""
    dht_nodes: list[int] = field(default_factory=list)  # how many others each node knows


@asynccontextmanager
async def neighbourhood(count: int, folder: str) -> AsyncIterator[list[Node]]:
    """Nodes on loopback that know nobody but the first one's DHT address."""
    async with AsyncExitStack() as stack:
        nodes: list[Node] = []
        bootstrap: list[str] = []
        for number in range(count):
            home = os.path.join(folder, f"home{number}")
            config = Config(profile="local", home=home, bootstrap=bootstrap)
            node = await stack.enter_async_context(Node(config))
            host, port = (await node.dht.open()).address
            bootstrap = bootstrap or [f"{host}:{port}"]
            nodes.append(node)
        yield nodes


async def study(folder: str, count: int = NODES) -> AsyncIterator[Scene]:
    """The story as it happens; `folder` is for all files and is the caller's to remove.

    The last scene is `done`.  TimeoutError after PATIENCE seconds.
    """
    loop = asyncio.get_running_loop()
    source = os.path.join(folder, "library")
    files = await asyncio.to_thread(copy_library, source)
    began = loop.time()
    async with asyncio.timeout(PATIENCE), neighbourhood(count, folder) as (giver, *pupils):
        shared = await giver.share(source, up=UPLOAD)
        transfers = [
            await node.swarm.begin(
                shared.magnet, os.path.join(folder, f"pupil{number}"), Wish(seed=True)
            )
            for number, node in enumerate(pupils, 1)
        ]
        while True:
            scene = look(shared, transfers, files, loop.time() - began)
            scene.dht_nodes = [(await node.dht.open()).size for node in (giver, *pupils)]
            scene.done = all(transfer.done.is_set() for transfer in transfers)
            if scene.done:
                break
            yield scene
            await asyncio.sleep(LOOK)
        roots = [os.path.join(folder, f"pupil{n}", "library") for n in range(1, count)]
        scene.equal = await asyncio.to_thread(lambda: all(same(source, each) for each in roots))
        yield scene


def look(shared: Transfer, transfers: list[Transfer], files: int, seconds: float) -> Scene:
    pupils = [transfer.progress() for transfer in transfers]
    assert shared.torrent is not None
    return Scene(
        seconds=seconds,
        files=files,
        size=sum(file.length for file in shared.torrent.layout.files if not file.pad),
        pupils=pupils,
        given=shared.progress().sent,
        traded=sum(each.sent for each in pupils),
        magnet=shared.magnet,
    )


def copy_library(into: str) -> int:
    """The source of the standard library of this Python; how many files."""
    library = sysconfig.get_path("stdlib")
    shutil.copytree(library, into, ignore=leave_out)
    return sum(path.is_file() for path in Path(into).rglob("*"))


def leave_out(folder: str, names: list[str]) -> set[str]:
    """Modules, and some packages; nothing that was installed."""
    paths = {name: os.path.join(folder, name) for name in names}
    return {
        name
        for name, path in paths.items()
        if os.path.islink(path)
        or not (name in PACKAGES if os.path.isdir(path) else name.endswith(".py"))
    }


def same(one: str, other: str) -> bool:
    """Whether two folders have the same files with the same bytes."""
    names = files_of(one)
    if names != files_of(other):
        raise StorageError(f"{other} has other files than {one}")
    return all(cmp(os.path.join(one, name), os.path.join(other, name), False) for name in names)


def files_of(folder: str) -> list[str]:
    root = Path(folder)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
