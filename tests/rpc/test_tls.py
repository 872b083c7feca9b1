"""Over TLS both sides show certificates, and a service knows whose call it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from tests.rpc.authority import Authority, fingerprint
from tests.rpc.names import Names

from shoal.errors import ClosedError, RefusedError, ShoalError, UnreachableError
from shoal.net.certificates import Certificates
from shoal.rpc.client import RpcClient
from shoal.rpc.grenache import Caller
from shoal.rpc.server import RpcServer
from shoal.rpc.streams import ServedStream
from shoal.sim.loop import SimLoop

OVER = pytest.mark.parametrize("over", ["ws", "http"])


def serve(names: Any, certificates: Certificates, **settings: Any) -> RpcServer:
    required = settings.pop("required", True)
    tls = certificates.server(required=required)
    server = RpcServer(names, host="127.0.0.1", tls=tls, **settings)

    @server.service("who", caller=True)
    def who(payload: Any, caller: Caller) -> Any:
        return [payload, caller.host, caller.fingerprint, caller.fingerprint256]

    @server.stream("whose")
    async def whose(stream: ServedStream) -> None:
        await stream.write(stream.caller.fingerprint.encode())

    return server


def run(case: Callable[[Names], Awaitable[None]], loop: str = "asyncio") -> None:
    async def main() -> None:
        async with asyncio.timeout(15):
            await case(Names())

    factory = (lambda: SimLoop(1)) if loop == "sim" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


@OVER
@pytest.mark.parametrize("loop", ["asyncio", "sim"])
def test_a_service_is_told_the_fingerprints_of_its_caller(
    over: str, loop: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    ours, theirs = authority.issue("server"), authority.issue("caller")
    prints = [fingerprint(theirs.certificate), fingerprint(theirs.certificate, SHA256)]

    async def case(names: Any) -> None:
        async with serve(names, ours), RpcClient(names, over=over, tls=theirs.client()) as client:
            assert await client.request("who", 1) == [1, "127.0.0.1", *prints]
            async with client.stream("whose") as stream:
                assert await stream.read() == prints[0].encode()

    run(case, loop)


@OVER
def test_who_is_not_trusted_or_not_allowed_is_not_answered(over: str, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "two", "other")
    ours, theirs, stranger = authority.issue("server"), authority.issue("caller"), other.issue("x")
    allowed = fingerprint(theirs.certificate)
    friend = authority.issue("friend")

    async def refused(names: Any, certificates: Certificates, kind: type[ShoalError]) -> None:
        tls = certificates.client()
        async with RpcClient(names, over=over, tls=tls) as client:
            with pytest.raises((kind, ClosedError)):
                await client.request("who", timeout=5)

    async def case(names: Any) -> None:
        async with serve(names, ours, allows=lambda caller: caller.fingerprint == allowed):
            await refused(names, stranger, UnreachableError)  # we do not trust the server
            misled = Certificates(stranger.key, stranger.certificate, ours.authorities)
            await refused(names, misled, UnreachableError)  # it does not trust us
            await refused(names, friend, RefusedError if over == "http" else ShoalError)  # 401
            async with RpcClient(names, over=over) as plain:
                with pytest.raises((ShoalError, ConnectionError)):
                    await plain.request("who", timeout=5)
            async with RpcClient(names, over=over, tls=theirs.client()) as client:
                assert (await client.request("who"))[2] == allowed

    run(case)


def test_a_certificate_of_ones_own_may_be_trusted_by_name_and_none_be_required(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    server, caller = authority.issue("server"), authority.issue("caller")
    pinned = Certificates(server.key, server.certificate, caller.certificate)

    async def case(names: Any) -> None:
        async with serve(names, pinned), RpcClient(names, tls=caller.client()) as client:
            assert (await client.request("who"))[2] == fingerprint(caller.certificate)
        context = caller.client(check_host=False)
        async with serve(names, server, required=False):
            async with RpcClient(names, tls=context) as client:
                assert await client.request("who")

    run(case)


def test_without_tls_there_is_no_fingerprint() -> None:
    assert (Caller("h").fingerprint, Caller("h").fingerprint256) == ("", "")
