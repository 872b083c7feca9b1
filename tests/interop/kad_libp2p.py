"""A py-libp2p node with a DHT server that does what the tests ask, as js/libp2p/kad.mjs does.

It prints `ready ADDRESS`; each line of JSON on stdin is a command, answered by `done N {...}`.
"""

import json
import sys

import multiaddr
import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.tools.anyio_service import background_trio_service


async def dial(host, dht, words):
    info = info_from_p2p_addr(multiaddr.Multiaddr(words["address"]))
    await host.connect(info)
    for _ in range(100):  # until identify has told that it serves the DHT
        if await dht.add_peer(info.peer_id):
            return {"served": True}
        await trio.sleep(0.05)
    return {"served": False}


async def find(host, dht, words):
    found = await dht.find_peer(ID.from_base58(words["peer"]))
    return {"addresses": [str(each) for each in found.addrs] if found else []}


async def provide(host, dht, words):
    return {"told": await dht.provide(words["key"])}


async def providers(host, dht, words):
    found = await dht.find_providers(words["key"])
    return {"found": {str(each.peer_id): [str(one) for one in each.addrs] for each in found}}


async def get(host, dht, words):
    value = await dht.get_value(bytes.fromhex(words["key"]).decode())
    return {"value": value.hex() if value else ""}


DOES = {each.__name__: each for each in (dial, find, provide, providers, get)}


async def main():
    host = new_host(muxer_preference="YAMUX")
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        dht = KadDHT(host, DHTMode.SERVER)
        async with background_trio_service(dht):
            print("ready", host.get_addrs()[0], flush=True)
            number = 0
            while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
                words = json.loads(line)
                try:
                    said = await DOES[words["do"]](host, dht, words)
                except Exception as error:
                    said = {"failed": f"{type(error).__name__}: {error}"}
                print(f"done {number}", json.dumps(said), flush=True)
                number += 1


if __name__ == "__main__":
    trio.run(main)
