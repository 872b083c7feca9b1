"""A libtorrent session whose DHT does what lines of JSON on its stdin say.

Run by the interpreter that has libtorrent, so it imports nothing of ours.
"""

import json
import sys
import threading
import time

import libtorrent as lt  # type: ignore[import-not-found]

PAUSE = 0.02  # seconds between two looks at the alerts


def say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def open_session(router: str) -> object:
    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": True,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "dht_bootstrap_nodes": router,
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_block_ratelimit": 100_000_000,
            "dht_upload_rate_limit": 1_000_000_000,
            "dht_prefer_verified_node_ids": False,
            "alert_mask": lt.alert.category_t.all_categories,
        }
    )
    if router:
        host, port = router.split(":")
        session.add_dht_node((host, int(port)))
    return session


def report(alert: object) -> None:
    kind = type(alert).__name__
    if kind == "dht_get_peers_reply_alert":
        peers = [f"{host}:{port}" for host, port in alert.peers()]
        say(peers=peers, hash=str(alert.info_hash))
    elif kind == "dht_immutable_item_alert":
        say(got=text(alert.item), key=str(alert.target))
    elif kind == "dht_mutable_item_alert":
        say(got=text(alert.item), sequence=alert.seq, authoritative=alert.authoritative)
    elif kind == "dht_put_alert":
        say(stored=alert.num_success, key=str(alert.target))


def text(item: object) -> object:
    if isinstance(item, dict):
        item = item.get("value", item)
    return item.decode() if isinstance(item, bytes) else item


def obey(session: object, command: dict[str, str]) -> None:
    verb = command["verb"]
    if verb in ("announce", "lookup"):
        hash_ = lt.sha1_hash(bytes.fromhex(command["hash"]))
        if verb == "announce":
            session.dht_announce(hash_, int(command["port"]), 0)
        else:
            session.dht_get_peers(hash_)
    elif verb == "put":
        session.dht_put_immutable_item(command["value"].encode())
    elif verb == "get":
        session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(command["key"])))
    elif verb == "sign":
        public, secret = map(bytes.fromhex, (command["public"], command["secret"]))
        session.dht_put_mutable_item(
            secret, public, command["value"].encode(), command["salt"].encode()
        )
    elif verb == "follow":
        session.dht_get_mutable_item(bytes.fromhex(command["public"]), command["salt"].encode())


def main() -> None:
    session = open_session(sys.argv[1] if len(sys.argv) > 1 else "")
    while not session.listen_port() or not session.is_dht_running():
        time.sleep(PAUSE)
    say(port=session.listen_port())

    def listen() -> None:
        for line in sys.stdin:
            obey(session, json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    while True:
        for alert in session.pop_alerts():
            report(alert)
        time.sleep(PAUSE)


main()
