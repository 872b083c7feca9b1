"""SimLoop: an asyncio event loop whose time and network are imaginary.

Time stands still while anything can run; when nothing can, it jumps to the next
timer or packet.  A run is a function of its seed: what is due at one moment runs
in the order in which it was asked for (or, with `shuffle`, in an order drawn from
the seed).  All hosts share this loop; see host.py.

Two mistakes that a real loop hides become errors here: when nobody can run and
nothing will happen (DeadlockError), and when callbacks run on and on at one
moment (LivelockError).  An exception that nobody handles ends the run.

The methods are those of `asyncio.AbstractEventLoop`; what has no meaning here
(file descriptors, pipes, processes) raises NotSimulatedError.
"""

import asyncio
import logging
import sys
import threading
import warnings
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from itertools import count
from random import Random
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

from shoal.errors import DeadlockError, LivelockError, NotSimulatedError, SimulationError
from shoal.sim import connect, resolve
from shoal.sim.handle import SimFuture, SimHandle, SimTask, SimTimerHandle
from shoal.sim.host import LIFE
from shoal.sim.network import Network

START = 1000.0  # seconds; some code takes a clock of 0 for "not set"
LIVELOCK = 1_000_000  # callbacks at one moment: 10,000 hosts with 100 each do less
CANCELLED_MIN = 100  # cancelled timers that are kept before the heap is cleaned
CLOSINGS_MAX = 100  # a buried coroutine that swallows this many GeneratorExit is left alone

_log = logging.getLogger("shoal.sim")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


