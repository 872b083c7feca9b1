"""An item proves itself: BEP 44's vectors and what is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal.dht.krpc import BAD_SIGNATURE, PROTOCOL_ERROR, SALT_TOO_BIG, TOO_BIG
from shoal.dht.mainline.items import (
    Item,
    accept,
    fault_of,
    from_fields,
    make_immutable,
    make_mutable,
    signed_part,
    to_fields,
)
from shoal.errors import ProtocolError, UsageError

KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
BEP44_PUBLIC = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")


def test_the_vectors_of_bep_44() -> None:
    plain = Item(
        b"Hello World!",
        BEP44_PUBLIC,
        1,
        bytes.fromhex(
            "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
            "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"
        ),
    )
    salted = Item(
        b"Hello World!",
        BEP44_PUBLIC,
        1,
        bytes.fromhex(
            "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d"
            "df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"
        ),
        b"foobar",
    )
    assert signed_part(b"12:Hello World!", 1, b"") == b"3:seqi1e1:v12:Hello World!"
    assert (
        signed_part(b"12:Hello World!", 1, b"foobar") == b"4:salt6:foobar3:seqi1e1:v12:Hello World!"
    )
    assert plain.key.hex() == "4a533d47ec9c7d95b1ad75f576cffc641853b750"
    assert salted.key.hex() == "411eba73b6f087ca51a3795d9c8c938d365e32c1"
    assert fault_of(plain) is None
    assert fault_of(salted) is None
    assert Item(b"Hello World!").key.hex() == "e5f96f6f38320f0f33959cb4d3d656452117aadb"


def test_what_libtorrent_accepted() -> None:
    plain = make_mutable(b"Hello World!", PUBLIC, KEY.sign, sequence=1)
    salted = make_mutable(b"Hello World!", PUBLIC, KEY.sign, sequence=1, salt=b"foobar")
    assert PUBLIC.hex() == "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
    assert plain.key.hex() == "9ad19e0f16eef714cb90c6f195dbce66e94580f9"
    assert plain.signature.hex().startswith("0693c9b1e6091a0c8f24cb928c29396f065d3b3cdef6dfad4b6f")
    assert salted.key.hex() == "8926e042606c5809bc4b5dc80698d69e9e4e22a0"
    assert salted.signature.hex().startswith("7877c0ea30d6c262dd322b0448a1d67534b3d6f9bd5799c7d6e8")


def test_items_travel_and_belong_under_their_key() -> None:
    item = make_mutable([b"list", 5], PUBLIC, KEY.sign, sequence=7, salt=b"s")
    assert accept(to_fields(item), item.key, b"s") == item
    assert accept(to_fields(item), item.key) is None  # without its salt it belongs elsewhere
    assert accept(to_fields(make_immutable(b"x")), item.key, b"s") is None
    assert accept({}, item.key) is None
    changed = {**to_fields(item), b"seq": 8}
    assert accept(changed, item.key, b"s") is None


def test_what_nobody_should_keep() -> None:
    good = make_mutable(b"v", PUBLIC, KEY.sign, sequence=1)
    big = b"x" * 997
    faults = [
        (Item(big), TOO_BIG),
        (Item(b"v", PUBLIC, 2, good.signature), BAD_SIGNATURE),
        (Item(b"w", PUBLIC, 1, good.signature), BAD_SIGNATURE),
        (Item(b"v", PUBLIC, 1, good.signature, b"s" * 65), SALT_TOO_BIG),
        (Item(b"v", PUBLIC[:31], 1, good.signature), PROTOCOL_ERROR),
        (Item(b"v", PUBLIC, 1, good.signature[:63]), PROTOCOL_ERROR),
        (Item(b"v", PUBLIC, -1, good.signature), PROTOCOL_ERROR),
        (Item(b"v", b"\xff" * 32, 1, good.signature), BAD_SIGNATURE),
    ]
    for item, code in faults:
        fault = fault_of(item)
        assert fault is not None
        assert fault[0] == code
    assert fault_of(Item(b"x" * 996)) is None


def test_we_do_not_make_what_others_would_refuse() -> None:
    with pytest.raises(UsageError):
        make_immutable(b"x" * 997)
    with pytest.raises(UsageError):
        make_mutable(b"v", PUBLIC, KEY.sign, sequence=1, salt=b"s" * 65)
    with pytest.raises(UsageError):
        make_mutable(b"v", PUBLIC, KEY.sign, sequence=-1)


def test_parts_of_the_wrong_kind_are_protocol_errors() -> None:
    assert from_fields({b"k": b"key"}) is None
    for fields in (
        {b"v": b"v", b"k": 5},
        {b"v": b"v", b"k": PUBLIC, b"seq": b"1", b"sig": bytes(64)},
        {b"v": b"v", b"k": PUBLIC, b"seq": 1},
    ):
        with pytest.raises(ProtocolError):
            from_fields(fields)
