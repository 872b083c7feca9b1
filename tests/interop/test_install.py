"""A package that cannot be installed is tried again, then skipped by name."""

import subprocess
from pathlib import Path

import pytest
from tests.interop import install, programs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    monkeypatch.setattr(install, "PAUSES", (0.0, 0.0))
    packages = {"debian": {}, "pypi": {"pond": {"pond": "1.0"}}, "npm": {}}
    monkeypatch.setattr(install, "read_packages", lambda: packages)
    return tmp_path


class Registry:
    """An installer that fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tries = 0

    def install(self, group: str, versions: dict[str, str]) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise subprocess.CalledProcessError(1, "pip", output=b"first\nno answer: 503\n\n")


def use(monkeypatch: pytest.MonkeyPatch, failures: int) -> Registry:
    registry = Registry(failures)
    monkeypatch.setitem(install.INSTALLERS, "pypi", registry.install)
    return registry


def test_a_hiccup_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = use(monkeypatch, failures=2)
    assert install.install() == {}
    assert registry.tries == 3
    assert install.is_installed("pypi", "pond")


def test_what_is_there_is_not_installed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = use(monkeypatch, failures=0)
    install.install()
    install.install()
    assert registry.tries == 1


def test_another_version_is_installed_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = use(monkeypatch, failures=0)
    install.install()
    packages = {"debian": {}, "pypi": {"pond": {"pond": "1.1"}}, "npm": {}}
    monkeypatch.setattr(install, "read_packages", lambda: packages)
    install.install()
    assert registry.tries == 2


def test_a_missing_group_is_a_skip_with_its_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = use(monkeypatch, failures=9)
    assert install.install() == {"pypi/pond": "no answer: 503"}
    assert registry.tries == 3
    with pytest.raises(pytest.skip.Exception, match=r"pond \(pypi\) is missing: no answer: 503"):
        programs.venv_python("pond")


def test_every_script_belongs_to_a_group_of_packages() -> None:
    groups = {path.name for path in programs.SCRIPTS.iterdir()}
    assert groups <= set(install.read_packages()["npm"])
