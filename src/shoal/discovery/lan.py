"""Who is present on this network: what is said to a multicast group, and when.

Presence needs no server.  Who is there says so to a group that everybody has
joined; who seeks asks the group, and those who are meant answer it.  All hear
all of it, so a crowd must not shout: a speaker waits for a moment drawn at
random, says nothing twice within `spacing`, does not answer who knows already,
and a question that somebody else has just asked counts as asked.  Who has been
silent for a lifetime is gone.

A topic is whatever the dialect announces: a service, a number, an info-hash.
RFC 6762, sections 5 to 8 and 10, is where the rules come from.
"""

from collections.abc import Sized
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from shoal.errors import LimitError

if TYPE_CHECKING:
    from random import Random

OFFERS_MAX = 1024  # topics that we announce: the torrents of a busy node
SEEKS_MAX = 256  # topics that we ask for
PRESENT_MAX = 1024  # others that are remembered, over all topics
OF_SOURCE_MAX = 256  # of them told by one address; on loopback, all have one
LIFETIME_MAX = 600.0  # seconds for which anybody is believed without a further word
RATE = 50.0  # datagrams a second that one address may make us read
BURST = 100.0  # of them at once
SOURCES_MAX = 1024  # addresses whose rate is watched
ASK_FIRST = 1.0  # seconds between the first two questions (RFC 6762, 5.2); doubles

Topic = str | bytes


