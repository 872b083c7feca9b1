"""The house keeps its own rules of size and honesty."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES_MAX = 500  # STYLE: a file is one noun


def test_no_file_is_longer_than_five_hundred_lines() -> None:
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/**/*.py")]
    assert files
    long = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: lines for name, lines in long.items() if lines > LINES_MAX} == {}
