"""Tables and bars for a terminal, by rich, which obeys NO_COLOR itself."""

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

REDRAWS = 5  # a second: smooth for the eye, nothing for the processor


def table(stream: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    drawn = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*row)
    Console(file=stream, markup=False, highlight=False).print(drawn)


def progress(stream: TextIO) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[says]}", markup=False),
        console=Console(file=stream),
        refresh_per_second=REDRAWS,
        transient=True,
    )