class SimLoop(asyncio.AbstractEventLoop):
    """One world's time.  `SimLoop(seed)` is all it takes; `.network` has the hosts."""

    def __init__(self, seed: int = 0, *, shuffle: bool = False, trace: bool = True):
        self.seed = seed
        self.limit = float("inf")  # the run fails when time would pass this
        self.now = START  # true time; time() is what the running host's clock shows
        self.rng = Random(f"loop {seed}")
        self.shuffle = shuffle  # same-time events in an order drawn from the seed
        self.trace = trace
        self.trace_hash = 0
        self.skewed = False  # does any host have a clock of its own?
        self.events = 0  # timers and packets so far
        self._ready: deque[SimHandle | SimTimerHandle] = deque()
        self._heap: list[tuple[float, int, Callable[..., object] | None, Any]] = []
        self._order = count().__next__
        self._serial = count(1).__next__
        self._cancelled = 0
        self._stopping = False
        self._closed = False
        self._thread: int | None = None
        self._debug = False
        self._task_factory: Any = None
        self._handler: Handler | None = None
        self._failure: BaseException | None = None
        self._generators: WeakValueDictionary[int, AsyncGenerator[Any, Any]] = WeakValueDictionary()
        self._graveyard: list[asyncio.Task[Any]] = []
        self.network = Network(self)

    # Running

    def run_forever(self) -> None:
        self._check_open()
        if self._thread is not None:
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._add_generator, finalizer=self._finish_generator)
        self._thread = threading.get_ident()
        events._set_running_loop(self)
        try:
            self._run()
        finally:
            self._stopping = False
            self._thread = None
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _run(self) -> None:
        """The heart: a batch of callbacks, then one event, until told to stop."""
        ready, heap = self._ready, self._heap
        busy = 0  # what has run at this moment
        while True:
            if ready:
                busy += len(ready)
                if busy > LIVELOCK:
                    raise self._named(LivelockError(f"{busy} callbacks at one moment"))
                self._run_batch(len(ready))
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise self._named(failure)
            if self._stopping:
                return
            if ready:
                continue
            if not heap:
                raise self._named(DeadlockError("nobody can run and nothing will happen"))
            when, _, function, args = heappop(heap)
            if when > self.now:
                if when > self.limit:
                    raise self._named(SimulationError("it did not end in time"))
                self.now = when
                busy = 0
            self.events += 1
            busy += 1
            if function is not None:
                function(*args)
            elif args._callback is not None:
                ready.append(args)
            else:
                self._cancelled -= 1

    def _run_batch(self, size: int) -> None:
        """Run what is ready now; what that makes ready waits for the next batch."""
        popleft = self._ready.popleft
        for _ in range(size):
            handle = popleft()
            callback = handle._callback
            if callback is None:
                continue
            context = handle._context
            life = context.get(LIFE)
            if life is not None and not life.alive:
                continue
            try:
                context.run(callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                message = f"Exception in callback {callback!r}"
                self.call_exception_handler({"message": message, "exception": error})

    def run_until_complete(self, future: Any) -> Any:
        self._check_open()
        ours = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)
        future.add_done_callback(self._stop_for)
        try:
            self.run_forever()
        except BaseException:
            if ours and future.done() and not future.cancelled():
                future.exception()  # retrieved: the caller gets the other one
            raise
        finally:
            future.remove_done_callback(self._stop_for)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def _stop_for(self, future: "asyncio.Future[Any]") -> None:
        self._stopping = True

    def stop(self) -> None:
        self._stopping = True

    def is_running(self) -> bool:
        return self._thread is not None

    def is_closed(self) -> bool:
        return self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    def close(self) -> None:
        if self._thread is not None:
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        self._closed = True
        self.bury(asyncio.all_tasks(self))  # first: some are held by nothing but a timer
        self._ready.clear()
        self._heap.clear()
        for host in self.network.hosts:
            self.network.unplug(host)
        self._empty_graveyard()

    async def shutdown_asyncgens(self) -> None:
        generators = list(self._generators.values())
        self._generators.clear()
        closings = (each.aclose() for each in generators)
        for generator, result in zip(
            generators, await asyncio.gather(*closings, return_exceptions=True), strict=True
        ):
            if isinstance(result, Exception):
                message = f"an error occurred during closing of {generator!r}"
                self.call_exception_handler({"message": message, "exception": result})

    def _add_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._generators[self._serial()] = generator

    def _finish_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.call_soon(self.create_task, generator.aclose())

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Nothing to do: there are no threads."""

    # The dead

    def bury(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Keep the tasks of an ended life from being finalised while the world runs."""
        for task in tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                self._graveyard.append(task)

    def _empty_graveyard(self) -> None:
        """After the end of the world the frames of the dead may go, quietly."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while self._graveyard:
                coro: Any = self._graveyard.pop().get_coro()
                for _ in range(CLOSINGS_MAX):
                    try:
                        coro.close()
                        break
                    except BaseException:  # a dead man's last words
                        continue

    # Time

    def time(self) -> float:
        if self.skewed:
            life = LIFE.get(None)
            if life is not None and life.host.clock is not None:
                return life.host.clock.read(self.now)
        return self.now

    @property
    def waiting(self) -> int:
        """Timers and packets that are still to come."""
        return len(self._heap)

    def post(self, when: float, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Call a function at a true time, outside of any host: what the network lives on."""
        order = self._order()
        if self.shuffle:
            order |= self.rng.getrandbits(30) << 64
        heappush(self._heap, (when, order, function, args))

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if self._closed:
            self._check_open()
        handle = SimHandle(callback, args, copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if self._thread not in (None, threading.get_ident()):
            raise RuntimeError("a thread cannot take part in a simulation")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        if self._closed:
            self._check_open()
        if context is None:
            context = copy_context()
        handle = SimTimerHandle(when, callback, args, context, self)
        if self.skewed:
            life = context.get(LIFE)
            if life is not None and life.host.clock is not None:
                when = life.host.clock.when(when)
        order = self._order()
        if self.shuffle:
            order |= self.rng.getrandbits(30) << 64
        heappush(self._heap, (max(when, self.now), order, None, handle))
        return handle

    def timer_was_cancelled(self) -> None:
        """Clean the heap when half of it is cancelled timers."""
        self._cancelled += 1
        heap = self._heap
        if self._cancelled > CANCELLED_MIN and self._cancelled > len(heap) // 2:
            heap[:] = [
                entry for entry in heap if entry[2] is not None or entry[3]._callback is not None
            ]
            heapify(heap)
            self._cancelled = 0

    # Tasks and futures

    def create_future(self) -> "asyncio.Future[Any]":
        return SimFuture(loop=self, serial=self._serial())

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **options: Any
    ) -> "asyncio.Task[Any]":
        self._check_open()
        if context is not None:
            options["context"] = context
        if self._task_factory is not None:
            task: asyncio.Task[Any] = self._task_factory(self, coro, **options)
            if name is not None:
                task.set_name(name)
        else:
            task = SimTask(coro, serial=self._serial(), loop=self, name=name, **options)
        life = LIFE.get(None) if context is None else context.get(LIFE)
        if life is not None:
            life.add(task)
        return task

    def set_task_factory(self, factory: Any) -> None:
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        return self._task_factory

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Call it here and now: it takes no simulated time."""
        self._check_open()
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def set_default_executor(self, executor: Any) -> None:
        """Accepted and ignored: everything runs here."""

    # Errors

    def set_exception_handler(self, handler: Any) -> None:
        self._handler = handler

    def get_exception_handler(self) -> Any:
        return self._handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """End the run with the exception; what comes without one is logged."""
        error = context.get("exception")
        if isinstance(error, asyncio.CancelledError):
            return  # asyncio.streams on 3.11 lets that of a handler escape from a callback
        if error is not None and self._thread is not None:
            self._failure = self._failure or error
            return
        if error is None and self._thread is None:
            return  # "Task was destroyed": a world that has ended leaves some behind
        _log.error("%s (seed %s)", context.get("message"), self.seed, exc_info=error)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._handler(self, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.default_exception_handler(
                {"message": "Unhandled error in exception handler", "exception": error}
            )

    def _named(self, error: BaseException) -> BaseException:
        """Say which run this was."""
        life = LIFE.get(None)
        where = f", host {life.host.name}" if life else ""
        error.add_note(f"simulation: seed {self.seed}, time {self.now - START:.6f} s{where}")
        return error

    def get_debug(self) -> bool:
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        self._debug = enabled

    # The network

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return resolve.addresses(self.network, host, port, **options)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        return str(sockaddr[0]), str(sockaddr[1])

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        return await connect.create_connection(self, protocol_factory, host, port, **options)

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        return await connect.create_server(self, protocol_factory, host, port, **options)

    async def create_datagram_endpoint(
        self, protocol_factory: Any, *args: Any, **options: Any
    ) -> Any:
        return connect.create_datagram_endpoint(self, protocol_factory, *args, **options)

    async def start_tls(
        self, transport: Any, protocol: Any, sslcontext: Any, **options: Any
    ) -> Any:
        return await connect.start_tls(self, transport, protocol, sslcontext, **options)

    # Signals are never sent in a simulation; asking for them is fine

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Accepted and ignored."""

    def remove_signal_handler(self, sig: int) -> bool:
        return False

    # The trace

    def note(self, *values: int | float) -> None:
        """Mix numbers into the trace hash; two runs with equal hashes did the same."""
        if self.trace:
            self.trace_hash = hash((self.trace_hash, self.now, *values))

    def _not_simulated(self, *args: Any, **options: Any) -> Any:
        raise NotSimulatedError("a simulated host has no file descriptors or processes")

    add_reader: Any = _not_simulated
    remove_reader: Any = _not_simulated
    add_writer: Any = _not_simulated
    remove_writer: Any = _not_simulated
    connect_accepted_socket: Any = _not_simulated
    connect_read_pipe: Any = _not_simulated
    connect_write_pipe: Any = _not_simulated
    create_unix_connection: Any = _not_simulated
    create_unix_server: Any = _not_simulated
    sendfile: Any = _not_simulated
    sock_accept: Any = _not_simulated
    sock_connect: Any = _not_simulated
    sock_recv: Any = _not_simulated
    sock_recv_into: Any = _not_simulated
    sock_recvfrom: Any = _not_simulated
    sock_recvfrom_into: Any = _not_simulated
    sock_sendall: Any = _not_simulated
    sock_sendfile: Any = _not_simulated
    sock_sendto: Any = _not_simulated
    subprocess_exec: Any = _not_simulated
    subprocess_shell: Any = _not_simulated
