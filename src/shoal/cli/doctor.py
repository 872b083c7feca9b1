"""shoal doctor: why can I not connect?

It answers in a sentence first, then row by row.  With profile public it asks
the DHT's well-known nodes under which address they see us (BEP 42's `ip`), and
a time server for the time; with profile local, or `--offline`, it asks nobody
but the nodes that are named by --bootstrap.
"""

import asyncio
import resource
import secrets
import socket
import struct
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec

from shoal.cli.findings import (
    BAD,
    Address,
    Finding,
    Seen,
    judge_clock,
    judge_extras,
    judge_files,
    judge_ipv6,
    judge_nat,
    judge_reach,
    judge_udp,
    summarise,
)
from shoal.cli.output import Output
from shoal.cli.settings import load
from shoal.config import Config
from shoal.dht import krpc
from shoal.dht.mainline.service import resolve
from shoal.dht.settings import MainlineSettings
from shoal.errors import ProtocolError, ShoalError
from shoal.net.limits import LimitSettings
from shoal.net.transport.udp import Kind, UdpSocket

PATIENCE = 3.0  # seconds for strangers to answer
ASKED_MAX = 8  # nodes: enough to tell one mapping from many
RESEND = 1.0  # seconds; a datagram may be lost
FAST = ("uvloop", "cryptography", "msgspec")  # compiled code that the hot paths stand on
PROBE6 = ("2001:4860:4860::8888", 53)  # only looked up in the routing table, never sent to
NTP_SERVER = "pool.ntp.org:123"
NTP_REQUEST = bytes([0x23]) + bytes(47)  # version 4, client (RFC 5905, section 7.3)
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--offline", action="store_true", help="ask nobody on the internet")
    parser.add_argument(
        "--bootstrap", action="append", metavar="HOST:PORT", help="a DHT node to be asked"
    )
    parser.add_argument("--ntp", metavar="HOST:PORT", help=f"a time server ({NTP_SERVER})")


async def run(args: Namespace, output: Output) -> int:
    """0, or 1 if something is wrong."""
    config = load(args)
    findings = await examine(config, args)
    output.show(
        {"summary": summarise(findings), "findings": [asdict(each) for each in findings]},
        "\n".join([summarise(findings), "", *lines(findings)]),
    )
    return int(any(each.state == BAD for each in findings))


def lines(findings: Sequence[Finding]) -> list[str]:
    told = []
    for each in findings:
        told.append(f"  {each.about:<13} {each.state:<8} {each.says}")
        if each.advice:
            told.append(f"  {'':<13} {'':<8} next: {each.advice}")
    return told


async def examine(config: Config, args: Namespace) -> list[Finding]:
    quiet = args.offline or config.loopback_only
    famous = () if quiet else config.of(MainlineSettings).routers
    port, asked, seen = await ask_nodes([*(args.bootstrap or []), *famous])
    clock = None if quiet and not args.ntp else await ask_time(args.ntp or NTP_SERVER)
    unasked = "not looked at: nobody is asked beyond this machine"
    nat = judge_nat(local_addresses(asked), port, seen)
    return [
        judge_udp(asked, seen, unasked if quiet else "no DHT node's name could be resolved"),
        nat,
        judge_reach(nat, None),
        judge_ipv6(route6()),
        judge_clock(clock, unasked if quiet and not args.ntp else "no time server answered"),
        files(config),
        *judge_extras({name: find_spec(name) is not None for name in FAST}, missing_extras()),
    ]


async def ask_nodes(names: Sequence[str]) -> tuple[int, list[Address], list[Seen]]:
    """Our port, whom we asked from it, and what they answered."""
    asked = [each for each in await resolve(names) if ":" not in each[0]][:ASKED_MAX]
    if not asked:
        return 0, [], []
    udp = await UdpSocket.open()
    waiting: dict[bytes, Address] = {secrets.token_bytes(4): address for address in asked}
    seen: list[Seen] = []
    complete = asyncio.Event()

    def heard(data: bytes, address: Address) -> None:
        with suppress(ProtocolError):
            answer = krpc.decode(data)
            if isinstance(answer, krpc.Response) and waiting.get(answer.transaction) == address:
                del waiting[answer.transaction]
                seen.append(Seen(address, unpack(answer.seen_as)))
                if not waiting:
                    complete.set()

    udp.handle(Kind.KRPC, heard)
    our_id = secrets.token_bytes(krpc.ID_SIZE)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not complete.is_set():
                    for transaction, address in list(waiting.items()):
                        query = krpc.Query(transaction, b"ping", {b"id": our_id}, read_only=True)
                        udp.send(krpc.encode_query(query), address)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(RESEND):
                            await complete.wait()
        return udp.address[1], asked, seen
    finally:
        await udp.aclose()


def unpack(seen_as: bytes) -> Address | None:
    """A compact IPv4 address."""
    if len(seen_as) != 6:
        return None
    return socket.inet_ntoa(seen_as[:4]), int.from_bytes(seen_as[4:])


async def ask_time(server: str) -> float | None:
    """Seconds by which our clock is behind; None if nobody told. RFC 5905, SNTP."""
    for address in (await resolve([server]))[:2]:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        loop = asyncio.get_running_loop()
        with suppress(OSError, TimeoutError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                await loop.sock_connect(probe, address)
                sent = time.time()
                await loop.sock_sendall(probe, NTP_REQUEST)
                answer = await loop.sock_recv(probe, 512)
            if len(answer) >= len(NTP_REQUEST):
                return offset_of(answer, sent, time.time())
    return None


def offset_of(answer: bytes, sent: float, received: float) -> float:
    seconds, fraction = struct.unpack_from(">II", answer, 40)  # when it answered
    return float(seconds - NTP_EPOCH + fraction / 2**32 - (sent + received) / 2)


def local_addresses(towards: Sequence[Address]) -> list[str]:
    """The addresses we would use; connecting a datagram socket sends nothing."""
    found: dict[str, None] = {}
    for address in towards:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            found[probe.getsockname()[0]] = None
    return list(found)


def route6() -> str | None:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.connect(PROBE6)
        return str(probe.getsockname()[0])
    return None


def files(config: Config) -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_files(limit, config.of(LimitSettings).connections)


def missing_extras() -> list[str]:
    """The distributions of our extras that are not installed, but for those of development."""
    missing = []
    with suppress(metadata.PackageNotFoundError):
        for required in metadata.requires("shoal") or []:
            name, _, condition = required.partition(";")
            if "extra ==" in condition and "dev" not in condition:
                plain = name.split("[")[0].split("=")[0].split(">")[0].split("<")[0].strip()
                try:
                    metadata.distribution(plain)
                except (metadata.PackageNotFoundError, ShoalError):
                    missing.append(plain)
    return missing
