"""From a byte pipe to a connection: agree on a secure channel, shake hands, agree on a muxer.

One core walks through the three stages while the wire pumps; no task runs until
the connection stands.  A dialer with one proposal is lazy: the first message
of the handshake leaves in the same packet as the proposal.  The muxer costs no
round trip where the handshake carries its name.

Specification: libp2p/specs connections/README.md, "Upgrading connections", and
noise/README.md, "Stream Muxer Selection".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shoal.errors import ClosedError, ProtocolError
from shoal.net.core import Core, Session
from shoal.net.multistream import Dialer, Listener
from shoal.net.wire import Wire

if TYPE_CHECKING:
    from random import Random

    from shoal.peer.id import PeerId
    from shoal.peer.key import PrivateKey

HANDSHAKE = 15.0  # seconds for everything, as go allows


class Handshake(Protocol):
    """A secure channel that is being made."""

    out: list[Any]
    done: bool
    muxer: str | None  # agreed on the way
    peer_id: Any

    @property
    def session(self) -> Session: ...

    def receive(self, data: memoryview, /) -> int: ...


@dataclass(frozen=True)
class Offer:
    """What this node brings to an upgrade."""

    key: "PrivateKey"
    rng: "Random"
    securities: Mapping[str, Callable[..., Handshake]]  # protocol -> made for one connection
    muxers: Mapping[str, Callable[..., Any]]  # protocol -> made for one connection


@dataclass(frozen=True)
class Result:
    """Who is at the other end, and how we speak."""

    peer: "PeerId"
    security: str
    muxer: str
    core: Any  # the muxer itself


class Upgrade:
    """The core of a wire until it is a connection.

    `done` is called once: with a Result, for which it gives the core to go on
    with, or with an error.
    """

    deadline: float | None = None  # the wire's `expect_ready` is enough

    def __init__(
        self,
        offer: Offer,
        initiator: bool,
        done: Callable[[Result | None, Exception | None], Core | None],
        *,
        expected: "PeerId | None" = None,
        securities: Sequence[str] = (),
        admit: Callable[[], None] | None = None,
    ) -> None:
        self.out: list[Any] = []
        self.initiator = initiator
        self.wire: Wire | None = None  # who pumps us
        self._offer = offer
        self._done: Callable[[Result | None, Exception | None], Core | None] | None = done
        self._expected = expected
        self._admit = admit
        self._handshake: Handshake | None = None
        self._session: Session | None = None
        self._security = ""
        self._agreement: Dialer | Listener | None = None
        if initiator:
            names = list(securities or offer.securities)
            self._agree(Dialer(names))
            if len(names) == 1:
                self._shake(names[0])
        else:
            self._agree(Listener(offer.securities))

    # As a core

    def connected(self, now: float) -> None:
        """The pipe is open: our owner may still refuse it."""
        if self._admit is not None:
            self._admit()

    def receive(self, view: memoryview, now: float) -> int:
        used, before, session = 0, -1, self._session
        while used != before and session is self._session:  # what follows comes back decrypted
            before = used
            if self._agreement is not None:
                used += self._negotiate(view[used:], now)
            elif self._handshake is not None and not self._handshake.done:
                used += self._advance(view[used:], now)
            else:
                break  # the next core takes the rest, decrypted
        return used

    def tick(self, now: float) -> None: ...

    def closed(self, error: Exception | None) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(None, error or ClosedError("the peer hung up during the handshake"))

    # The stages

    def _agree(self, agreement: Dialer | Listener) -> None:
        self._agreement = agreement
        self._take(agreement)

    def _take(self, machine: Any) -> None:
        self.out += machine.out
        machine.out.clear()

    def _shake(self, name: str) -> None:
        offer = self._offer
        self._security = name
        self._handshake = offer.securities[name](
            offer.key, self.initiator, offer.rng, muxers=list(offer.muxers), expected=self._expected
        )
        self._take(self._handshake)

    def _negotiate(self, view: memoryview, now: float) -> int:
        agreement = self._agreement
        assert agreement is not None
        used = agreement.receive(view)
        self._take(agreement)
        if agreement.done:
            self._agreement = None
            name = agreement.protocol or ""
            if self._session is not None:
                self._finish(name, now)
            elif self._handshake is None:
                self._shake(name)
        return used

    def _advance(self, view: memoryview, now: float) -> int:
        handshake = self._handshake
        assert handshake is not None
        try:
            used = handshake.receive(view)
        finally:
            self._take(handshake)  # the last word of one that failed, too
        if handshake.done:
            self._secured(handshake, now)
        return used

    def _secured(self, handshake: Handshake, now: float) -> None:
        wire = self.wire
        assert wire is not None
        self._session = handshake.session
        wire.become(self, self._session)  # what we said last still leaves in the clear
        if handshake.muxer:
            self._finish(handshake.muxer, now)
        else:
            muxers = self._offer.muxers
            self._agree(Dialer(list(muxers)) if self.initiator else Listener(muxers))

    def _finish(self, muxer: str, now: float) -> None:
        wire, handshake, done = self.wire, self._handshake, self._done
        assert wire is not None
        assert handshake is not None
        assert done is not None
        if muxer not in self._offer.muxers:
            raise ProtocolError(f"the peer chose the muxer {muxer}, which was not offered")
        self._done = None
        made = self._offer.muxers[muxer](self.initiator, now)
        core = done(Result(handshake.peer_id, self._security, muxer, made), None)
        if core is None:
            raise ClosedError("the connection was refused")
        wire.ready()
        wire.become(core, self._session)
