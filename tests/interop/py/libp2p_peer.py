"""A py-libp2p node that serves and dials as the tests ask: SECURITY and MUXER as arguments.

It prints `ready ADDRESS`; each line of JSON on stdin is a command, answered by `done N {...}`.
Runs with an interpreter of its own, so it imports nothing of ours.
"""

import hashlib
import json
import sys
import time

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_noise_key
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY, parse_identify_response
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE, Transport as Noise
from libp2p.security.tls.transport import PROTOCOL_ID as TLS, TLSTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID, Yamux

PIECE = bytes(index % 251 for index in range(65536))
PAUSE = 20.0  # seconds for which the slow reader reads nothing
TOGETHER = 100  # streams that are open at the same time


def make_host(security, muxer):
    key = create_new_key_pair()
    noise = Noise(key, noise_privkey=create_new_noise_key().private_key)
    securities = {"noise": {NOISE: noise}, "tls": {TLS: TLSTransport(key)}}
    muxers = {"yamux": {YAMUX_PROTOCOL_ID: Yamux}, "mplex": {MPLEX_PROTOCOL_ID: Mplex}}
    return new_host(key_pair=key, sec_opt=securities[security], muxer_opt=muxers[muxer])


async def pieces_of(stream):
    """Until the other side has said everything, which is an exception here."""
    try:
        while data := await stream.read(65536):
            yield data
    except StreamEOF:
        return


async def digest_of(stream):
    digest = hashlib.sha256()
    async for data in pieces_of(stream):
        digest.update(data)
    return digest


# What we serve.


async def serve_echo(stream):
    async for data in pieces_of(stream):
        await stream.write(data)
    await stream.close()


async def serve_hash(stream):
    await stream.write((await digest_of(stream)).digest())  # only after the other's half-close
    await stream.close()


async def serve_reset(stream):
    await stream.read(1)
    await stream.reset()


async def serve_slow(stream):
    await trio.sleep(PAUSE)
    await serve_hash(stream)


SERVED = {
    "/test/echo": serve_echo,
    "/test/hash": serve_hash,
    "/test/reset": serve_reset,
    "/test/slow": serve_slow,
}


def guarded(handler):
    """A dead stream ends its handler and not the node."""

    async def run(stream):
        try:
            await handler(stream)
        except Exception as error:  # each layer of py-libp2p has its own
            print("ended", handler.__name__, repr(error), flush=True)

    return run


# What we do when told.


async def open_stream(host, address, protocol):
    info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    await host.connect(info)
    return await host.new_stream(info.peer_id, [protocol])


async def echo(host, address, pieces, in_turns=False):
    stream = await open_stream(host, address, "/test/echo")
    sent, heard = hashlib.sha256(), hashlib.sha256()

    async def send(count):
        for _ in range(count):
            sent.update(PIECE)
            await stream.write(PIECE)

    async def hear(size):
        while size:
            part = await stream.read(size)
            heard.update(part)
            size -= len(part)

    if in_turns:  # on mplex a read that waits holds up all writes of its stream
        for _ in range(pieces):
            await send(1)
            await hear(len(PIECE))
    else:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, pieces)
            nursery.start_soon(hear, pieces * len(PIECE))
    await stream.close_write()
    assert [part async for part in pieces_of(stream)] == []
    return {"equal": sent.hexdigest() == heard.hexdigest()}


async def pings(host, address):
    info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    await host.connect(info)
    started = time.monotonic()
    await PingService(host).ping(info.peer_id, ping_amt=3)
    return {"trip": time.monotonic() - started}


async def known(host, address):
    stream = await open_stream(host, address, IDENTIFY)
    message = parse_identify_response(b"".join([part async for part in pieces_of(stream)]))
    return {"agent": message.agent_version, "protocols": list(message.protocols)}


async def streams(host, address, count):
    answered = 0
    room = trio.Semaphore(TOGETHER)

    async def one():
        nonlocal answered
        async with room:
            stream = await open_stream(host, address, "/test/echo")
            await stream.write(PIECE[:100])
            await stream.close_write()
            size = sum([len(part) async for part in pieces_of(stream)])
            answered += size == 100
            await stream.close()

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return {"answered": answered}


async def killed(host, address):
    stream = await open_stream(host, address, "/test/reset")
    try:  # the reset may come while we write still
        await stream.write(PIECE)
        await stream.read(1)
    except StreamError as error:
        return {"error": type(error).__name__}
    return {"error": ""}


COMMANDS = {each.__name__: each for each in (echo, pings, known, streams, killed)}


async def obey(host, number, words):
    try:
        done = await COMMANDS[words.pop("do")](host, **words)
    except Exception as error:  # the test shows it
        done = {"failed": repr(error)}
    print(f"done {number}", json.dumps(done), flush=True)


async def main(security, muxer):
    host = make_host(security, muxer)
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        for protocol, handler in SERVED.items():
            host.set_stream_handler(protocol, guarded(handler))
        print("ready", host.get_addrs()[0], flush=True)
        count = 0
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            await obey(host, count, json.loads(line))
            count += 1


trio.run(main, *sys.argv[1:])
