"""Replies to the commonest queries, without taking them apart.

Nine of ten queries are a ping, find_node or get_peers written in the one way
that bencoding's order of keys allows.  One regular expression recognises
them; the reply is joined from pieces that were encoded before.  Which nodes
to name is read from what the engine publishes (a bucket that alone answers
for all targets in it, at one version of the table); nothing is decided here,
and every byte is the one that `Replies` would have sent.  What is not
recognised returns None and takes the long way.
"""

import re
from collections.abc import Hashable

from shoal.dht.guard import AMPLIFICATION_MAX
from shoal.dht.krpc import ID_SIZE, Address, pack_address, pack_nodes
from shoal.dht.mainline.replies import VERSION, Replies
from shoal.dht.table import Contact

QUERY = re.compile(
    rb"d1:ad2:id20:(.{20})"
    rb"(?:9:info_hash20:(.{20})e1:q9:get_peers|6:target20:(.{20})e1:q9:find_node|e1:q4:ping)"
    rb"(1:t(?:1:.|2:..|4:....|8:.{8}))(?:1:v4:....)?1:y1:qe",
    re.DOTALL,
).fullmatch
ADDRESSES_MAX = 4096  # of which we remember the compact form


class Templates:
    """Replies joined from ready pieces."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._engine = replies.engine
        self._table = replies.engine.table
        self._own = replies.engine.own
        self._start = b"1:rd2:id%d:%s" % (ID_SIZE, replies.engine.id)
        self._end = b"1:v%d:%s1:y1:re" % (len(VERSION), VERSION)
        self._nodes_name = b"5:nodes" if replies.family == b"n4" else b"6:nodes6"
        self._version = -1  # of the table that the next line was made from
        self._buckets: dict[int, bytes] = {}  # index -> its nodes, encoded
        self._packed: dict[Hashable, bytes] = {}  # address of a contact -> it, encoded
        self._seen_as: dict[Address, bytes] = {}  # address -> the start of a reply to it

    def reply(self, data: bytes, address: Address, now: float) -> bytes | None:
        """The whole reply; empty if there is to be none; None if the long way has to be taken."""
        match = QUERY(data)
        if match is None:
            return None
        node_id, info_hash, target, transaction = match.groups()
        nodes = b""
        key = info_hash or target
        if key:
            if info_hash and key in self._replies.peers:
                return None
            nodes = self._nodes(int.from_bytes(key))
        start = self._seen_as.get(address) or self._start_for(address)
        known = self._table.heard(address, node_id, now)
        if not known and not self._engine.heard(address, node_id, now):
            return None
        if info_hash:
            token = self._replies.tokens.give(address[0], info_hash, now)
            reply = b"%s%s5:token%d:%se%s%s" % (
                start, nodes, len(token), token, transaction, self._end
            )  # fmt: skip
        else:
            reply = b"%s%se%s%s" % (start, nodes, transaction, self._end)
        if len(reply) > AMPLIFICATION_MAX * len(data) and not known:
            return None
        return reply if self._replies.guard.admits(address[0], now) else b""

    def _nodes(self, target: int) -> bytes:
        if self._table.version != self._version:
            self._version = self._table.version
            self._buckets.clear()
            self._packed.clear()
        index = (self._own ^ target).bit_length()
        nodes = self._buckets.get(index)
        return nodes or self._fill(index, target)

    def _fill(self, index: int, target: int) -> bytes:
        full = self._table.full(index)
        packed = b"".join(map(self._pack, full or self._engine.closest(target)))
        nodes = b"%s%d:%s" % (self._nodes_name, len(packed), packed)
        if full:
            self._buckets[index] = nodes
        return nodes

    def _pack(self, contact: Contact) -> bytes:
        packed = self._packed.get(contact.address)
        if packed is None:
            packed = self._packed[contact.address] = pack_nodes([contact])
        return packed

    def _start_for(self, address: Address) -> bytes:
        if len(self._seen_as) >= ADDRESSES_MAX:
            self._seen_as.clear()
        packed = pack_address(address)
        start = self._seen_as[address] = b"d2:ip%d:%s%s" % (len(packed), packed, self._start)
        return start
