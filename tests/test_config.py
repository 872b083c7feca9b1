"""Every setting has limits, and every value knows where it came from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import shoal
from shoal.config import Config, setting
from shoal.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PondSettings:
    """A service of the tests."""

    section: ClassVar[str] = "pond"
    alpha: int = setting(3, "questions in flight", least=1, most=16)
    rate: float = setting(1000.0, "answers", unit="B/s")
    memory: int = setting(2**20, "kept", unit="B", most=2**30)
    wait: float = setting(2.0, "patience", unit="s")
    open: bool = setting(True, "to all")
    mood: str = setting("calm", "its temper", choices=("calm", "wild"))
    fish: tuple[str, ...] = setting(("carp",), "who lives here", choices=("carp", "pike"))
    names: tuple[str, ...] = setting((), "known peers", public=("pond.example:1",))


def load(tmp_path: Path, text: str = "", **sources: Any) -> Config:
    file = tmp_path / "given.toml"
    file.write_text(text)
    sources = {"environ": {}, "file": str(file), **sources}
    return Config.load([PondSettings], **sources)


def test_the_public_name_is_shoal_config() -> None:
    config = shoal.Config(bootstrap=["127.0.0.1:6881"], dht=["mainline"], profile="local")
    assert config.bootstrap == ("127.0.0.1:6881",)
    assert config.dht == ("mainline",)


def test_a_library_user_has_no_bootstrap_names_and_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text("bootstrap = ['a.example:1']")
    assert Config(profile="public").bootstrap == ()
    assert Config().of(PondSettings) == PondSettings()


def test_settings_of_a_service_are_found_by_their_class() -> None:
    config = Config(settings=[PondSettings(alpha=5)])
    assert config.of(PondSettings).alpha == 5


def test_the_later_source_is_the_stronger(tmp_path: Path) -> None:
    text = "[pond]\nalpha = 4\nmood = 'wild'\nwait = '1.5s'"
    config = load(
        tmp_path,
        text,
        environ={"SHOAL_POND_ALPHA": "5", "SHOAL_POND_WAIT": "100ms"},
        flags={"pond.alpha": 6},
    )
    pond = config.of(PondSettings)
    assert (pond.alpha, pond.wait, pond.mood, pond.open) == (6, 0.1, "wild", True)
    keys = ["pond.alpha", "pond.wait", "pond.mood", "pond.open", "pond.names"]
    file = str(tmp_path / "given.toml")
    origins = ["flag", "SHOAL_POND_WAIT", file, "default", "profile public"]
    assert [config.origin(key) for key in keys] == origins


def test_a_variable_that_is_no_setting_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, environ={"SHOAL_PROFLIE": "local", "SHOAL_CODE": "7-a-b", "HOME": "/x"})
    assert caplog.messages == ["SHOAL_PROFLIE is no setting and changes nothing"]


def test_a_home_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, flags={"home": "pond"}).home == str(tmp_path / "pond")
    assert load(tmp_path, environ={"SHOAL_HOME": ""}).home.endswith("shoal")


def test_text_is_read_by_its_unit(tmp_path: Path) -> None:
    text = "[pond]\nrate = '5M'\nmemory = '64KiB'\nopen = 'no'\nnames = 'a:1, b:2'"
    pond = load(tmp_path, text).of(PondSettings)
    assert (pond.rate, pond.memory, pond.open, pond.names) == (5e6, 65536, False, ("a:1", "b:2"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pond]\nalpha = 17", "pond.alpha = 17 (FILE): the most allowed is 16"),
        ("[pond]\nalpha = 0", "pond.alpha = 0 (FILE): the least allowed is 1"),
        ("[pond]\nalpha = 1.5", "pond.alpha = 1.5 (FILE): allowed is a whole number"),
        ("[pond]\nalpha = 'x'", "pond.alpha = 'x' (FILE): allowed is a number"),
        ("[pond]\nmood = 'sad'", "pond.mood = 'sad' (FILE): allowed are calm, wild"),
        ("[pond]\nfish = ['pike', 'cat']", "['pike', 'cat'] (FILE): allowed are carp, pike"),
        ("[pond]\nmood = 1", "pond.mood = 1 (FILE): allowed is a text in quotes"),
        ("[pond]\nopen = 'perhaps'", "pond.open = 'perhaps' (FILE): allowed are true and false"),
        ("[pond]\nrate = '5 parrots'", "pond.rate = '5 parrots' (FILE): allowed is a rate"),
        ("[pond]\nnames = 5", "pond.names = 5 (FILE): allowed is a list"),
        ("[pond]\nmemory = '2GiB'", "the most allowed is 1,073,741,824 B"),
        ("profile = 'secret'", "profile = 'secret' (FILE): allowed are public, local"),
        ("[pond]\nalhpa = 3", "pond.alhpa (FILE) is no setting: known are pond.alpha, pond.fish"),
        ("[lake]\na = 3", "lake.a (FILE) is no setting: known are"),
        ("[pond", "the settings file FILE cannot be read"),
        ("[pond.deep]\nx = 1", "pond.deep (FILE) is no setting"),
        ("pond = 3", "pond (FILE) is no setting"),
    ],
)
def test_a_bad_value_is_told_with_file_key_value_and_what_is_allowed(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert said.replace("FILE", str(tmp_path / "given.toml")) in str(caught.value)


def test_limits_hold_for_a_program_too() -> None:
    with pytest.raises(ConfigError, match=r"pond\.alpha = 99: the most allowed is 16"):
        Config(settings=[PondSettings(alpha=99)])
    with pytest.raises(ConfigError, match="profile"):
        Config(profile="privat")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no settings file"):
        load(tmp_path, file=str(tmp_path / "absent.toml"))
    assert load(tmp_path, file=None, flags={"home": str(tmp_path)}).home == str(tmp_path)


def test_the_usual_file_is_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("dht = ['mainline', 'libp2p']")
    config = Config.load(environ={"SHOAL_HOME": str(tmp_path)})
    assert config.dht == ("mainline", "libp2p")
    assert config.origin("dht") == str(tmp_path / "config.toml")
    assert config.origin("home") == "SHOAL_HOME"


def test_profile_local_knows_no_names_and_stays_on_loopback(tmp_path: Path) -> None:
    config = load(tmp_path, environ={"SHOAL_PROFILE": "local"})
    assert config.of(PondSettings).names == ()
    assert config.loopback_only
    allowed = ["127.0.0.1", "127.8.9.1", "::1", "localhost"]
    refused = ["192.168.1.2", "0.0.0.0", "::", "fe80::1%eth0", "example.org", "127.evil", ""]
    assert all(map(config.allows, allowed))
    assert not any(map(config.allows, refused))


def test_profile_public_allows_every_host(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.of(PondSettings).names == ("pond.example:1",)
    assert config.allows("192.0.2.1")


def test_rows_show_every_setting(tmp_path: Path) -> None:
    rows = {row["key"]: row for row in load(tmp_path, flags={"pond.alpha": "4"}).rows()}
    assert rows["pond.alpha"] == {
        "key": "pond.alpha",
        "value": 4,
        "origin": "flag",
        "unit": "",
        "says": "questions in flight",
    }
    assert {"profile", "home", "listen", "bootstrap", "dht", "pond.mood"} <= set(rows)
