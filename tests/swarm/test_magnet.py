"""Magnet links are read as generously as other clients write them."""

import contextlib

import pytest
from hypothesis import given, strategies as st

from shoal.errors import ProtocolError
from shoal.swarm.magnet import LINK_MAX, LISTED_MAX, SELECTED_MAX, Magnet

V1 = bytes.fromhex("26e55a2595cfdc9fc2ac897a81af772b9119c509")
V2 = bytes.fromhex("0e7a6b9593ca210efb60edff13ca9ea862dab545a4b17b35454cdcf74e180b9f")


def test_every_field_survives_a_round_trip():
    magnet = Magnet(
        V1, V2, "a b&c=d ü", ("http://t/announce?x=1&y=2", "udp://t:80"),
        (("127.0.0.1", 6881), ("::1", 7)), (("dht.example", 1),), ("http://w/",), (0, 2, 4, 5, 6),
    )  # fmt: skip
    assert Magnet.parse(str(magnet)) == magnet
    assert "so=0,2,4-6" in str(magnet)
    assert "x.pe=[::1]:7" in str(magnet)


@pytest.mark.parametrize(
    "text",
    [
        "magnet:?xt=urn:btih:26E55A2595CFDC9FC2AC897A81AF772B9119C509",
        "magnet:?xt.1=urn:btih:26e55a2595cfdc9fc2ac897a81af772b9119c509",
        "MAGNET:?XT=URN:BTIH:E3SVUJMVZ7OJ7QVMRF5IDL3XFOIRTRIJ",
        "magnet:?xt=urn%3Abtih%3Ae3svujmvz7oj7qvmrf5idl3xfoirtrij",
        " 26e55a2595cfdc9fc2ac897a81af772b9119c509\n",
    ],
)
def test_the_hash_is_found_in_any_spelling(text):
    assert Magnet.parse(text).hash_v1 == V1


def test_v2_hashes_are_found():
    assert Magnet.parse(f"magnet:?xt=urn:btmh:1220{V2.hex()}").hash_v2 == V2
    assert Magnet.parse(V2.hex()).hash_v2 == V2
    assert Magnet.parse(f"1220{V2.hex()}").hash_v2 == V2


def test_a_plus_in_the_name_is_a_space():
    assert Magnet.parse(f"magnet:?xt=urn:btih:{V1.hex()}&dn=a+b").name == "a b"


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "magnet:?xt=", "magnet:?dn=x", "magnet:?xt=urn:btih:123",
        f"magnet:?xt=urn:btih:{'g' * 40}", f"magnet:?xt=urn:btmh:1114{V2.hex()}", "x" * 64,
        "magnet:?" + "x" * LINK_MAX,
    ],
)  # fmt: skip
def test_a_link_without_a_good_hash_is_refused(text):
    with pytest.raises(ProtocolError):
        Magnet.parse(text)


def test_lists_in_a_link_are_bounded():
    link = f"magnet:?xt=urn:btih:{V1.hex()}" + "".join(f"&tr=u{n}" for n in range(999))
    assert len(Magnet.parse(link).trackers) == LISTED_MAX
    chosen = Magnet.parse(
        f"magnet:?xt=urn:btih:{V1.hex()}&so=0-60000,70000-140000,3-1,x,9"
    ).selected
    assert chosen is not None
    assert len(chosen) <= SELECTED_MAX
    assert chosen[-1] == 9


@given(st.text(max_size=100))
def test_garbage_raises_nothing_but_protocol_errors(text):
    for link in (text, f"magnet:?{text}", f"magnet:?xt=urn:btih:{V1.hex()}&{text}"):
        with contextlib.suppress(ProtocolError):
            Magnet.parse(link)
