"""One side of bench/host.py: py-libp2p. Arguments as those of shoal_host.py, without the loop."""

import json
import sys
from time import perf_counter

import multiaddr
import trio
from libp2p import new_host
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.peer.peerinfo import info_from_p2p_addr

SINK, ECHO = "/bench/sink/1.0.0", "/bench/echo/1.0.0"
PIECE = bytes(64 * 1024)


def make_host():
    return new_host(muxer_preference="YAMUX")


def run(host, listen):
    return host.run(listen_addrs=[multiaddr.Multiaddr(one) for one in listen])


async def read_all(stream):
    try:
        while data := await stream.read(65536):
            yield data
    except Exception as error:  # the end of a stream is an exception here
        if "EOF" not in type(error).__name__:
            raise


async def read_exactly(stream, size):
    left = size
    while left:
        left -= len(await stream.read(left))


async def sink(stream):
    size = 0
    async for data in read_all(stream):
        size += len(data)
    await stream.write(size.to_bytes(8, "big"))
    await stream.close()


async def echo(stream):
    async for data in read_all(stream):
        await stream.write(data)
    await stream.close()


async def input_ends():
    await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


async def serve():
    host = make_host()
    async with run(host, ["/ip4/127.0.0.1/tcp/0"]):
        host.set_stream_handler(SINK, sink)
        host.set_stream_handler(ECHO, echo)
        print("ready", host.get_addrs()[0], flush=True)
        await input_ends()


async def bulk(host, info, mebibytes):
    await host.connect(info)
    stream = await host.new_stream(info.peer_id, [SINK])
    start = perf_counter()
    for _ in range(mebibytes * 16):
        await stream.write(PIECE)
    await stream.close_write() if hasattr(stream, "close_write") else await stream.close()
    await read_exactly(stream, 8)
    return [mebibytes / (perf_counter() - start)]


async def trips(host, info, count):
    await host.connect(info)
    stream = await host.new_stream(info.peer_id, [ECHO])
    times = []
    for _ in range(count):
        start = perf_counter()
        await stream.write(bytes(32))
        await read_exactly(stream, 32)
        times.append((perf_counter() - start) * 1e6)
    return times


async def identify(host, info):
    """Ask as its own service does, for that has no event to wait for."""
    stream = await host.new_stream(info.peer_id, [IDENTIFY])
    await stream.read(2)
    await stream.close()


async def connect(host, info, count):
    times = []
    for _ in range(count):
        start = perf_counter()
        await host.connect(info)
        await identify(host, info)
        times.append((perf_counter() - start) * 1e3)
        await host.disconnect(info.peer_id)
    return times


async def cycles(host, info, count):
    start = perf_counter()
    await connect(host, info, count)
    return [count / (perf_counter() - start)]


async def streams(host, info, count):
    await host.connect(info)
    await identify(host, info)
    start = perf_counter()
    for _ in range(count):
        stream = await host.new_stream(info.peer_id, [ECHO])
        await stream.write(bytes(32))
        await read_exactly(stream, 32)
        await stream.close()
    return [count / (perf_counter() - start)]


async def idle(host, info, count):
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            await nursery.start(idle_peer, info)
        print("connected", flush=True)
        await input_ends()
        nursery.cancel_scope.cancel()
    return []


async def idle_peer(info, task_status=trio.TASK_STATUS_IGNORED):
    host = make_host()
    async with run(host, []):
        await host.connect(info)
        await identify(host, info)
        task_status.started()
        await trio.sleep_forever()


async def main(arguments):
    if arguments[0] == "serve":
        await serve()
        return
    name, address, count = arguments
    host = make_host()
    async with run(host, []):
        info = info_from_p2p_addr(multiaddr.Multiaddr(address))
        print(json.dumps(await globals()[name](host, info, int(count))), flush=True)


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
