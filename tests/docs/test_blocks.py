"""What the documentation shows does what it says: every Python block runs."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.surroundings import ROOT, environment

from shoal.cli.main import COMMANDS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!http)([^)#]+)")
COMMAND = re.compile(r"(?:^    |`)shoal ([a-z]+)", re.MULTILINE)
MAPPED = re.compile(r"`([a-z_0-9/]+\.py)`")


def blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text()
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{page.relative_to(ROOT)}:{line}", found[1]


BLOCKS = dict(blocks())


def run(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.docs.block", str(file)],
        env={**os.environ, **environment(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("where", BLOCKS)
def test_every_python_block_runs(where: str, tmp_path: Path) -> None:
    file = tmp_path / "block.py"
    file.write_text(BLOCKS[where])
    done = run(file, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text())
    assert [name for name in targets if not (page.parent / name).exists()] == []


@pytest.mark.parametrize("page", ["map.md", "tour.md"])
def test_the_map_and_the_tour_name_only_what_is_there(page: str) -> None:
    names = MAPPED.findall((ROOT / "docs" / page).read_text())
    assert len(names) > 10
    assert [name for name in names if not (ROOT / "src/shoal" / name).exists()] == []


@pytest.mark.parametrize("page", [*PAGES[:1], ROOT / "docs/command.md"], ids=lambda page: page.name)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    shown = set(COMMAND.findall(page.read_text()))
    assert shown
    assert shown <= set(COMMANDS)


def test_the_readme_fits_on_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 70
