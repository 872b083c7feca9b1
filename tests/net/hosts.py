"""Hosts for the tests: Noise and yamux over TCP, all on loopback or in a world."""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

from shoal.net.host import Host
from shoal.net.introduction import Introduction
from shoal.net.mux.yamux import Yamux
from shoal.net.secure.noise import Noise
from shoal.net.secure.payload import StaticKey
from shoal.net.transport.tcp import Tcp
from shoal.net.upgrade import Offer
from shoal.peer.book import Book
from shoal.peer.key import PrivateKey


def make_offer(seed: int, **changes: Any) -> Offer:
    rng = Random(seed)
    key = PrivateKey.generate(rng)
    securities = {"/noise": partial(Noise, static=StaticKey(key, rng))}
    return Offer(**{"key": key, "rng": rng, "securities": securities, "muxers": MUXERS, **changes})


def make_host(seed: int, transports: Sequence[Any] | None = None, **settings: Any) -> Host:
    book = settings.setdefault("book", Book())
    offer = settings.pop("offer", None) or make_offer(seed)
    host = Host(offer, [Tcp()] if transports is None else transports, **settings)
    host.introduction = Introduction(host, book, agent="test", sequence=lambda: 1)  # type: ignore[attr-defined]
    return host


MUXERS = {"/yamux/1.0.0": Yamux}
