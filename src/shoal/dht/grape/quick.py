"""The commonest messages, read and written without taking them apart.

Nearly all of a Grape's datagrams are get_peers, announce_peer and their
answers, written in the one way that bencoding's order of keys allows.  So each
part stands where the one before it ends, and the tail has a fixed length; what
is found elsewhere takes the long way.  Nothing is decided here: what is read is
what `krpc.decode` reads, what is written is what `krpc` writes.  Nothing is
searched for, so a datagram costs no more than its length.
"""

from typing import Any

from shoal.dht.krpc import Message, Query, Response, decode

QUERY = b"d1:ad2:id20:"
RESPONSE = b"d1:rd2:id20:"
ID_AT, ID_END = 12, 32  # where the id stands in both
PORTS = b"12:implied_porti%de9:info_hash"
IMPLIED = {PORTS % implied: implied for implied in (0, 1)}
IMPLIED_SIZE = len(PORTS) - 1
ASKED = b"e1:q9:get_peers1:t"
TOLD = b"e1:q13:announce_peer1:t"
DIGITS_MAX = 5  # of a length or a port
VALUE_SIZE = 8  # bytes of a peer and the length in front of it
ASK = b"d1:ad2:id20:%b9:info_hash%d:%be1:q9:get_peers1:t4:%b1:y1:qe"
TELL = (
    b"d1:ad2:id20:%b12:implied_porti0e9:info_hash%d:%b4:porti%de5:token%d:%be"
    b"1:q13:announce_peer1:t4:%b1:y1:qe"
)


def read(data: bytes) -> Message:
    """As `krpc.decode`."""
    found: Message | None = None
    try:
        if data.startswith(RESPONSE):
            found = _response(data)
        elif data.startswith(QUERY):
            found = _query(data)
    except ValueError:  # no number where one should be
        return decode(data)
    return found or decode(data)


def _query(data: bytes) -> Query | None:
    """None if a part is not where it should be."""
    arguments: dict[bytes, Any] = {b"id": data[ID_AT:ID_END]}
    if data.startswith(b"9:info_hash", ID_END):
        arguments[b"info_hash"], at = _string(data, ID_END + 11)
        if data.startswith(ASKED, at):
            return _asked(data, at + len(ASKED), b"get_peers", arguments)
        return None
    implied = IMPLIED.get(data[ID_END : ID_END + IMPLIED_SIZE])
    if implied is None:
        return None
    name, at = _string(data, ID_END + IMPLIED_SIZE)
    if not data.startswith(b"4:porti", at):
        return None
    port, at = _number(data, at + 7, b"e")
    if not data.startswith(b"5:token", at):
        return None
    token, at = _string(data, at + 7)
    if not data.startswith(TOLD, at):
        return None
    arguments |= {b"implied_port": implied, b"info_hash": name, b"port": port, b"token": token}
    return _asked(data, at + len(TOLD), b"announce_peer", arguments)


def _asked(data: bytes, at: int, method: bytes, arguments: dict[bytes, Any]) -> Query | None:
    transaction, at = _string(data, at)
    return Query(transaction, method, arguments) if data[at:] == b"1:y1:qe" else None


def _response(data: bytes) -> Response | None:
    """None if a part is not where it should be."""
    result: dict[bytes, Any] = {b"id": data[ID_AT:ID_END]}
    at, end = ID_END, len(data) - 17  # e1:t4:, four bytes, 1:y1:re
    if data[end : end + 6] != b"e1:t4:" or data[-7:] != b"1:y1:re":
        return None
    if data.startswith(b"5:nodes", at):
        result[b"nodes"], at = _string(data, at + 7)
    if data.startswith(b"5:token", at):
        result[b"token"], at = _string(data, at + 7)
    if data.startswith(b"6:valuesl", at) and data[end - 1] == ord("e"):
        values = data[at + 9 : end - 1]
        count, rest = divmod(len(values), VALUE_SIZE)
        if rest or values[0::VALUE_SIZE] + values[1::VALUE_SIZE] != b"6" * count + b":" * count:
            return None
        ends = range(VALUE_SIZE, len(values) + 1, VALUE_SIZE)
        result[b"values"] = [values[end - 6 : end] for end in ends]
        at = end
    return Response(data[end + 6 : end + 10], result) if at == end else None


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """The string whose length stands here, and where it ends."""
    size, start = _number(data, at, b":")
    end = start + size
    if end > len(data):
        raise ValueError
    return data[start:end], end


def _number(data: bytes, at: int, mark: bytes) -> tuple[int, int]:
    """The number in front of a mark, and where it goes on after that."""
    end = data.index(mark, at, at + DIGITS_MAX + 1)
    digits = data[at:end]
    if not digits.isdigit() or (digits[0] == ord("0") and len(digits) > 1):
        raise ValueError
    return int(digits), end + 1


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
