"""Where the independent programs are; a test that needs a missing one skips by its name.

node("grenache/caller.mjs")    the command that runs tests/interop/js/grenache/caller.mjs
venv_python("libtorrent")      the interpreter that can import libtorrent
program("aria2c")              the path of an installed program
"""

import json
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from tests.interop import install

SCRIPTS = Path(__file__).parent / "js"


def node(script: str) -> list[str]:
    """The command for a script of js/GROUP/, which sees the npm packages of its group."""
    group = Path(script).parts[0]
    for kind, name in (("pypi", "node"), ("npm", group)):
        if not install.is_installed(kind, name):
            skip(kind, name)
    copied = install.folder_of("npm", group) / Path(script).name  # beside its node_modules
    shutil.copyfile(SCRIPTS / script, copied)
    return [str(install.node()), str(copied)]


def venv_python(group: str) -> str:
    """The interpreter of a group of PyPI packages."""
    if not install.is_installed("pypi", group):
        skip("pypi", group)
    return str(install.venv_python(group))


def program(name: str) -> str:
    """A program that a Debian package brings."""
    found = shutil.which(name)
    return found or skip("debian", name)


def skip(kind: str, group: str) -> NoReturn:
    try:
        reasons = json.loads((install.FOLDER / "missing.json").read_text())
    except (OSError, ValueError):
        reasons = {}
    reason = reasons.get(f"{kind}/{group}", "`make interop` installs it")
    pytest.skip(f"{group} ({kind}) is missing: {reason}")
