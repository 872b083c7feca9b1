"""An address is text for people and bytes for peers, and both say the same."""

from ipaddress import ip_address

import pytest
from hypothesis import given, strategies as st
from tests.peer.keys import A_ID, A_TEXT, B_ID, B_TEXT

from shoal.errors import ProtocolError
from shoal.peer import multiaddr
from shoal.peer.multiaddr import Multiaddr
from shoal.peer.protocols import BY_NAME, VALUE_MAX

A_BYTES = "a503260024080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
VECTORS = {  # written by js-libp2p
    "/ip4/127.0.0.1/tcp/4001": "047f000001060fa1",
    "/ip6/::1/tcp/4001": "2900000000000000000000000000000001060fa1",
    "/ip6zone/eth0/ip6/fe80::1/tcp/1": ("2a046574683029fe800000000000000000000000000001060001"),
    "/dns/example.com/tcp/443": "350b6578616d706c652e636f6d0601bb",
    "/dns4/example.com/tcp/443": "360b6578616d706c652e636f6d0601bb",
    "/dns6/example.com/tcp/443": "370b6578616d706c652e636f6d0601bb",
    "/dnsaddr/example.com": "380b6578616d706c652e636f6d",
    "/ip4/1.2.3.4/udp/4001/quic-v1": "040102030491020fa1cd03",
    "/ip4/1.2.3.4/udp/4001/quic": "040102030491020fa1cc03",
    "/ip4/1.2.3.4/tcp/80/ws": "0401020304060050dd03",
    "/ip4/1.2.3.4/tcp/80/wss": "0401020304060050de03",
    "/ip4/1.2.3.4/tcp/443/tls/sni/example.com/ws": (
        "04010203040601bbc003c1030b6578616d706c652e636f6ddd03"
    ),
    "/ip4/1.2.3.4/tcp/443/tls/http/http-path/a%2Fb": "04010203040601bbc003e003e10303612f62",
    "/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ": (
        "0401020304910200019802d203221220241f96b80cf18a52e3818d8c340a0c23bdc24224c0f62bfd5a96e291feda5ebd"
    ),
    "/ip4/1.2.3.4/udp/1/quic-v1/webtransport": "0401020304910200" + "01cd03d103",
    "/ip4/1.2.3.4/udp/1/webrtc": "040102030491020001" + "9902",
    "/ip4/1.2.3.4/tcp/1/noise": "0401020304060001" + "c603",
    f"/p2p/{A_TEXT}": A_BYTES,
    f"/p2p/{A_TEXT}/p2p-circuit": A_BYTES + "a202",
    "/unix/%2Ftmp%2Fs.sock": "90030b2f746d702f732e736f636b",
    "/memory/1234": "89060431323334",
    "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234": (
        "bd03adadec040be047f9658668b11a504f3155001f231a37f54c4476c07fb4cc139ed7e30304d2"
    ),
    "/onion/aaimaq4ygg2iegci:80": "bc03" + "0010c0439831b48218480050",
    "/ip4/10.0.0.0/ipcidr/8": "040a0000002b08",
    "/ip4/1.2.3.4/udp/1/utp": "040102030491020001ae02",
    "/ip4/1.2.3.4/tcp/1/https": "0401020304060001bb03",
    "/ip4/1.2.3.4/sctp/1": "040102030484010001",
}


@pytest.mark.parametrize(("text", "data"), VECTORS.items())
def test_addresses_have_the_bytes_of_the_vectors(text: str, data: str) -> None:
    address = Multiaddr.parse(text)
    assert address.bytes.hex() == data
    assert str(address) == text
    assert Multiaddr.decode(memoryview(bytes.fromhex(data))) == address
    assert repr(address) == f"Multiaddr({text})"


def test_every_word_is_covered_by_a_vector() -> None:
    said = {name for text in VECTORS for name in Multiaddr.parse(text).names}
    assert set(BY_NAME) - said <= {"ipfs", "dccp", "udt"}


@pytest.mark.parametrize(("text", "data"), VECTORS.items())
def test_an_address_that_is_cut_short_is_refused_or_ends_between_words(
    text: str, data: str
) -> None:
    whole = bytes.fromhex(data)
    for end in range(len(whole)):
        try:
            shorter = Multiaddr.decode(whole[:end])
        except ProtocolError:
            continue
        assert text.startswith(str(shorter))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (f"/ipfs/{A_TEXT}", f"/p2p/{A_TEXT}"),
        (f"/p2p/{A_ID.cid()}", f"/p2p/{A_TEXT}"),
        (f"/p2p/{A_ID.cid('base36')}", f"/p2p/{A_TEXT}"),
        ("/ip6/0:0:0:0:0:0:0:1", "/ip6/::1"),
        ("/ip4/1.2.3.4/tcp/080", "/ip4/1.2.3.4/tcp/80"),
        ("/unix/%2ftmp%2Fa%20b", "/unix/%2Ftmp%2Fa%20b"),
        ("/http-path/é", "/http-path/%C3%A9"),
        ("/webrtc/certhash/f0003666f6f", "/webrtc/certhash/uAANmb28"),
    ],
)
def test_another_text_of_an_address_is_the_same_address(text: str, same: str) -> None:
    assert str(Multiaddr.parse(text)) == same
    assert hash(Multiaddr.parse(text)) == hash(Multiaddr.parse(same))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "ip4/1.2.3.4",
        "//ip4/1.2.3.4",
        "/ip4",
        "/ip4/",
        "/ip4/1.2.3.4/",
        "/ip4/1.2.3",
        "/ip4/256.1.1.1",
        "/ip4/01.2.3.4",
        "/ip4/::1",
        "/ip6/fe80::1%eth0",
        "/ip6/1.2.3.4",
        "/ip4/1.2.3.4/tcp",
        "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/tcp/-1",
        "/ip4/1.2.3.4/tcp/+1",
        "/ip4/1.2.3.4/tcp/1_0",
        "/ip4/1.2.3.4/tcp/٣",
        "/ip4/1.2.3.4/tcp/http",
        "/ip4/10.0.0.0/ipcidr/256",
        "/dns/",
        "/dns/a b",
        "/dns/a\nb",
        "/unix/",
        "/unix/%2",
        "/unix/%zz",
        "/p2p/",
        "/p2p/Qm",
        "/certhash/",
        "/certhash/uAA",
        "/certhash/x",
        "/onion3/abc:1",
        "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd",
        "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:0",
        "/onion3/0ww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1",
        "/onion/aaimaq4ygg2iegc1:80",
        "/nothing",
        "/tls/1",
        "/dns/\ud800",
        "/dns/" + "a" * (VALUE_MAX + 1),
        "/dns/" + "a" * multiaddr.TEXT_MAX,
        "/tls" * (multiaddr.PARTS_MAX + 1),
        "/tls" * 600,
    ],
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        Multiaddr.parse(text)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "04",
        "04010203",
        "0601",
        "35",
        "3505616263",
        "3500",
        "3501ff",
        "35012f",
        "350120",
        "7f",
        "8400",
        "900300",
        "a5030100",
        "d2030100",
        "d20300",
        "bd03" + "00" * 37,
        "35ffffffffffffffff7f",
        "358104" + "61" * (VALUE_MAX + 1),
        "c003" * (multiaddr.PARTS_MAX + 1),
        "c003" * multiaddr.BYTES_MAX,
    ],
)
def test_bytes_that_are_no_address_are_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        Multiaddr.decode(bytes.fromhex(data))


