"""A py-libp2p node that announces itself by mDNS.

It prints `ready ADDRESS`, and `found ADDRESS` for each that it discovers.
Runs with an interpreter of its own, so it imports nothing of ours.
"""

import multiaddr
import trio
from libp2p import new_host
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.discovery.mdns import MDNSDiscovery


def show(peer):
    for address in peer.addrs:
        print(f"found {address}/p2p/{peer.peer_id}", flush=True)


async def main():
    host = new_host()
    peerDiscovery.register_peer_discovered_handler(show)
    async with host.run([multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        (address,) = host.get_addrs()
        discovery = MDNSDiscovery(host.get_network(), host=host)
        await trio.to_thread.run_sync(discovery.broadcaster.register)
        print(f"ready {address}", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
