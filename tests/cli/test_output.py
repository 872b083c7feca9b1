"""People read sentences and tables, programs read JSON, and nobody's terminal is taken over."""

import io
import json
import sys

import pytest

from shoal.cli.output import Output, cell

ROWS = [{"name": "a", "size": 12}, {"name": "long name", "size": None}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make(*, json: bool = False, terminal: bool = False) -> tuple[Output, io.StringIO, io.StringIO]:
    out, err = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    return Output(out, err, json=json), out, err


def test_a_plain_table_has_aligned_columns() -> None:
    output, out, _ = make()
    output.table("peers", ROWS, ["name", "size"])
    assert out.getvalue() == "name       size\na          12\nlong name  -\n"


def test_a_table_with_json_is_one_object() -> None:
    output, out, _ = make(json=True)
    output.table("peers", ROWS, ["name"])
    assert json.loads(out.getvalue()) == {"peers": ROWS}


def test_a_table_on_a_terminal_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    output, out, _ = make(terminal=True)
    output.table("peers", [{"name": "[red]x"}], ["name"])
    assert "[red]x" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    output, out, _ = make(terminal=True)
    output.table("peers", ROWS, ["name"])
    assert "\x1b[3" not in out.getvalue()


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for terminal, drawn in ((True, True), (False, False)):
        output, out, err = make(terminal=terminal)
        with output.bar("fetching", total=100) as bar:
            bar.update(40, "2 peers")
        assert ("fetching" in err.getvalue()) is drawn
        assert out.getvalue() == ""


def test_a_bar_with_json_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    output, out, err = make(json=True, terminal=True)
    with output.bar("fetching") as bar:
        bar.update(1)
    assert out.getvalue() + err.getvalue() == ""


def test_rich_is_not_loaded_before_something_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    output, _, _ = make()
    output.table("peers", ROWS, ["name"])
    with output.bar("fetching"):
        assert "rich" not in sys.modules


def test_what_a_peer_named_is_shown_and_not_obeyed() -> None:
    output, out, _ = make()
    output.show({}, "file \x1b[2J\u202eexe.txt")
    assert out.getvalue() == "file \\x1b[2J\\x202eexe.txt\n"
    assert cell("two\nlines") == "two\\nlines"


def test_a_name_that_is_no_text_is_written_all_the_same() -> None:
    for as_json, said in ((False, b"bad \\udcff\n"), (True, b'{"name": "bad \\udcff"}\n')):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="utf-8")
        Output(stream, io.StringIO(), json=as_json).show({"name": "bad \udcff"}, "bad \udcff")
        assert raw.getvalue() == said


def test_json_keeps_bytes_and_ids_readable() -> None:
    output, out, _ = make(json=True)
    output.ready({"key": b"\x01\xff", "name": "ü", "peers": {"b", "a"}}, "text")
    said = {"ready": True, "key": "01ff", "name": "ü", "peers": ["a", "b"]}
    assert json.loads(out.getvalue()) == said


def test_a_note_is_for_people_only() -> None:
    for as_json, said in ((False, "careful\n"), (True, "")):
        output, out, err = make(json=as_json)
        output.note("careful")
        assert (out.getvalue(), err.getvalue()) == ("", said)