@given(data=st.binary(max_size=40))
def test_any_bytes_are_refused_or_make_a_round_trip(data: bytes) -> None:
    try:
        address = Multiaddr.decode(data)
    except ProtocolError:
        return
    assert Multiaddr.parse(str(address)) == address


def test_the_limits_can_be_reached() -> None:
    assert len(Multiaddr.parse("/tls" * multiaddr.PARTS_MAX).parts) == multiaddr.PARTS_MAX
    assert Multiaddr.parse("/dns/" + "a" * VALUE_MAX).host == "a" * VALUE_MAX


def test_an_address_tells_its_parts() -> None:
    address = Multiaddr.parse(f"/ip4/1.2.3.4/udp/4001/quic-v1/p2p/{A_TEXT}")
    assert address.names == ("ip4", "udp", "quic-v1", "p2p")
    assert address.parts[1] == ("udp", "4001")
    assert (address.host, address.port, address.peer) == ("1.2.3.4", 4001, A_ID)
    assert address.ip == ip_address("1.2.3.4")
    assert address.get("quic-v1") == ""
    assert address.get("tcp") is None
    nowhere = Multiaddr.parse("/webrtc")
    assert (nowhere.host, nowhere.ip, nowhere.port, nowhere.peer) == (None, None, None, None)
    zoned = Multiaddr.parse("/ip6zone/eth0/ip6/fe80::1/tcp/1")
    assert (zoned.host, zoned.ip) == ("fe80::1%eth0", ip_address("fe80::1"))


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("1.2.3.4", "/ip4/1.2.3.4/tcp/80"),
        ("::1", "/ip6/::1/tcp/80"),
        ("fe80::1%eth0", "/ip6zone/eth0/ip6/fe80::1/tcp/80"),
        ("localhost", "/dns/localhost/tcp/80"),
    ],
)
def test_the_address_of_a_socket_is_made_and_taken_apart(host: str, text: str) -> None:
    assert str(Multiaddr.of(host, 80)) == text
    assert Multiaddr.of(host, 80).host == host


@pytest.mark.parametrize("host", ["a/tcp/1", "", "a b"])
def test_a_host_cannot_smuggle_words_in(host: str) -> None:
    with pytest.raises(ProtocolError):
        Multiaddr.of(host, 80)


def test_addresses_are_joined_with_a_slash() -> None:
    address = Multiaddr.parse("/ip4/1.2.3.4/tcp/1")
    relayed = address / f"p2p/{A_TEXT}" / "/p2p-circuit" / Multiaddr.parse(f"/p2p/{B_TEXT}")
    assert str(relayed) == f"/ip4/1.2.3.4/tcp/1/p2p/{A_TEXT}/p2p-circuit/p2p/{B_TEXT}"
    assert relayed.peer == B_ID
    assert relayed.relay == address.with_peer(A_ID)
    assert relayed.without_peer().peer is None
    assert address.relay is None
    assert Multiaddr.parse("/p2p-circuit").relay is None


def test_the_peer_at_the_end_is_put_there_and_taken_off() -> None:
    bare = Multiaddr.parse("/ip4/1.2.3.4/tcp/1")
    named = bare.with_peer(A_ID)
    assert named.with_peer(A_ID) is named
    assert named.without_peer() == named.without_peer(A_ID) == bare
    assert named.without_peer(B_ID) == named
    assert bare.without_peer() is bare
    only = Multiaddr.parse(f"/p2p/{A_TEXT}")
    assert only.without_peer() is only


def test_parsing_is_remembered() -> None:
    text = "/ip4/9.8.7.6/tcp/1"
    assert Multiaddr.parse(text) is Multiaddr.parse(text)


def test_addresses_are_ordered_by_their_bytes() -> None:
    low, high = Multiaddr.parse("/ip4/1.2.3.4"), Multiaddr.parse("/ip4/1.2.3.5")
    assert sorted([high, low]) == [low, high]
    assert low != "/ip4/1.2.3.4"
