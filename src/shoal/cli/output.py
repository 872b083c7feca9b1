"""What a command writes, and where.

Results go to stdout: sentences and tables for people, JSON with --json (one
object, or one line an event).  Bars, notes and errors go to stderr; bars only
to a terminal.  Every line leaves at once, so that a program which reads our
pipe sees it when it happens.  `rich` is imported when something is drawn.
"""

import json as json_text
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, TextIO

from shoal.cli.failure import FAILED, INTERRUPTED, Failure, explain

GAP = "  "  # between the columns of a plain table
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
HARMLESS = {code: f"\\x{code:02x}" for code in CONTROLS if chr(code) not in "\n\t"}
TRIED_MAX = 8  # lines of what was tried; --json and --debug have all of them


class Output:
    """The two streams of a command, and how it was asked to write."""

    def __init__(
        self, stdout: TextIO, stderr: TextIO, *, json: bool = False, debug: bool = False
    ) -> None:
        self.json = json
        self.debug = debug
        self._stdout = stdout
        self._stderr = stderr
        self._deaf = False  # the reader of our pipe has left
        self._lost: OSError | None = None  # why stdout takes nothing
        for stream in (stdout, stderr):
            if isinstance(stream, TextIOWrapper):  # a file's name may be no text at all
                stream.reconfigure(errors="backslashreplace")

    def show(self, record: Mapping[str, Any], text: str | None = None) -> None:
        """One result or event: the record with --json, else the text (None: nothing)."""
        if self.json:
            self._line(json_text.dumps(record, default=plain, ensure_ascii=False))
        elif text is not None:
            self._line(printable(text))

    def ready(self, record: Mapping[str, Any], text: str) -> None:
        """The one line that says a long-running command may be used now."""
        self.show({"ready": True, **record}, text)

    def note(self, text: str) -> None:
        """A remark for a person: never part of the result."""
        if not self.json:
            self._stderr.write(f"{printable(text)}\n")
            self._stderr.flush()

    def table(self, key: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Rows under their columns; with --json one object, `{key: rows}`."""
        if self.json:
            self.show({key: rows})
        elif draws(self._stdout):
            self._draw_table(rows, columns)
        else:
            self._plain_table(rows, columns)

    @contextmanager
    def bar(self, title: str, total: int | None = None) -> Iterator["Bar"]:
        """Progress on stderr while the block runs; nothing where nobody watches."""
        with self.bars([title], total) as (only,):
            yield only

    @contextmanager
    def bars(self, titles: Sequence[str], total: int | None = None) -> Iterator[list["Bar"]]:
        """One bar under the other."""
        if self.json or not draws(self._stderr):
            yield [Bar() for _ in titles]
            return
        progress = import_module("shoal.cli.draw").progress(self._stderr)
        with progress:
            yield [Bar(progress, progress.add_task(each, total=total, says="")) for each in titles]

    def fail(self, error: BaseException) -> int:
        """Say what went wrong; the exit code."""
        if self._deaf:
            return self.finish(FAILED)
        failure = explain(self._lost or error)
        with suppress(BrokenPipeError):
            try:
                self._report(error, failure)
            except OSError:  # stdout takes nothing, not even this
                self._report(error, failure)
        return self.finish(failure.code)

    def _report(self, error: BaseException, failure: Failure) -> None:
        if self.debug:
            self._stderr.write("".join(traceback.format_exception(error)))
        if self.json and self._lost is None:
            words = {"error": failure.happened, "kind": failure.kind, "code": failure.code}
            self.show({**words, "tried": failure.tried, "advice": failure.advice})
        elif failure.code == INTERRUPTED:
            self._stderr.write("interrupted\n")
        else:
            self._sentences(failure.happened, failure.tried, failure.advice)

    def finish(self, code: int) -> int:
        """Flush; when the reader has left, keep the interpreter from complaining at exit."""
        try:
            self._stdout.flush()
        except BrokenPipeError:
            self._deaf = True
        except OSError as error:  # a full disk behind a redirection
            if self._lost is None:
                self._lost = error
                code = self.fail(error)
        if self._deaf or self._lost:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())
            return code or FAILED
        return code

    def _sentences(self, happened: str, tried: list[str], advice: str) -> None:
        lines = [f"shoal: {ended(happened)}"]
        shown = tried if self.debug else tried[:TRIED_MAX]
        lines += [f"  tried: {attempt}" for attempt in shown]
        if len(tried) > len(shown):
            lines.append(f"  and {len(tried) - len(shown)} more")
        lines.append(f"  next: {ended(advice)}")
        self._stderr.write(printable("\n".join(lines)) + "\n")

    def _line(self, text: str) -> None:
        try:
            self._stdout.write(f"{text}\n")
            self._stdout.flush()
        except BrokenPipeError:
            self._deaf = True
            raise
        except OSError as error:
            self._lost = error
            raise

    def _plain_table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        cells = [list(columns), *([cell(row.get(name)) for name in columns] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            self._line(GAP.join(padded).rstrip())

    def _draw_table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        texts = ([cell(row.get(name)) for name in columns] for row in rows)
        import_module("shoal.cli.draw").table(self._stdout, columns, texts)


class Bar:
    """A bar that grows, or nothing at all when it is not drawn."""

    def __init__(self, progress: Any = None, task: Any = None) -> None:
        self._progress = progress
        self._task = task

    def update(self, done: int, says: str = "", total: int | None = None) -> None:
        """`done` of `total`, and what we are waiting for."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, says=says)


def draws(stream: TextIO) -> bool:
    """Whether a person watches this stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return ", ".join(map(cell, value))
    text = str(plain(value)) if isinstance(value, bytes) else str(value)
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def printable(text: str) -> str:
    """A peer may have named a file: its escape codes are shown, not obeyed."""
    return text.translate(HARMLESS)


def plain(value: Any) -> Any:
    """What JSON has no word for: bytes as hex, sequences as lists, all else as its text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
