"""Swarm: contents fetched from and given to many peers.

It listens on one port for all contents (the handshake says which one a peer
wants), dials the addresses that each transfer names, and keeps the number of
connections within its bounds.

    async with Swarm(disk, rng) as swarm:
        transfer = await swarm.download(Magnet.parse(link), "out")
        async for progress in transfer.watch(): ...
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, cast

from shoal.disk import Disk
from shoal.errors import ClosedError, LimitError, ShoalError, UsageError
from shoal.net.buffers import Buffers
from shoal.net.limits import Limits, Place
from shoal.net.wire import Wire, WireSettings
from shoal.swarm.bittorrent import PeerWire
from shoal.swarm.candidates import Address
from shoal.swarm.magnet import Magnet
from shoal.swarm.make import Progress as MakeProgress, Recipe, arrange, make_of, scan
from shoal.swarm.progress import Wish
from shoal.swarm.rate import Bucket
from shoal.swarm.session import Session
from shoal.swarm.settings import SwarmSettings
from shoal.swarm.torrent import Torrent
from shoal.swarm.transfer import Budgets, Source, Transfer

if TYPE_CHECKING:
    from random import Random

CONNECT_TIMEOUT = 15.0  # seconds for a TCP connection
HANDSHAKE_TIMEOUT = 10.0  # seconds for BitTorrent's handshake, as libtorrent has it
IDLE = 240.0  # seconds without a byte; others send keep-alives every two minutes
DIAL_BACK = 0.5  # seconds until a peer that left a seed too early is dialled
PEER_ID = b"-SH0100-"
_WIRE = WireSettings(idle=IDLE, closing=5.0, frame_max=2 << 20)

log = logging.getLogger(__name__)
SourceMaker = Callable[[Transfer], Source | None]  # asked for every new transfer


class PeerSocket(Wire):
    """A wire whose core learns the peer's address when the connection stands.

    It keeps its place among the node's connections until it ends.
    """

    admit: Callable[[str], Place | None] | None = None  # of one that came: asked when it stands
    place: Place | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        core = cast("PeerWire", self.core)
        if peer and not core.address:
            core.address = peer[0]
        if peer and self.admit is not None and not self.ended:
            try:
                self.place = self.admit(peer[0])
            except LimitError as error:
                self.abort(error)
        super().connection_made(transport)

    def ready(self) -> None:
        super().ready()
        if self.place is not None:
            self.place.proved()

    def _finish(self, error: Exception | None) -> None:
        if self.place is not None:
            self.place.leave()
        super()._finish(error)


class Swarm:
    """All transfers of a node."""

    def __init__(
        self,
        disk: Disk,
        rng: "Random",
        *,
        settings: SwarmSettings | None = None,
        limits: Limits | None = None,
        makers: Iterable[SourceMaker] = (),
        allows: Callable[[str], bool] = lambda host: True,
    ) -> None:
        self.disk = disk
        self.rng = rng
        self.settings = settings or SwarmSettings()
        self.makers = list(makers)
        self.transfers: list[Transfer] = []
        self.port = 0
        self._allows = allows
        self._peer_id = PEER_ID + rng.randbytes(12)
        self._by_hash: dict[bytes, Session] = {}
        self._wires: dict[PeerSocket, None] = {}
        self._accepted: dict[PeerSocket, None] = {}  # those who came, oldest first
        self._connecting: dict[asyncio.Task[None], None] = {}
        self._buffers = Buffers()
        self._limits = limits  # of the node, whose connections ours are too
        self._budgets = Budgets(
            Bucket(self.settings.down or None, 0.0), Bucket(self.settings.up or None, 0.0)
        )
        self._server: asyncio.Server | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[Transfer, asyncio.Task[None]] = {}
        self._closed = False

    async def __aenter__(self) -> "Swarm":
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.aclose()

    async def aclose(self) -> None:
        """Stop every transfer, save its notes and close its connections."""
        if self._closed:
            return
        self._closed = True
        if self._server is not None:
            self._server.close()
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for wire in list(self._wires):
            if not wire.closing:  # it belongs to no transfer: nobody has said goodbye
                wire.abort(ClosedError("the swarm was closed"))
        for task in list(self._connecting):
            task.cancel()
        if self._tasks is not None:
            await self._tasks.__aexit__(None, None, None)
        for wire in list(self._wires):
            wire.abort(ClosedError("the swarm was closed"))
        for wire in list(self._wires):
            await wire.wait_closed()

    async def listen(self, host: str | None = None, port: int | None = None) -> int:
        """Accept peers; the port."""
        loop = asyncio.get_running_loop()
        wanted = self.settings.port if port is None else port
        self._server = await loop.create_server(self._accept, host or "0.0.0.0", wanted)
        self.port = self._server.sockets[0].getsockname()[1]
        for transfer in self.transfers:
            transfer.session.port = self.port
        return self.port

    # Contents

    async def download(
        self, what: Torrent | Magnet, folder: str, wish: Wish | None = None,
        *, peers: Iterable[Address] = (), torrent: Torrent | None = None, proven: bool = False,
    ) -> Transfer:  # fmt: skip
        """Begin to fetch a content into a folder; it goes on where it stopped before.

        `torrent` is what a magnet's metadata is known to be; what is `proven` is not hashed.
        """
        torrent = what if isinstance(what, Torrent) else torrent
        wish = wish or Wish(memory=self.settings.piece_memory)
        named: tuple[Address, ...] = ()
        if isinstance(what, Torrent):
            trackers = what.trackers
        else:
            named, trackers = what.peers, tuple((tracker,) for tracker in what.trackers)
            wish.numbers = what.selected if wish.numbers is None else wish.numbers
        known = torrent or what
        session = self._session(known.hash_v1, known.hash_v2, torrent)
        transfer = Transfer(
            session, self.disk, folder, self.rng, self,
            wish=wish, budgets=self._budgets, name=what.name, trackers=trackers,
            proven=proven, allocates=self.settings.allocation == "full",
        )  # fmt: skip
        self._start(transfer)
        transfer.found(address for address in (*peers, *named) if self._allows(address[0]))
        return transfer

    async def share(
        self, path: str, recipe: Recipe | None = None, progress: MakeProgress | None = None,
        *, up: float | None = None,
    ) -> Transfer:  # fmt: skip
        """Make a torrent of a file or folder and serve it."""
        torrent, origins = await self.make(path, recipe or Recipe(), progress)
        return self.seed(torrent, "", origins, up=up)

    async def make(
        self, path: str, recipe: Recipe, progress: MakeProgress | None = None
    ) -> tuple[Torrent, list[str]]:
        """The torrent of a file or folder, and where each of its files lies."""
        name, sources = await scan(self.disk, path)
        torrent = await make_of(self.disk, name, sources, recipe, progress)
        _, origins = arrange(name, sources, torrent.layout.piece_length, recipe.version)
        return torrent, origins

    def seed(
        self, torrent: Torrent, folder: str, paths: Sequence[str], *, up: float | None = None
    ) -> Transfer:
        """Serve files that were proven a moment ago."""
        session = self._session(torrent.hash_v1, torrent.hash_v2, torrent)
        transfer = Transfer(
            session, self.disk, folder, self.rng, self,
            wish=Wish(seed=True, up=up), budgets=self._budgets, paths=paths,
            trackers=torrent.trackers, proven=True,
        )  # fmt: skip
        self._start(transfer)
        return transfer

    def _session(
        self, hash_v1: bytes | None, hash_v2: bytes | None, torrent: Torrent | None
    ) -> Session:
        session = Session(
            hash_v1, hash_v2, self._peer_id, self.rng, torrent=torrent, port=self.port
        )
        if any(each in self._by_hash for each in session.hashes):
            raise UsageError("this content is being transferred already")
        return session

    def _start(self, transfer: Transfer) -> None:
        if self._tasks is None or self._closed:
            raise UsageError("the swarm is not open")
        for each in transfer.session.hashes:
            self._by_hash[each] = transfer.session
        for maker in self.makers:
            source = maker(transfer)
            if source is not None:
                transfer.sources.append(source)
        self.transfers.append(transfer)
        task = self._tasks.create_task(self._run(transfer))
        self._running[transfer] = task

    async def _run(self, transfer: Transfer) -> None:
        try:
            await transfer.run()
        except* ShoalError as group:  # one content's trouble, not that of the others
            transfer.failure = first_of(group)
        except* Exception:  # a mistake of ours is not that of the others, either
            log.exception("%s failed", transfer.name or transfer.id)
            transfer.failure = ShoalError("a mistake in Shoal: its log says more")
        finally:
            self._running.pop(transfer, None)
            self.transfers.remove(transfer)
            transfer.ended.set()
            for each in [h for h, s in self._by_hash.items() if s is transfer.session]:
                del self._by_hash[each]

    def limit(self, down: float | None, up: float | None) -> None:
        """What all contents together may take, in bytes a second; None: no limit."""
        self._budgets.limit(down, up, asyncio.get_running_loop().time())

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """What all contents together may take, down and up."""
        return self._budgets.down.rate, self._budgets.up.rate

    async def stop(self, transfer: Transfer) -> None:
        """End one transfer; its notes are saved."""
        task = self._running.get(transfer)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def wait(self, transfer: Transfer) -> None:
        """Until a transfer has ended: its goodbyes are said and its notes saved."""
        if (task := self._running.get(transfer)) is not None:
            await asyncio.wait([task])

    def _find(self, info_hash: bytes) -> Session | None:
        session = self._by_hash.get(info_hash)
        if session is None:  # a v2 hash that the metadata has told since
            session = next(
                (t.session for t in self.transfers if info_hash in t.session.hashes), None
            )
        return session

    # Connections

    def room(self) -> int:
        free = self.settings.connections - len(self._wires) - len(self._connecting)
        if self._limits is not None:
            free = min(free, self._limits.room - len(self._connecting))
        return max(0, min(free, self.settings.dialling - len(self._connecting)))

    def dial(self, transfer: Transfer, address: Address) -> None:
        if self._tasks is not None and not self._closed:
            task = self._tasks.create_task(self._dial(transfer, address))
            self._connecting[task] = None
            task.add_done_callback(lambda _: self._connecting.pop(task, None))

    async def _dial(self, transfer: Transfer, address: Address) -> None:
        loop = asyncio.get_running_loop()
        session = transfer.session
        core = PeerWire(self._find, address[0], session=session, info_hash=session.hashes[0])
        wire = self._wire(core)
        try:
            if self._limits is not None:
                wire.place = self._limits.wire(address[0], loop.time(), inbound=False)
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(lambda: wire, address[0], address[1])
        except (OSError, TimeoutError, LimitError, ValueError, OverflowError) as error:
            wire.abort(ClosedError(str(error)))  # the last two: links name hosts that cannot be
            self._wires.pop(wire, None)
            transfer.candidates.ended(address, loop.time(), useful=False)
            return
        finally:
            self._connecting.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)
        await wire.wait_closed()
        self._wires.pop(wire, None)
        transfer.candidates.ended(address, loop.time(), useful=bool(core.peer_id))

    def _accept(self) -> PeerSocket:
        core = PeerWire(self._find, "")
        wire = self._wire(core)
        if len(self._wires) > self.settings.connections and not self._make_room():
            wire.abort(ClosedError("too many connections"))
        wire.admit = partial(self._admit, wire)
        self._accepted[wire] = None
        if self._tasks is not None:
            self._tasks.create_task(self._until_closed(wire))
        return wire

    def _admit(self, wire: PeerSocket, host: str) -> Place | None:
        """A place among the node's connections; if that is full, somebody's of ours."""
        limits, now = self._limits, asyncio.get_running_loop().time()
        if limits is None:
            return None
        try:
            return limits.wire(host, now, inbound=True)
        except LimitError:
            if not ((limits.crowded or limits.full) and self._make_room(wire)):
                raise
            return limits.wire(host, now, inbound=True)

    async def _until_closed(self, wire: PeerSocket) -> None:
        await wire.wait_closed()
        self._wires.pop(wire, None)
        self._accepted.pop(wire, None)
        await self._dial_back(cast("PeerWire", wire.core))

    async def _dial_back(self, core: PeerWire) -> None:
        """Call on a peer, once, that left our seed without having everything.

        libtorrent drops who becomes a seed at a moment when it has nothing to ask for, and would
        come back after a minute.
        """
        transfer = next((t for t in self.transfers if t.session is core.session), None)
        remote, said = core.remote, core.extensions
        if transfer is None or remote is None or said is None or not said.port:
            return
        address = (core.address, said.port)
        now = asyncio.get_running_loop().time()
        if transfer.exchange is None or not transfer.exchange.seeding or remote.has.complete:
            return
        if self._allows(core.address) and self.room() and transfer.candidates.add([address], now):
            await asyncio.sleep(DIAL_BACK)
            if transfer in self.transfers:
                self.dial(transfer, address)

    def _make_room(self, newcomer: PeerSocket | None = None) -> bool:
        """Close the connection that is worth least: of those who have said nothing, the oldest."""
        now = asyncio.get_running_loop().time()
        for wire in self._accepted:
            silent = not wire.ended and not cast("PeerWire", wire.core).peer_id
            if silent and wire is not newcomer:
                wire.abort(ClosedError("others need the place more"))
                self._wires.pop(wire, None)
                return True
        return any(transfer.make_room(now) for transfer in self.transfers)

    def _wire(self, core: PeerWire) -> PeerSocket:
        wire = PeerSocket(core, settings=_WIRE, buffers=self._buffers)
        core.wake = wire.wake
        core.shut = lambda reason: wire.fail(ClosedError(reason))
        core.on_ready = wire.ready
        wire.expect_ready(HANDSHAKE_TIMEOUT)
        self._wires[wire] = None
        return wire


def first_of(group: BaseExceptionGroup[ShoalError]) -> ShoalError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ShoalError)
    return error