@dataclass(frozen=True, slots=True)
class Manners:
    """When a dialect speaks, in seconds."""

    first: tuple[float, float]  # before the first word, and before an answer: from, to
    again: float  # between the first announcement and its repetition
    every: float  # between further ones; inf: only who asks hears more
    spacing: float  # between two announcements of one topic, at the least
    asking: float = 30.0  # between two questions, at the most
    enough: float = (
        inf  # how many answers of others make ours needless; inf: each speaks for itself
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody is present, or tells something new."""

    topic: Topic
    name: str
    texts: tuple[str, ...]  # what it says of itself: addresses


@dataclass(frozen=True, slots=True)
class Gone:
    """It said goodbye, or nothing for too long."""

    topic: Topic
    name: str


@dataclass(slots=True)
class _Offer:
    due: float
    said: float = -inf
    count: int = 1  # how often it was announced since it changed; the first is repeated
    others: float = inf  # who answered since we were asked; inf: nobody has asked
    planned: float = inf  # when it is due if others answer


@dataclass(slots=True)
class _Seek:
    due: float
    pause: float = ASK_FIRST
    asked: float = -inf


@dataclass(slots=True)
class _Present:
    texts: tuple[str, ...]
    source: str
    until: float
    half: float  # from when on it should say again that it is there


class Lan:
    """What we say and whom we hear, in one dialect.

    `tick` gives the topics to announce and to ask for now.
    """

    def __init__(
        self, manners: Manners, rng: "Random", *,
        present_max: int = PRESENT_MAX, of_source_max: int = OF_SOURCE_MAX,
    ) -> None:  # fmt: skip
        self.manners = manners
        self.refused = 0  # datagrams of those who sent too many
        self.present_max = present_max
        self.of_source_max = of_source_max
        self._rng = rng
        self._offers: dict[Topic, _Offer] = {}
        self._former: dict[Topic, float] = {}  # topics withdrawn -> when last announced
        self._seeks: dict[Topic, _Seek] = {}
        self._present: dict[tuple[Topic, str], _Present] = {}
        self._told: dict[str, int] = {}  # by which source, how many
        self._rates: dict[str, tuple[float, float]] = {}  # source -> tokens, at

    # What we want

    def offer(self, topic: Topic, now: float, *, aloud: bool = True) -> None:
        """Announce it soon (again, if something changed); else only answer."""
        if topic not in self._offers:
            _limit(self._offers, OFFERS_MAX, "topics are announced")
        offer = self._offers.setdefault(topic, _Offer(inf, self._former.pop(topic, -inf)))
        if aloud:
            offer.count = 0
            offer.due = max(now + self._moment(), offer.said + self.manners.spacing)

    def withdraw(self, topic: Topic) -> bool:
        """Whether it was announced before, so that others should hear of its end."""
        offer = self._offers.pop(topic, None)
        if offer is None or offer.said == -inf:
            return False
        self._former[topic] = offer.said
        while len(self._former) > OFFERS_MAX:
            del self._former[next(iter(self._former))]
        return True

    def seek(self, topic: Topic, now: float) -> None:
        if topic not in self._seeks:
            _limit(self._seeks, SEEKS_MAX, "topics are sought")
        self._seeks.setdefault(topic, _Seek(now + self._moment()))

    def leave(self, topic: Topic) -> None:
        """Seek it no more, and forget who was there."""
        self._seeks.pop(topic, None)
        for key in [key for key in self._present if key[0] == topic]:
            self._drop(key)

    def seeks(self, topic: Topic) -> bool:
        return topic in self._seeks

    # What others say

    def admits(self, source: str, now: float) -> bool:
        """Whether a datagram from this address is read at all."""
        tokens, at = self._rates.pop(source, (BURST, now))
        tokens = min(BURST, tokens + (now - at) * RATE)
        if len(self._rates) >= SOURCES_MAX:
            del self._rates[next(iter(self._rates))]  # who has been silent for longest
        admitted = tokens >= 1.0
        self._rates[source] = (tokens - admitted, now)
        self.refused += not admitted
        return admitted

    def asked(self, topic: Topic, now: float) -> None:
        """Somebody wants to know; an answer that is due already serves all."""
        offer = self._offers.get(topic)
        if offer is not None:
            soon = max(now + self._moment(), offer.said + self.manners.spacing)
            if soon < offer.due:
                offer.planned, offer.due, offer.others = offer.due, soon, 0

    def answered(self, topic: Topic) -> None:
        """Somebody whom we know has spoken: when enough have, we need not."""
        offer = self._offers.get(topic)
        if offer is not None and offer.others < inf:
            offer.others += 1
            if offer.others >= self.manners.enough:
                offer.due, offer.others = offer.planned, inf

    def overheard(self, topic: Topic, now: float) -> None:
        """Somebody has put our question: its answers come to us, too."""
        seek = self._seeks.get(topic)
        if seek is not None and now - seek.asked >= ASK_FIRST:
            self._has_asked(seek, now)

    def heard(
        self, topic: Topic, name: str, texts: tuple[str, ...], source: str, now: float,
        lifetime: float,
    ) -> Found | None:  # fmt: skip
        """Somebody is present; an event if that is news and there is room for it."""
        lifetime = min(lifetime, LIFETIME_MAX)
        known = self._present.get((topic, name))
        if known is None:
            if len(self._present) >= self.present_max:
                return None
            if self._told.get(source, 0) >= self.of_source_max:
                return None
            self._told[source] = self._told.get(source, 0) + 1
            known = self._present[topic, name] = _Present((), source, 0.0, 0.0)
        known.until, known.half = now + lifetime, now + lifetime / 2
        if known.texts == texts:
            return None
        known.texts = texts
        return Found(topic, name, texts)

    def goodbye(self, topic: Topic, name: str) -> Gone | None:
        if (topic, name) not in self._present:
            return None
        self._drop((topic, name))
        return Gone(topic, name)

    # What is known

    def present(self, topic: Topic) -> dict[str, tuple[str, ...]]:
        """Who is there, and what each said."""
        return {name: who.texts for (what, name), who in self._present.items() if what == topic}

    def fresh(self, topic: Topic, now: float) -> list[str]:
        """Those who need not answer our next question (RFC 6762, 7.1)."""
        known = self._present.items()
        return [name for (what, name), who in known if what == topic and now < who.half]

    # Time

    @property
    def deadline(self) -> float:
        """When `tick` has something to do; inf: not before somebody speaks."""
        due = min((offer.due for offer in self._offers.values()), default=inf)
        asks = min((seek.due for seek in self._seeks.values()), default=inf)
        ends = min((who.until for who in self._present.values()), default=inf)
        return min(due, asks, ends)

    def tick(self, now: float) -> tuple[list[Topic], list[Topic], list[Gone]]:
        """The topics to announce, those to ask for, and who has gone."""
        says = [topic for topic, offer in self._offers.items() if offer.due <= now]
        for topic in says:
            self._has_said(self._offers[topic], now)
        asks = [topic for topic, seek in self._seeks.items() if seek.due <= now]
        for topic in asks:
            self._has_asked(self._seeks[topic], now)
        over = [key for key, who in self._present.items() if who.until <= now]
        for key in over:
            self._drop(key)
        return says, asks, [Gone(*key) for key in over]

    def _has_said(self, offer: _Offer, now: float) -> None:
        offer.said, offer.others = now, inf
        offer.count += 1
        pause = self.manners.again if offer.count == 1 else self.manners.every
        offer.due = now + self._about(pause)

    def _has_asked(self, seek: _Seek, now: float) -> None:
        seek.asked = now
        seek.due = now + self._about(seek.pause)
        seek.pause = min(2 * seek.pause, self.manners.asking)

    def _drop(self, key: tuple[Topic, str]) -> None:
        source = self._present.pop(key).source
        self._told[source] -= 1
        if not self._told[source]:
            del self._told[source]

    def _moment(self) -> float:
        return self._rng.uniform(*self.manners.first)

    def _about(self, pause: float) -> float:
        """Never less, so that spacings hold; a tenth more at most, so that a crowd disperses."""
        return pause if pause == inf else pause * self._rng.uniform(1.0, 1.1)


def _limit(known: Sized, most: int, words: str) -> None:
    if len(known) >= most:
        raise LimitError(f"at most {most} {words} at once")
