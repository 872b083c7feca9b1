"""Connections that others open: is there room, who are they, and who goes for them.

A stranger costs a place among the handshakes first; when it has proved who it
is, it has that place no more, but one among the inbound connections.
"""

import asyncio
from collections.abc import Callable, Iterable

from shoal.errors import ClosedError, LimitError
from shoal.net.connection import Connection, address_of
from shoal.net.core import Core
from shoal.net.limits import Candidate, Limits, Scope, choose_victim, prefix_of
from shoal.net.upgrade import HANDSHAKE, Offer, Result, Upgrade
from shoal.net.wire import Wire


class Acceptor:
    """Makes connections of the pipes that come."""

    def __init__(
        self,
        offer: Offer,
        limits: Limits,
        pipe: Callable[[Upgrade], Wire],
        upgraded: Callable[[Wire, Result, Scope], Connection],
        connections: Callable[[], Iterable[Connection]],
    ) -> None:
        self.closed = False
        self.pipes: dict[Wire, None] = {}  # that are no connections yet
        self.offer = offer
        self.limits = limits
        self.pipe = pipe
        self.upgraded = upgraded
        self._connections = connections

    def accept(self) -> Wire:
        """The protocol for one more pipe."""
        return Inbound(self).wire

    def charge(self, host: str) -> Scope:
        """A place for a stranger; LimitError if there is none and nobody can go."""
        if self.closed:
            raise ClosedError("the host is closing")
        now = asyncio.get_running_loop().time()
        try:
            return self.limits.pipe(host, now)
        except LimitError:
            if not self._make_room():
                raise
            return self.limits.pipe(host, now)

    def _make_room(self) -> bool:
        """Honest strangers are done in a few round trips: who has taken longest goes first."""
        if self.limits.crowded and self.pipes:
            next(iter(self.pipes)).abort(LimitError("others wanted to shake hands"))
            return True
        return self.limits.full and self._evict()

    def _evict(self) -> bool:
        inbound = [one for one in self._connections() if not one.about.initiator]
        victim = choose_victim(
            Candidate(
                key=index,
                prefix=prefix_of(one.about.remote.host or ""),
                opened=one.about.opened,
                useful=one.used_at,
                round_trip=one.round_trip,
                streams=len(one.streams),
            )
            for index, one in enumerate(inbound)
        )
        if victim is not None:
            inbound[victim.key].abort(LimitError("somebody else needed the place"))
        return victim is not None


class Inbound:
    """One pipe on its way."""

    def __init__(self, owner: Acceptor) -> None:
        upgrade = Upgrade(owner.offer, False, self._done, admit=self._admit)
        self.wire = owner.pipe(upgrade)
        self._owner = owner
        self._scope: Scope | None = None

    def _admit(self) -> None:
        owner = self._owner
        self._scope = owner.charge(address_of(self.wire.transport).host or "")
        owner.pipes[self.wire] = None
        self.wire.expect_ready(HANDSHAKE)

    def _done(self, result: Result | None, error: Exception | None) -> Core | None:
        owner, scope = self._owner, self._scope
        owner.pipes.pop(self.wire, None)
        if scope is None:
            return None  # it was not admitted
        self._scope = None
        scope.give("handshakes")
        if result is not None:
            try:
                return owner.upgraded(self.wire, result, scope)
            except BaseException:
                owner.limits.release_pipe(scope)
                raise
        owner.limits.release_pipe(scope)
        return None
