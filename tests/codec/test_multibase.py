"""Text in the bases of multibase: the specification's vectors, and one text for each value."""

import pytest
from hypothesis import given, strategies as st

from shoal.codec import multibase
from shoal.errors import ProtocolError, UsageError

BASES = list(multibase._BASES)
VECTORS = {  # multiformats/multibase, tests/basic.csv: "yes mani !"
    "base16": "f796573206d616e692021",
    "base16upper": "F796573206D616E692021",
    "base32": "bpfsxgidnmfxgsibb",
    "base32upper": "BPFSXGIDNMFXGSIBB",
    "base32hex": "vf5in683dc5n6i811",
    "base32pad": "cpfsxgidnmfxgsibb",
    "base32z": "hxf1zgedpcfzg1ebb",
    "base36": "k2lcpzo5yikidynfl",
    "base58btc": "z7paNL19xttacUY",
    "base58flickr": "Z7Pznk19XTTzBtx",
    "base64": "meWVzIG1hbmkgIQ",
    "base64pad": "MeWVzIG1hbmkgIQ==",
    "base64url": "ueWVzIG1hbmkgIQ",
    "base64urlpad": "UeWVzIG1hbmkgIQ==",
}
LEADING_ZEROS = {  # the same, tests/two_leading_zeros.csv: "\0\0yes mani !"
    "base16": "f0000796573206d616e692021",
    "base32": "baaahszltebwwc3tjeaqq",
    "base36": "k002lcpzo5yikidynfl",
    "base58btc": "z117paNL19xttacUY",
    "base64": "mAAB5ZXMgbWFuaSAh",
}


@pytest.mark.parametrize(("base", "text"), VECTORS.items())
def test_the_vectors_of_the_specification_hold(base: str, text: str) -> None:
    assert multibase.encode(b"yes mani !", base) == text
    assert multibase.decode(text) == b"yes mani !"


@pytest.mark.parametrize(("base", "text"), LEADING_ZEROS.items())
def test_leading_zeros_are_kept(base: str, text: str) -> None:
    assert multibase.encode(b"\0\0yes mani !", base) == text
    assert multibase.decode(text) == b"\0\0yes mani !"


@pytest.mark.parametrize("base", BASES)
@given(data=st.binary(max_size=70))
def test_all_bytes_make_a_round_trip(base: str, data: bytes) -> None:
    assert multibase.decode(multibase.encode(data, base)) == data


@given(text=st.text(max_size=20))
@pytest.mark.parametrize("prefix", [base.prefix for base in multibase._ALL] + [""])
def test_a_text_is_refused_or_the_only_one(prefix: str, text: str) -> None:
    try:
        data = multibase.decode(prefix + text)
    except ProtocolError:
        return
    base = multibase._PREFIXES[(prefix + text)[0]]
    assert multibase.encode(data, base.name).lower() == (prefix + text).lower()


@pytest.mark.parametrize(
    "text", ["f796573206D616E692021", "BpFsXgIdNmFxGsIbB", "k2LCPZO5yikidynfl"]
)
def test_either_case_is_read_in_bases_that_have_one(text: str) -> None:
    assert multibase.decode(text) == b"yes mani !"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?abc",
        "f0",
        "f 00",
        "fzz",
        "ba",
        "bab",
        "b0a",
        "baa======",
        "cae",
        "z0",
        "zé",
        "k!",
        "hl2",
        "mA",
        "mAB",
        "mA-==",
        "mAA==",
        "MAA",
        "uA+8",
        "m AAA",
        "mé",
    ],
)
def test_a_text_out_of_form_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        multibase.decode(text)


def test_length_is_bounded() -> None:
    assert multibase.decode("f" + "0" * (multibase.TEXT_MAX - 2)) is not None
    with pytest.raises(ProtocolError, match="over"):
        multibase.decode("f" + "0" * multibase.TEXT_MAX)
    assert len(multibase.decode("z" + "1" * multibase.BIG_NUMBER_MAX)) == multibase.BIG_NUMBER_MAX
    with pytest.raises(ProtocolError, match="over"):
        multibase.decode("z" + "1" * (multibase.BIG_NUMBER_MAX + 1))
    with pytest.raises(UsageError, match="too many"):
        multibase.encode(bytes(multibase.BIG_NUMBER_MAX + 1), "base58btc")


def test_an_unknown_base_is_our_mistake() -> None:
    with pytest.raises(UsageError, match="base32"):
        multibase.encode(b"", "base1024")
