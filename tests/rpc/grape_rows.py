"""Questions to a Grape and their answers, the same from ours and from the original."""

import json
from typing import Any

PUBLIC = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
SIGNED = {
    "v": "hi",
    "k": PUBLIC,
    "seq": 1,
    "sig": "c6734d0167c8f24c0a3d2e459db4ca3503ee2d01a3b80ea6c991b8f722dbf27c"
    "d027b12903739b17b032cf6fd65fa5b4803cec1745a78ea3a8ecb1ac8134950c",
}
SIGNED_KEY = "9ad19e0f16eef714cb90c6f195dbce66e94580f9"
SALTED = {
    "v": "sv",
    "k": PUBLIC,
    "seq": 1,
    "salt": "blog",
    "sig": "b3c7430fb0931d114f08ae0cf69bf8486a1b0de756f34e42aaf0eeccc7f30f1f"
    "2c72f5be7d2decc06c672abbbdcf926492dc94083cb959b434211fb311cba002",
}
SALTED_KEY = "d7f7930f0dd691be6efc6dab30723d06d7bee27a"
VECTORS = {
    "hello": "e28910ea0adb94dd45ced75fbff3e135c01bc437",
    "Hello, P2P World!": "7d5ac672434bdc1efa33844fec0bfc710b1a132d",
}
UNKNOWN = "e28910ea0adb94dd45ced75fbff3e135c01bc438"
SIGNATURE = "00" * 64
KEY = "00" * 32


def question(data: Any) -> bytes:
    return json.dumps({"rid": "r", "data": data}).encode()


def put(**fields: Any) -> tuple[str, bytes]:
    return "put", question(fields)


def words(text: str) -> bytes:
    return json.dumps(text).encode()


Row = tuple[tuple[str, bytes], int, bytes]

REFUSED: list[Row] = [
    (("lookup", question("")), 200, words("ERR_GRAPE_LOOKUP")),
    (("lookup", question(7)), 200, words("ERR_GRAPE_LOOKUP")),
    (("lookup", b"{}"), 200, words("ERR_GRAPE_LOOKUP")),
    (("lookup", b"5"), 200, words("ERR_GRAPE_LOOKUP")),
    (("lookup", b"[]"), 200, words("ERR_GRAPE_LOOKUP")),
    (("lookup", question("nobody")), 200, b"[]"),
    (("lookup", b"null"), 500, b"Cannot read properties of null (reading 'data')"),
    (("lookup", b"junk"), 500, b"ERR_GRAPE_PAYLOAD_INVALID"),
    (("lookup", b""), 500, b"ERR_GRAPE_PAYLOAD_INVALID"),
    (("lookup", b'"' + b"x" * 9000 + b'"'), 413, b"ERR_GRAPE_PAYLOAD_SIZE"),
    (("nothing", question(1)), 200, words("ERR_REQ_NOTFOUND")),
    (("lookup?x", question("a")), 200, words("ERR_REQ_NOTFOUND")),
    (("nothing", b"junk"), 500, b"ERR_GRAPE_PAYLOAD_INVALID"),
    (("announce", question("x")), 200, words("ERR_GRAPE_ANNOUNCE")),
    (("announce", question(["x"])), 200, words("ERR_GRAPE_SERVICE_PORT")),
    (("announce", question(["x", "7"])), 200, words("ERR_GRAPE_SERVICE_PORT")),
    (("announce", question(["x", 1.5])), 200, words("ERR_GRAPE_SERVICE_PORT")),
    (("put", question({})), 200, words("opts.v not given")),
    (("put", question(None)), 500, b"Cannot read properties of null (reading 'k')"),
    (put(v="x" * 1000), 200, words("v must be less than 1000 bytes in put()")),
    (put(v="x", k="00"), 200, words("opts.k ed25519 public key must be 32 bytes")),
    (
        put(v="x", k=KEY),
        200,
        words("opts.sign function or options.sig signature is required for mutable put"),
    ),
    (
        put(v="x", k=KEY, sig=SIGNATURE),
        200,
        words("opts.seq not provided for a mutable update"),
    ),
    (put(v="x", k=KEY, sig=SIGNATURE, seq="a"), 200, words("opts.seq not an integer")),
    (
        put(v="x", k=KEY, sig=SIGNATURE, seq=1, salt="s" * 65),
        200,
        words("opts.salt is > 64 bytes long"),
    ),
    (
        put(v="x", k=KEY, sig=SIGNATURE, seq=1, cas="s"),
        200,
        words("opts.cas must be an integer if provided"),
    ),
    (put(v="x", k=KEY, sig=SIGNATURE, seq=1), 200, words("All queries failed")),
    (("get", question(7)), 200, words("ERR_GRAPE_GENERIC")),
    (("get", question(None)), 500, b"Cannot read properties of null (reading 'salt')"),
    (("get", question(UNKNOWN)), 200, b""),
]
TAKEN: list[Row] = [
    (("announce", question(["rest:util:net", 1337])), 200, b"1"),
    (("lookup", question("rest:util:net")), 200, b'["127.0.0.1:1337"]'),
    *((put(v=value), 200, words(key)) for value, key in VECTORS.items()),
]
