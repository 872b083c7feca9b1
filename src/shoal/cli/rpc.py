"""shoal call, shoal serve and shoal services: named services from the command line.

Services are found through peers (`--peer`, encrypted streams), the node's DHTs
(with neither) or a Grape (`--grape`, Grenache's HTTP and WebSocket).  `serve` makes any program a
service: each call is a line of JSON on its stdin, the next line of JSON on its
stdout is the answer.
"""

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.errors import ClosedError, ProtocolError, UsageError
from shoal.node import Node
from shoal.peer.id import PeerId
from shoal.rpc.client import RpcClient
from shoal.rpc.link import Link
from shoal.rpc.record import ServiceRecord
from shoal.rpc.server import RpcServer

LINE_MAX = 1 << 20  # bytes of one answer of a program
ENDING = 2.0  # seconds for a program to end by itself


def configure(parser: ArgumentParser) -> None:
    """The arguments of the three, told apart by the program's name."""
    name = parser.prog.split()[-1]
    add = parser.add_argument
    add("--grape", action="append", default=[], metavar="URL", help="http://HOST:PORT of a Grape")
    if name == "services":
        add("name", nargs="*", help="of services to look for (all that the peers offer)")
    else:
        add("name", help="of the service")
    if name == "serve":
        add("program", nargs="+", help="-- COMMAND ...: JSON lines in and out")
        add("--listen", action="append", metavar="ADDRESS", help="accept peers here")
        add("--host", help="address for Grenache's callers (all; profile local: loopback)")
        add("--port", type=int, default=0, help="TCP port for Grenache's callers; 0: any free")
        return
    add("--peer", action="append", default=[], metavar="ADDRESS", help="of a node to ask")
    add("--timeout", type=float, default=5.0, metavar="SECONDS", help="for the answer")
    if name == "call":
        add("payload", nargs="?", default="null", metavar="JSON", help="what to send (null)")


async def run(args: Namespace, output: Output) -> int:
    commands = {"call": call, "serve": serve, "services": services}
    return await commands[args.command](args, output)


async def call(args: Namespace, output: Output) -> int:
    """Call one service, and show its answer."""
    payload = read_json(args.payload)
    if args.grape and args.peer:
        raise UsageError("name the Grapes (--grape) or the peers (--peer) to ask, not both")
    if args.grape:
        async with Link(*args.grape) as link, RpcClient(link) as client:
            result = await client.request(args.name, payload, timeout=args.timeout)
    else:
        async with Node(load(args), listen=[]) as node:
            await meet(node, args.peer, args.timeout)
            result = await node.call(args.name, payload, timeout=args.timeout)
    shown = json.dumps(result, default=repr, ensure_ascii=False)
    output.show({"name": args.name, "result": result}, shown)
    return 0


async def services(args: Namespace, output: Output) -> int:
    """What peers offer, and who offers what is looked for."""
    if not (args.peer or args.name) or (args.grape and not args.name):
        raise UsageError("name the peers to ask (--peer ADDRESS), or services")
    if args.grape:
        async with Link(*args.grape) as link:
            found = {name: await link.lookup(name) for name in args.name}
        rows = [{"name": name, "address": each} for name in found for each in found[name]]
        output.table("services", rows, ["name", "address"])
        return 0
    records: dict[PeerId, ServiceRecord] = {}
    async with Node(load(args), listen=[]) as node:
        for address in args.peer:
            record = await node.services.ask(address, timeout=args.timeout)
            records[record.peer] = record
        for name in args.name:
            async with asyncio.timeout(args.timeout):  # for the DHTs and those they name
                records |= {each.peer: each for each in await node.services.find(name)}
    rows = [
        {
            "name": offer.name,
            "version": offer.version,
            "load": offer.load,
            "well": offer.well,
            "peer": str(record.peer),
        }
        for record in records.values()
        for offer in record.offers
        if not args.name or offer.name in args.name
    ]
    output.table("services", rows, ["name", "version", "load", "well", "peer"])
    return 0


async def serve(args: Namespace, output: Output) -> int:
    """Offer a program as a service until a signal ends it."""
    config = load(args)
    host = args.host or ("127.0.0.1" if config.loopback_only else "0.0.0.0")
    if not config.allows(host):
        raise UsageError(f"profile local listens on loopback only, not on {host}")
    async with AsyncExitStack() as stack:
        program = Program(args.program)
        stack.push_async_callback(program.aclose)
        node = Node(config, listen=args.listen)
        node.service(args.name)(program.ask)
        await stack.enter_async_context(node)
        addresses = [str(address) for address in node.addresses]
        port = None
        if args.grape:
            link = await stack.enter_async_context(Link(*args.grape))
            server = RpcServer(link, host=host, port=args.port)
            server.service(args.name)(program.ask)
            port = (await stack.enter_async_context(server)).port
        record = {"name": args.name, "id": str(node.id), "addresses": addresses, "port": port}
        lines = [f"serving {args.name} as {node.id}", *(f"  {each}" for each in addresses)]
        output.ready(record, "\n".join(lines))
        await asyncio.get_running_loop().create_future()
    return 0


class Program:
    """A running program that answers one line with one line; started for its first call."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()  # a question and its answer stay together

    async def ask(self, payload: Any = None) -> Any:
        """The program's answer; a call that is given up ends the program, which starts anew."""
        async with self._turn:
            process = await self._started()
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(json.dumps(payload).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            except (OSError, ValueError) as error:
                await self.aclose()
                raise ClosedError(f"the program broke off: {error}") from error
            except asyncio.CancelledError:
                await self.aclose()
                raise
            if not line:
                await self.aclose()
                raise ClosedError("the program ended without an answer")
        return read_json(line)

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, stdin=pipe, stdout=pipe, limit=LINE_MAX
                )
            except OSError as error:
                raise UsageError(f"{self._command[0]} cannot be started: {error}") from error
        return self._process

    async def aclose(self) -> None:
        """End it: first by the end of its input, then by force."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin
        process.stdin.close()
        try:
            async with asyncio.timeout(ENDING):
                await process.wait()
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()


async def meet(node: Node, addresses: Sequence[str], timeout: float) -> None:  # noqa: ASYNC109
    async with asyncio.timeout(timeout):
        for address in addresses:
            await node.dial(address)


def read_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = UsageError if isinstance(text, str) else ProtocolError
        raise kind(f"no JSON: {error}") from None
