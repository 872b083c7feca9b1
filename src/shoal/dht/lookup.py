"""Whom to ask next in a lookup.

A lookup walks towards a target.  It keeps the closest peers it has heard of
and asks ALPHA of them at a time; each answer names peers that are closer.
It ends when the K closest have all answered.

A peer that is late is asked around: it no longer fills one of the ALPHA
places, but it is waited for if it is among the K closest.  Nobody waits for
one that is slow, though its answer still counts when it comes.

With `paths` the walk is split into that many which share no peer: a liar can
lead only its own path astray, and the target is found if one path stays
clear of liars.  At most a quarter of the peers that a path regards are of
one address group.

Kademlia paper, section 2.3; S/Kademlia, section 4.4.  No bytes, clock or
sockets here: the caller asks the peers that `next` names and reports each
with `answered`, `late`, `slow` or `failed`.
"""

from bisect import insort
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import xor

from shoal.dht.table import GROUP_SHARE, Contact, K

ALPHA = 3  # questions in flight; the paper's alpha
ALPHA_MAX = 9  # when many peers are slow, more are asked at once
PATHS_MAX = 8  # S/Kademlia finds no use for more
ASKED_MAX = 200  # liars can always name someone closer: stop here
ASKED_PATH_MAX = 50  # the same for each of several paths
NAMED_MAX = 64  # of the names in one answer (a Grape names every peer that it knows)

NEW, WAITING, LATE, SLOW, ANSWERED, FAILED = range(6)
UNDER_WAY = (WAITING, LATE, SLOW)


@dataclass(slots=True)
class Candidate:
    """A contact that a lookup has heard of."""

    contact: Contact
    path: "Path"
    state: int = NEW


@dataclass(slots=True)
class Path:
    """One walk: its candidates, the closest first."""

    candidates: list[tuple[int, int, Candidate]]  # distance, order of arrival
    new: int = 0  # of the candidates
    waiting: int = 0
    late: int = 0
    idle: int = 0  # answers since one that led closer
    finished: bool = False  # nobody left to ask or to wait for, as far as we know


