"""libtorrent as a program, run by the interpreter that has it.

    make PATH OUT.torrent v1|v2|hybrid PIECE_LENGTH
    run WHAT FOLDER [HOST:PORT]     fetch or seed a torrent file or magnet link, telling how it goes
    meet WHAT FOLDER                the same, looking for neighbours (local service discovery)
    dht WHAT FOLDER HOST:PORT       the same, with a node of the DHT to start from

It speaks TCP without encryption on loopback, and looks for nobody else by itself.
"""

import os
import sys
import time

import libtorrent as lt

SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,  # plaintext alone: a mismatch costs a minute
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "hashing_threads": 2,
    "alert_mask": 0,
}
DHT = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_block_ratelimit": 100_000_000,
    "dht_upload_rate_limit": 1_000_000_000,
    "dht_prefer_verified_node_ids": False,
}


def make(path: str, out: str, version: str, piece_length: str) -> None:
    flags = {
        "v1": lt.create_torrent.v1_only,
        "v2": lt.create_torrent.v2_only,
        "hybrid": lt.create_torrent.canonical_files,
    }[version]
    began = time.monotonic()
    files = lt.file_storage()
    lt.add_files(files, path)
    torrent = lt.create_torrent(files, int(piece_length), flags)
    lt.set_piece_hashes(torrent, os.path.dirname(path))
    with open(out, "wb") as file:
        file.write(lt.bencode(torrent.generate()))
    print(f"complete {time.monotonic() - began:.5f}\nmade", flush=True)


def parameters(what: str, folder: str) -> lt.add_torrent_params:
    params = lt.parse_magnet_uri(what) if what.startswith("magnet:") else lt.load_torrent_file(what)
    params.save_path = folder
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    return params


def run(what: str, folder: str, peer: str = "") -> None:
    session = lt.session(SETTINGS)
    handle = session.add_torrent(parameters(what, folder))
    print(f"port {session.listen_port()}", flush=True)
    host, _, port = peer.rpartition(":")
    began, complete, checked = time.monotonic(), False, False
    asked = began  # the DHT: it would ask again after a quarter of an hour
    while True:
        status = handle.status()
        busy = status.state in (
            lt.torrent_status.states.checking_files,
            lt.torrent_status.states.checking_resume_data,
        )
        if not busy and not checked:
            checked = True
            began = time.monotonic()
            print(f"checked {status.num_pieces}", flush=True)
            if port:
                handle.connect_peer((host, int(port)))
        if status.is_seeding and checked and not complete:
            complete = True
            print(f"complete {time.monotonic() - began:.3f}", flush=True)
        if SETTINGS["enable_dht"] and not status.num_peers and time.monotonic() - asked > 1:
            asked = time.monotonic()
            handle.force_dht_announce()
        time.sleep(0.01)


def dht(what: str, folder: str, router: str) -> None:
    SETTINGS.update(DHT, dht_bootstrap_nodes=router)
    run(what, folder)


def meet(what: str, folder: str) -> None:
    SETTINGS["enable_lsd"] = True
    run(what, folder)


if __name__ == "__main__":
    {"make": make, "meet": meet, "dht": dht, "run": run}[sys.argv[1]](*sys.argv[2:])
