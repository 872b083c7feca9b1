"""shoal dht --network libp2p finds and stores on a DHT that another shoal dht serves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from random import Random

import pytest
from tests.interop.children import Child

from shoal.cli.kad import parse_key
from shoal.codec import multibase, multihash
from shoal.errors import UsageError
from shoal.peer.id import PeerId
from shoal.peer.key import PrivateKey

HELLO = multihash.sha256(b"hello")
CID = multibase.encode(b"\x01\x55" + HELLO)
PEER = PeerId.of(PrivateKey.generate(Random(1)).public)
COMMAND = [sys.executable, "-m", "shoal", "--json", "dht", "--network", "libp2p"]


@pytest.fixture(scope="module")
def router() -> Iterator[str]:
    with Child([*COMMAND, "serve"], ready=r'"addresses": \["([^"]+)"') as child:
        assert child.match
        yield child.match[1]


def dht(router: str, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    done = subprocess.run(
        [*COMMAND, "--bootstrap", router, *arguments],
        capture_output=True,
        text=True,
        timeout=15,
        env=dict(os.environ),
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_what_is_announced_is_found_hop_by_hop(router: str) -> None:
    assert dht(router, "announce", CID) == (0, [{"peers": 1}])
    code, events = dht(router, "--trace", "peers", HELLO.hex())
    assert code == 0
    assert [event["trace"] for event in events if "trace" in event][:2] == ["asked", "answered"]
    (found,) = [event for event in events if "peer" in event]
    assert found["addresses"]
    code, (table,) = dht(router, "find", str(PEER))
    assert [row["id"] for row in table["peers"]] == [router.split("/p2p/")[1]]  # type: ignore[attr-defined]
    crawled = dht(router, "crawl")[1][-1]  # who announced may be remembered for a moment
    assert crawled["peers"] in (1, 2)  # type: ignore[index]


@pytest.mark.slow
def test_a_signed_value_is_stored_and_got(router: str) -> None:
    secret = ["--secret", "01" * 32]
    for text in ("one", "two"):
        code, (stored,) = dht(router, "put", text, *secret)
        assert code == 0
        assert dht(router, "get", str(stored["key"]))[1][0]["value"] == text


@pytest.mark.slow
def test_what_fails_has_its_exit_code(router: str) -> None:
    assert dht(router, "get", f"/ipns/{PEER}")[0] == 3
    assert dht(router, "peers", multihash.sha256(b"nobody has it").hex())[0] == 3
    assert dht(f"/ip4/127.0.0.1/tcp/9/p2p/{PEER}", "find", str(PEER))[0] == 4
    assert dht(router, "put", "unsigned")[0] == 2
    assert dht("127.0.0.1:9", "find", str(PEER))[0] == 2
    assert dht("/dnsaddr/example.org", "find", str(PEER))[0] == 2


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (str(PEER), PEER.bytes),
        (PEER.cid(), PEER.bytes),
        (CID, HELLO),
        (HELLO.hex(), HELLO),
        (multibase.encode_base58(HELLO), HELLO),
        (f"/ipns/{PEER}", b"/ipns/" + PEER.bytes),
        (f"/pk/{PEER}", b"/pk/" + PEER.bytes),
    ],
)
def test_keys_are_ids_cids_multihashes_and_names(text: str, key: bytes) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize("text", ["", "zz", "/", "/ipns", "/other/" + str(PEER), "b1", "bafk"])
def test_what_is_none_of_them_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError):
        parse_key(text)
