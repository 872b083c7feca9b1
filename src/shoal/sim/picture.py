"""A picture of a run: who spoke to whom, and when.

`text` draws it for a terminal: a row for each host (or group of hosts), time
to the right, darker where more arrived.  `svg` draws each message from the
sender's line to the receiver's, and greys a host out while it was down.
"""

from collections.abc import Sequence
from html import escape

MESSAGES_MAX = 200_000  # remembered; of later ones we keep the count
SVG_MESSAGES_MAX = 5_000  # drawn: more is a grey carpet
SHADES = " ·░▒▓█"
ROWS_MAX = 40  # of a terminal drawing
LANE = 14  # pixels between two hosts
MARGIN = 110  # pixels for the names
WIDTH = 1200  # pixels of time


class Picture:
    """What was seen of a run."""

    def __init__(self) -> None:
        self.unseen = 0  # messages beyond the limit
        self._messages: list[tuple[float, str, str, int]] = []  # when, from, to, bytes
        self._marks: list[tuple[float, str, str]] = []  # when, who, what
        self._names: dict[str, int] = {}  # in order of appearance

    def message(self, when: float, sender: str, receiver: str, size: int) -> None:
        """A message arrived."""
        if len(self._messages) < MESSAGES_MAX:
            self._messages.append((when, sender, receiver, size))
            self._names.setdefault(sender, len(self._names))
            self._names.setdefault(receiver, len(self._names))
        else:
            self.unseen += 1

    def mark(self, when: float, who: str, what: str) -> None:
        """Something happened to a host: `down` or `up`."""
        self._marks.append((when, who, what))
        self._names.setdefault(who, len(self._names))

    def text(self, width: int = 80) -> str:
        """For a terminal; `x` where a host lost its power."""
        if not self._names:
            return "nobody spoke"
        names = self._order()
        group = -(-len(names) // ROWS_MAX)  # hosts in a row
        start, span = self._span()
        label = max(map(len, names)) + (4 if group > 1 else 0)
        columns = max(10, width - label - 2)
        rows = -(-len(names) // group)
        counts = [[0] * columns for _ in range(rows)]
        place = {name: number // group for number, name in enumerate(names)}
        for when, _, receiver, _ in self._messages:
            counts[place[receiver]][_column(when, start, span, columns)] += 1
        most = max(max(row) for row in counts) or 1
        drawn = [[SHADES[-(-count * (len(SHADES) - 1) // most)] for count in row] for row in counts]
        for when, who, what in self._marks:
            if what == "down":
                drawn[place[who]][_column(when, start, span, columns)] = "x"
        lines = [
            f"{_label(names[number * group : (number + 1) * group]):{label}} |{''.join(row)}"
            for number, row in enumerate(drawn)
        ]
        return "\n".join([*lines, self._caption(start, span)])

    def svg(self) -> str:
        """For a browser or a document."""
        names = self._order()
        start, span = self._span()
        place = {name: 30 + LANE * number for number, name in enumerate(names)}
        height = 60 + LANE * len(names)
        right = MARGIN + WIDTH

        def x(when: float) -> float:
            return MARGIN + (when - start) / span * WIDTH

        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{right + 20}" height="{height}" '
            'font-family="sans-serif" font-size="10">',
            '<rect width="100%" height="100%" fill="white"/>',
        ]
        for name, y in place.items():
            parts.append(
                f'<text x="4" y="{y + 3}">{escape(name[:18])}</text>'
                f'<line x1="{MARGIN}" y1="{y}" x2="{right}" y2="{y}" stroke="#ddd"/>'
            )
        for begin, end, name in self._absences(start + span):
            parts.append(
                f'<rect x="{x(begin):.1f}" y="{place[name] - 5}" height="10" '
                f'width="{x(end) - x(begin):.1f}" fill="#c44" opacity="0.4">'
                f"<title>{escape(name)} down {begin - start:.3f} s</title></rect>"
            )
        for when, sender, receiver, size in self._messages[:SVG_MESSAGES_MAX]:
            at, here, there = x(when), place[sender], place[receiver]
            parts.append(
                f'<path d="M{at:.1f} {here}V{there}" stroke="#36c" opacity="0.25"/>'
                f'<circle cx="{at:.1f}" cy="{there}" r="1.6" fill="#36c"><title>'
                f"{when - start:.6f} s {escape(sender)} to {escape(receiver)}, {size} bytes"
                "</title></circle>"
            )
        caption = escape(self._caption(start, span))
        parts.append(f'<text x="{MARGIN}" y="{height - 10}">{caption}</text></svg>')
        return "\n".join(parts)

    def _absences(self, end: float) -> list[tuple[float, float, str]]:
        """When each host was down: (from, to, name)."""
        since: dict[str, float] = {}
        found = []
        for when, who, what in self._marks:
            if what == "down":
                since.setdefault(who, when)
            elif who in since:
                found.append((since.pop(who), when, who))
        return found + [(begin, end, who) for who, begin in since.items()]

    def _order(self) -> list[str]:
        """Names with their numbers in order: node2 before node10."""
        return sorted(self._names, key=lambda name: (name.rstrip("0123456789"), len(name), name))

    def _span(self) -> tuple[float, float]:
        moments = [one[0] for one in self._messages] + [one[0] for one in self._marks] or [0.0]
        return min(moments), (max(moments) - min(moments)) or 1.0

    def _caption(self, start: float, span: float) -> str:
        total = len(self._messages) + self.unseen
        return f"{total:,} messages in {span:.3f} s from {start:.3f} s on; darker: more; x: crash"


def _column(when: float, start: float, span: float, columns: int) -> int:
    return min(columns - 1, int((when - start) / span * columns))


def _label(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"
