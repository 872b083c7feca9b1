"""An id is bound to the address it stands at."""

import random

import pytest
from hypothesis import given, strategies as st

from shoal.dht.krpc import pack_host
from shoal.dht.mainline.node_id import bound_id, checksum, crc32c, group_of, is_bound, is_local

VECTORS = [  # BEP 42, with the whole checksum
    ("124.31.75.21", 1, "5fbfbdb2"),
    ("21.75.31.124", 86, "5a3ce9b0"),
    ("65.23.51.170", 22, "a5d4344a"),
    ("84.124.73.14", 65, "1b03217b"),
    ("43.213.53.83", 90, "e56f6972"),
    ("2001:db8:85a3::8a2e:370:7334", 1, "dc840c08"),
    ("2001:db8::1", 7, "5f88f172"),
]


@pytest.mark.parametrize(("host", "last", "expected"), VECTORS)
def test_the_vectors(host: str, last: int, expected: str) -> None:
    packed = pack_host(host)
    assert checksum(packed, last) == int(expected, 16)
    node_id = bytearray(20)
    node_id[:3] = bytes.fromhex(expected)[:3]
    node_id[19] = last
    assert is_bound(bytes(node_id), packed)
    node_id[2] ^= 0b111  # the low three bits of the third byte are free
    assert is_bound(bytes(node_id), packed)
    node_id[2] ^= 0b1000
    assert not is_bound(bytes(node_id), packed)


def test_the_check_value_of_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@given(packed=st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16))
def test_an_id_made_for_an_address_is_bound_to_it(packed: bytes) -> None:
    rng = random.Random(packed)
    node_id = bound_id(packed, rng)
    assert len(node_id) == 20
    assert is_bound(node_id, packed)
    other = bytes([packed[0] ^ 1, *packed[1:]])
    assert is_local(other) or not is_bound(node_id, other)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.9.9",
        "169.254.1.1",
        "::1",
        "fd00::1",
        "fe80::2",
    ],
)
def test_local_addresses_are_exempt(host: str) -> None:
    assert is_bound(bytes(20), pack_host(host))
    assert group_of(pack_host(host)) is None


def test_public_addresses_form_groups() -> None:
    assert group_of(pack_host("8.7.6.5")) == group_of(pack_host("8.7.1.1")) == bytes([8, 7])
    assert group_of(pack_host("172.32.0.1")) == bytes([172, 32])
    assert group_of(pack_host("192.169.0.1")) == bytes([192, 169])
    assert group_of(pack_host("2001:db8:1::1")) == group_of(pack_host("2001:db8:2::1"))
    assert not is_bound(bytes(20), pack_host("8.7.6.5"))