class Lookup:
    """The peers between us and a target, closest first."""

    __slots__ = (
        "_alpha",
        "_answers",
        "_paths",
        "_seen",
        "_slow",
        "asked",
        "asked_max",
        "distance",
        "group_share",
        "k",
        "target",
    )

    def __init__(
        self,
        target: int,
        seeds: Iterable[Contact],
        *,
        k: int = K,
        alpha: int = ALPHA,
        paths: int = 1,
        distance: Callable[[int, int], int] = xor,
    ) -> None:
        self.target = target
        self.k = k
        self.distance = distance
        self.asked = 0
        self.asked_max = max(ASKED_MAX, ASKED_PATH_MAX * paths)
        self.group_share = max(1, k // GROUP_SHARE)
        self._alpha = max(1, alpha // paths)  # of each path
        self._slow = 0
        self._answers = 0
        self._seen: dict[Hashable, Candidate] = {}
        self._paths = [Path([]) for _ in range(min(max(paths, 1), PATHS_MAX))]
        ordered = sorted(seeds, key=self._distance_of)
        for number, path in enumerate(self._paths):
            self._learn(path, ordered[number :: len(self._paths)])

    @property
    def closest(self) -> list[Contact]:
        """The best of those that have answered."""
        answered = sorted(
            (distance, number, candidate.contact)
            for path in self._paths
            for distance, number, candidate in path.candidates
            if candidate.state == ANSWERED and candidate.contact.id
        )
        return [contact for _, _, contact in answered[: self.k]]

    @property
    def done(self) -> bool:
        if not self._answers and self._slow:
            return False  # nobody else is left to be asked: wait for the slow ones after all
        for path in self._paths:  # noqa: SIM110 (asked twice a question: `all` takes twice as long)
            if not self._is_finished(path):
                return False
        return True

    def next(self) -> list[Contact]:
        """Peers to ask now."""
        chosen: list[Contact] = []
        for path in self._paths:
            room = min(self._room(path), self.asked_max - self.asked)
            if room <= 0 or path.finished or not path.new:
                continue
            for candidate in islice(self._fresh(path), room):
                candidate.state = WAITING
                path.new -= 1
                path.waiting += 1
                self.asked += 1
                chosen.append(candidate.contact)
        return chosen

    def answered(self, contact: Contact, closer: Iterable[Contact]) -> bool:
        """True if the answer named somebody closer than all that the path knew before."""
        candidate = self._seen.get(contact.address)
        if candidate is None or candidate.state not in UNDER_WAY:
            return False
        self._leave(candidate, ANSWERED)
        self._answers += 1
        path = candidate.path
        if not candidate.contact.id:
            self._introduce(candidate, contact)
        before = path.candidates[0][0]
        self._learn(path, islice(closer, NAMED_MAX))
        led_closer = path.candidates[0][0] < before
        path.idle = 0 if led_closer else path.idle + 1
        return led_closer

    def late(self, contact: Contact) -> None:
        candidate = self._seen.get(contact.address)
        if candidate is not None and candidate.state == WAITING:
            self._leave(candidate, LATE)
            candidate.path.late += 1

    def slow(self, contact: Contact) -> None:
        candidate = self._seen.get(contact.address)
        if candidate is not None and candidate.state in (WAITING, LATE):
            self._leave(candidate, SLOW)
            self._slow += 1

    def failed(self, contact: Contact) -> None:
        candidate = self._seen.get(contact.address)
        if candidate is not None and candidate.state in UNDER_WAY:
            self._leave(candidate, FAILED)

    def _leave(self, candidate: Candidate, state: int) -> None:
        if candidate.state == WAITING:
            candidate.path.waiting -= 1
        elif candidate.state == LATE:
            candidate.path.late -= 1
        else:
            self._slow -= 1
        candidate.state = state
        candidate.path.finished = False

    def _room(self, path: Path) -> int:
        """Slow peers make us ask more at once: some of those will be dead too.

        When a round has led no closer, all that is left is to hear the K closest.
        """
        if path.idle >= max(self._alpha, ALPHA):
            return self.k - path.waiting
        if not self._slow:
            return self._alpha - path.waiting
        alpha = min(self._alpha + self._slow // len(self._paths), max(ALPHA_MAX, self._alpha))
        return alpha - path.waiting

    def _is_finished(self, path: Path) -> bool:
        if not path.finished:
            if self.asked >= self.asked_max:
                path.finished = not path.waiting and not path.late
            else:
                closest = self._regarded(path, (SLOW, FAILED), self.k)
                for candidate in closest:
                    if candidate.state != ANSWERED:
                        return False
                path.finished = True
        return path.finished

    def _fresh(self, path: Path) -> Iterator[Candidate]:
        """Those not asked yet among the path's K closest, the late ones left out.

        Where some were slow the next may be dead too, so a few beyond the K are asked with them.
        """
        beyond = min(self._slow // len(self._paths), self._alpha)
        closest = self._regarded(path, (LATE, SLOW, FAILED), self.k + beyond)
        return (candidate for candidate in closest if candidate.state == NEW)

    def _regarded(self, path: Path, without: tuple[int, ...], most: int) -> Iterator[Candidate]:
        """The path's closest, of one address group a quarter of K."""
        regarded = 0
        groups: dict[Hashable, int] = {}
        for _, _, candidate in path.candidates:
            if candidate.state in without:
                continue
            group = candidate.contact.group
            if group is not None:
                groups[group] = groups.get(group, 0) + 1
                if groups[group] > self.group_share:
                    continue
            yield candidate
            regarded += 1
            if regarded == most:
                return

    def _learn(self, path: Path, contacts: Iterable[Contact]) -> None:
        for contact in contacts:
            if contact.address not in self._seen:
                candidate = Candidate(contact, path)
                place = (self._distance_of(contact), len(self._seen), candidate)
                self._seen[contact.address] = candidate
                insort(path.candidates, place)
                path.new += 1
                path.finished = False

    def _introduce(self, candidate: Candidate, contact: Contact) -> None:
        """We knew only the address; the answer says who is there."""
        places = candidate.path.candidates
        number = next(i for i, place in enumerate(places) if place[2] is candidate)
        _, arrival, _ = places.pop(number)
        candidate.contact = contact
        insort(places, (self._distance_of(contact), arrival, candidate))

    def _distance_of(self, contact: Contact) -> int:
        """Farther than any other is somebody of whom we know only the address."""
        return self.distance(contact.position, self.target) if contact.id else 1 << 512
