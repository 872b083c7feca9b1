"""Every decoder that takes bytes from strangers, one line each: name, callable, seed corpus.

The callable gets `bytes` or a `memoryview` and may raise ProtocolError, nothing
else.  Seeds are a few good inputs of different shapes; a shape that no seed has
will hardly be found.
"""

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import apps, dht, discovery, kad, kept, net, rpc, seeds, swarm

from shoal.apps import parcel
from shoal.codec import bencode, multibase, multihash, varint
from shoal.codec.buffer import Buffer
from shoal.discovery import lsd
from shoal.net import identify
from shoal.net.secure import certificate
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey, PublicKey
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.record import PeerRecord
from shoal.rpc.record import ServiceRecord


class Decoder(NamedTuple):
    """A row of the table."""

    name: str
    call: Callable[[bytes | memoryview], object]
    seeds: tuple[bytes, ...]


def text(call: Callable[[str], object]) -> Callable[[bytes | memoryview], object]:
    """For a decoder that takes str: half the inputs are Latin letters, half any characters."""
    return lambda data: call(bytes(data).decode("utf-8" if len(data) % 2 else "latin-1", "replace"))


def frames(data: bytes | memoryview) -> None:
    buffer = Buffer(1000)
    for byte in data:
        buffer.append(bytes((byte,)))
        while varint.take_frame(buffer, 300) is not None:
            pass


DECODERS = (
    Decoder("varint", varint.decode, seeds.VARINTS),
    Decoder("frames", frames, seeds.FRAMES),
    Decoder("bencode", bencode.decode, seeds.BENCODE),
    Decoder("bencode-lenient", lambda data: bencode.decode(data, lenient=True), seeds.BENCODE),
    Decoder("bencode-prefix", bencode.decode_prefix, seeds.BENCODE),
    Decoder("bencode-raw", lambda data: bencode.raw(data, b"a", b"id"), seeds.BENCODE),
    Decoder("protobuf", seeds.Everything.decode, seeds.MESSAGES),
    Decoder("multibase", text(multibase.decode), seeds.MULTIBASE),
    Decoder("multihash", multihash.decode, seeds.MULTIHASHES),
    Decoder("public-key", PublicKey.decode, seeds.PUBLIC_KEYS),
    Decoder("private-key", PrivateKey.decode, seeds.PRIVATE_KEYS),
    Decoder("peer-id", PeerId, seeds.PEER_IDS),
    Decoder("peer-id-key", lambda data: PeerId(data).public_key, seeds.PEER_IDS),
    Decoder("peer-id-text", text(PeerId.parse), seeds.PEER_ID_TEXTS),
    Decoder("multiaddr", Multiaddr.decode, seeds.MULTIADDRS),
    Decoder("multiaddr-text", text(Multiaddr.parse), seeds.MULTIADDR_TEXTS),
    Decoder("peer-record", PeerRecord.open, seeds.RECORDS),
    Decoder("identify", identify.read, net.IDENTIFY),
    Decoder("multistream-dialer", net.dialer, net.DIALERS),
    Decoder("multistream-listener", net.listener, net.LISTENERS),
    Decoder("noise-initiator", net.noise_initiator, net.NOISE_INITIATOR),
    Decoder("noise-responder", net.noise_responder, net.NOISE_RESPONDER),
    Decoder("noise-payload", net.noise_payload, net.PAYLOADS),
    Decoder("noise-hybrid", net.post_quantum, net.POST_QUANTUM),
    Decoder("noise-records", net.records, net.RECORDS),
    Decoder("tls", net.tls, net.TLS),
    Decoder("tls-extension", certificate.decode_extension, net.EXTENSIONS),
    Decoder("yamux", net.yamux, net.YAMUX),
    Decoder("mplex", net.mplex, net.MPLEX),
    Decoder("krpc", dht.decode, dht.KRPC),
    Decoder("mainline-node", dht.node, dht.KRPC),
    Decoder("kad-node", kad.node, kad.MESSAGES),
    Decoder("ipns", kad.name, kad.RECORDS),
    Decoder("dag-cbor-map", kad.cbor, kad.MAPS),
    Decoder("mainline-table", kept.mainline_table, kept.MAINLINE_TABLES),
    Decoder("home-file", kept.home_file, kept.HOME_FILES),
    Decoder("compact-addresses", discovery.addresses, discovery.ADDRESSES),
    Decoder("tracker-query", discovery.query, discovery.QUERIES),
    Decoder("tracker-scrape-query", discovery.scrape_query, discovery.SCRAPES),
    Decoder("tracker-answer", discovery.answer, discovery.ANSWERS),
    Decoder("tracker-scraped", discovery.scraped, discovery.SCRAPED),
    Decoder("tracker-udp-request", discovery.udp_request, discovery.UDP_REQUESTS),
    Decoder("tracker-udp-reply", discovery.udp_reply, discovery.UDP_REPLIES),
    Decoder("tracker-index", kept.tracker_index, kept.TRACKER_INDICES),
    Decoder("mdns", discovery.mdns_node, discovery.MDNS),
    Decoder("lsd", lsd.decode, discovery.LSD),
    Decoder("torrent", swarm.torrent, swarm.TORRENTS),
    Decoder("torrent-info", swarm.info, swarm.INFOS),
    Decoder("magnet", text(swarm.magnet), swarm.MAGNETS),
    Decoder("resume-note", swarm.resume, swarm.RESUMES),
    Decoder("bittorrent-handshake", swarm.handshake, swarm.HANDSHAKES),
    Decoder("bittorrent-hello", swarm.hello, swarm.HELLOS),
    Decoder("bittorrent-wire", swarm.wire, swarm.WIRES),
    Decoder("bittorrent-metadata", swarm.metadata, swarm.METADATA),
    Decoder("grenache-request", rpc.request, rpc.REQUESTS),
    Decoder("grenache-reply", rpc.reply, rpc.REPLIES),
    Decoder("grenache-stream", rpc.stream, rpc.STREAMS),
    Decoder("grape-answer", rpc.grape_answer, rpc.GRAPE_ANSWERS),
    Decoder("grenache-compressed", rpc.compressed, rpc.COMPRESSED),
    Decoder("service-calls", rpc.calls, rpc.CALLS),
    Decoder("parcel", parcel.decode, apps.PARCELS),
    Decoder("service-record", ServiceRecord.open, rpc.RECORDS),
)
BY_NAME = {decoder.name: decoder for decoder in DECODERS}
