"""The pages become a site without a warning, and each page has its place in it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.surroundings import ROOT

CONFIG = ROOT / "mkdocs.yml"


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"([\w/-]+\.md)$", CONFIG.read_text(), re.MULTILINE))
    pages = ROOT / "docs"
    assert named == {str(page.relative_to(pages)) for page in pages.rglob("*.md")}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    shutil.copy(CONFIG, tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copytree(ROOT / "src", tmp_path / "src")
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "warning" not in (built.stdout + built.stderr).lower()
    api = (tmp_path / "site/api/index.html").read_text()
    for name in ("shoal.node.Node", "shoal.net.stream.Stream", "shoal.errors.ProtocolError"):
        assert f'id="{name}"' in api
