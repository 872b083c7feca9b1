"""The commonest messages, read and written without taking them apart.

Nearly all of a Grape's datagrams are get_peers, announce_peer and their
answers, written in the one way that bencoding's order of keys allows.  A
regular expression finds their parts; when the lengths written in front of them
are the lengths found, no other reading is possible.  Nothing is decided here: what is read is what
`krpc.decode` reads and what is written is what `krpc.encode_response` writes,
and all that is not recognised takes the long way.
"""

import re

from shoal.dht.krpc import Message, Query, Response, decode

QUERY = re.compile(
    rb"d1:ad2:id20:(.{20})9:info_hash(\d{1,4}):(.+)e1:q9:get_peers1:t(?:2:(..)|4:(.{4}))1:y1:qe",
    re.DOTALL,
).fullmatch
ANNOUNCE = re.compile(
    rb"d1:ad2:id20:(.{20})12:implied_porti([01])e9:info_hash(\d{1,4}):(.+)4:porti(\d{1,5})e"
    rb"5:token(\d{1,3}):(.+)e1:q13:announce_peer1:t(?:2:(..)|4:(.{4}))1:y1:qe",
    re.DOTALL,
).fullmatch
RESPONSE = re.compile(
    rb"d1:rd2:id20:(.{20})(?:(?:5:nodes(\d{1,5}):(.*))?5:token(\d{1,3}):(.*?)"
    rb"(?:6:valuesl((?:6:.{6})+)e)?)?e1:t4:(.{4})1:y1:re",
    re.DOTALL,
).fullmatch
VALUE_SIZE = 8  # bytes of a peer and the length in front of it
ASK = b"d1:ad2:id20:%b9:info_hash%d:%be1:q9:get_peers1:t4:%b1:y1:qe"
TELL = (
    b"d1:ad2:id20:%b12:implied_porti0e9:info_hash%d:%b4:porti%de5:token%d:%be"
    b"1:q13:announce_peer1:t4:%b1:y1:qe"
)


def read(data: bytes) -> Message:
    """As `krpc.decode`."""
    if data.startswith(b"d1:r"):
        match = RESPONSE(data)
        return _response(*match.groups()) or decode(data) if match else decode(data)
    if b"1:q13:announce_peer1:t" in data:
        match = ANNOUNCE(data)
        return _announce(*match.groups()) or decode(data) if match else decode(data)
    match = QUERY(data)
    if match is not None:
        node_id, length, name, short, long = match.groups()
        if int(length) == len(name):
            return Query(short or long, b"get_peers", {b"id": node_id, b"info_hash": name})
    return decode(data)


def _announce(
    node_id: bytes,
    implied: bytes,
    name_length: bytes,
    name: bytes,
    port: bytes,
    token_length: bytes,
    token: bytes,
    short: bytes,
    long: bytes,
) -> Query | None:
    """None if the parts are others than they seem."""
    if int(name_length) != len(name) or int(token_length) != len(token):
        return None
    arguments = {b"id": node_id, b"implied_port": int(implied), b"info_hash": name}
    arguments |= {b"port": int(port), b"token": token}
    return Query(short or long, b"announce_peer", arguments)


def _response(
    node_id: bytes,
    nodes_length: bytes | None,
    nodes: bytes,
    token_length: bytes | None,
    token: bytes,
    values: bytes | None,
    transaction: bytes,
) -> Response | None:
    """None if the parts are others than they seem."""
    result: dict[bytes, bytes | list[bytes]] = {b"id": node_id}
    if nodes_length:
        if int(nodes_length) != len(nodes):
            return None
        result[b"nodes"] = nodes
    if token_length:
        if int(token_length) != len(token):
            return None
        result[b"token"] = token
    if values:
        ends = range(VALUE_SIZE, len(values) + 1, VALUE_SIZE)
        result[b"values"] = [values[end - 6 : end] for end in ends]
    return Response(transaction, result)


def write_question(node_id: bytes, name: bytes, transaction: bytes) -> bytes:
    """get_peers."""
    return ASK % (node_id, len(name), name, transaction)


def write_announce(
    node_id: bytes, name: bytes, port: int, token: bytes, transaction: bytes
) -> bytes:
    """announce_peer."""
    return TELL % (node_id, len(name), name, port, len(token), token, transaction)


def write_done(node_id: bytes, transaction: bytes) -> bytes:
    """Yes: to an announce, a put or a ping."""
    return b"d1:rd2:id20:%be1:t%d:%b1:y1:re" % (node_id, len(transaction), transaction)


def write_answer(
    node_id: bytes, nodes: bytes, values: list[bytes], token: bytes, transaction: bytes
) -> bytes:
    """Peers of six bytes, or nodes, to whoever asked get_peers."""
    if values:
        listed = b"6:valuesl6:%be" % b"6:".join(values)
        return b"d1:rd2:id20:%b5:token%d:%b%be1:t%d:%b1:y1:re" % (
            node_id, len(token), token, listed, len(transaction), transaction
        )  # fmt: skip
    return b"d1:rd2:id20:%b5:nodes%d:%b5:token%d:%be1:t%d:%b1:y1:re" % (
        node_id, len(nodes), nodes, len(token), token, len(transaction), transaction
    )  # fmt: skip
