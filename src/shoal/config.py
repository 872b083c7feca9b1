"""What can be set: each setting with its limits, its value and where that came from.

A service declares its settings beside itself, as a small frozen dataclass:

    @dataclass(frozen=True, slots=True)
    class MainlineSettings:
        \"\"\"BitTorrent's DHT.\"\"\"

        section: ClassVar[str] = "mainline"
        alpha: int = setting(3, "questions in flight", least=1, most=16)
        rate: float = setting(50_000.0, "answers", unit="B/s")

Config gathers them without knowing any: the composition root hands the classes
to `Config.load`, which asks, the later the stronger: the defaults, the profile,
the file config.toml, SHOAL_* variables, and flags.  A program that makes its
Config itself reads no file: `Config(profile="local", settings=[...])`.

Profile `public` (the default) may know the famous names of each network;
`local` has none and refuses to dial or announce beyond loopback.
"""

import logging
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

from shoal.errors import ConfigError
from shoal.quantity import parse_quantity

PROFILES = ("public", "local")
PREFIX = "SHOAL_"
OTHERS = ("SHOAL_CONFIG", "SHOAL_CODE")  # variables that are no settings: the file, a code to get
FILE = "config.toml"  # in the home folder
ITEMS_MAX = 1000  # of a list: nobody writes more by hand

log = logging.getLogger(__name__)
Settings = TypeVar("Settings")
Texts = Mapping[str, Any]  # setting, as `section.name` -> the value given


def setting(
    default: Any,
    says: str,
    *,
    unit: str = "",
    least: float | None = None,
    most: float | None = None,
    choices: Sequence[str] = (),
    public: Any = None,
) -> Any:
    """A setting of a settings class: its default, one line of help, its unit and its limits.

    `public` is the value that profile `public` gives it when the command runs.
    """
    limits = {"least": least, "most": most, "choices": tuple(choices)}
    return field(default=default, metadata={"says": says, "unit": unit, "public": public, **limits})


def read_profile() -> str:
    return os.environ.get("SHOAL_PROFILE", PROFILES[0])


def read_home() -> str:
    """SHOAL_HOME, else the place that XDG names."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return os.path.expanduser(os.environ.get("SHOAL_HOME") or f"{data}/shoal")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one node: its own, and those of its services by their class."""

    section: ClassVar[str] = ""
    profile: str = field(
        default_factory=read_profile,
        metadata={"says": "public, or local: nothing beyond loopback", "choices": PROFILES},
    )
    home: str = field(
        default_factory=read_home, metadata={"says": "the folder of what the node keeps"}
    )
    listen: Sequence[str] = setting(
        ("/ip4/0.0.0.0/tcp/0",), "addresses on which to accept connections"
    )
    bootstrap: Sequence[str] = setting(
        (), "peers to start from: HOST:PORT or a multiaddr, each used by the networks it suits"
    )
    dht: Sequence[str] = setting(("mainline",), "the DHTs to use; the first one stores values")
    settings: Sequence[Any] = field(default=(), repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("listen", "bootstrap", "dht"):
            object.__setattr__(self, name, parse_list(getattr(self, name)))
        object.__setattr__(self, "settings", tuple(self.settings))
        for each in (self, *self.settings):
            check(each)

    @classmethod
    def load(
        cls,
        kinds: Iterable[type[Any]] = (),
        *,
        file: str | None = None,
        environ: Mapping[str, str] | None = None,
        flags: Texts | None = None,
    ) -> "Config":
        """All sources together; `kinds` are the settings classes of the services."""
        kinds, flags = tuple(kinds), flags or {}
        given = Given({kind.section: kind for kind in (cls, *kinds)})
        environ = os.environ if environ is None else environ
        home = str(flags.get("home") or environ.get("SHOAL_HOME") or read_home())
        given.add_file(file or environ.get("SHOAL_CONFIG"), Path(home) / FILE)
        given.add_environment(environ)
        for key, value in flags.items():
            given.add(key, value, "flag")
        given.add_profile()
        own = {"profile": PROFILES[0], **given.values("")}
        own["home"] = os.path.abspath(os.path.expanduser(own.get("home") or home))
        services = [kind(**given.values(kind.section)) for kind in kinds]
        return cls(**own, settings=services, origins=given.origins)

    def of(self, kind: type[Settings]) -> Settings:
        """The settings of this class; its defaults when none were given."""
        found = next((each for each in self.settings if type(each) is kind), None)
        return kind() if found is None else found

    def origin(self, key: str) -> str:
        """Where the value of `section.name` came from."""
        return self.origins.get(key, "default")

    @property
    def loopback_only(self) -> bool:
        """Whether dialling and announcing beyond this machine is refused."""
        return self.profile == "local"

    def allows(self, host: str) -> bool:
        """Whether this address (or name) may be dialled, announced and listened on."""
        return not self.loopback_only or is_loopback(host)

    def rows(self) -> list[dict[str, Any]]:
        """Each setting with its value, origin, unit and help: what `shoal config` shows."""
        rows = []
        for each in (self, *self.settings):
            for one in described(type(each)):
                key, value = join(each.section, one.name), getattr(each, one.name)
                words = {"unit": one.metadata.get("unit", ""), "says": one.metadata["says"]}
                rows.append({"key": key, "value": value, "origin": self.origin(key), **words})
        return rows


class Given:
    """Values on their way into a Config: the last one added for a key holds."""

    def __init__(self, kinds: Mapping[str, type]) -> None:
        self.origins: dict[str, str] = {}
        self._kinds = kinds
        self._values: dict[str, dict[str, Any]] = {section: {} for section in kinds}
        self._known = {
            join(section, one.name): (section, one)
            for section, kind in kinds.items()
            for one in described(kind)
        }

    def add(self, key: str, value: Any, origin: str) -> None:
        if key not in self._known:
            raise unknown(key, origin, sorted(self._known))
        section, one = self._known[key]
        hint = get_type_hints(self._kinds[section])[one.name]
        try:
            self._values[section][one.name] = convert(value, hint, one)
        except ValueError as error:
            raise refused(key, value, origin, str(error)) from None
        self.origins[key] = origin

    def add_file(self, named: str | None, usual: Path) -> None:
        path = Path(named) if named else usual
        try:
            tree = tomllib.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            if named:
                raise ConfigError(f"there is no settings file {path}") from None
            return
        except (OSError, ValueError) as error:
            raise ConfigError(f"the settings file {path} cannot be read: {error}") from None
        for key, value in tree.items():
            if isinstance(value, dict):
                for name, inner in value.items():
                    self.add(join(key, name), inner, str(path))
            else:
                self.add(key, value, str(path))

    def add_environment(self, environ: Mapping[str, str]) -> None:
        keys = {PREFIX + key.replace(".", "_").upper(): key for key in self._known}
        for variable, value in sorted(environ.items()):
            if variable in keys:
                self.add(keys[variable], value, variable)
            elif variable.startswith(PREFIX) and variable not in OTHERS:
                log.warning("%s is no setting and changes nothing", variable)

    def add_profile(self) -> None:
        """What the profile says where nobody else said anything."""
        if self._values[""].get("profile", PROFILES[0]) != "public":
            return
        for key, (section, one) in self._known.items():
            if one.metadata.get("public") is not None and key not in self.origins:
                self._values[section][one.name] = one.metadata["public"]
                self.origins[key] = "profile public"

    def values(self, section: str) -> dict[str, Any]:
        return self._values[section]


def described(kind: type) -> list[Field[Any]]:
    """The fields of a settings class that a user can set."""
    return [one for one in fields(kind) if "says" in one.metadata]


def check(settings: Any) -> None:
    """Refuse a value outside its limits, whoever wrote it."""
    for one in described(type(settings)):
        value = getattr(settings, one.name)
        try:
            within(value, one)
        except ValueError as error:
            key = join(settings.section, one.name)
            raise refused(key, value, "", str(error)) from None


def convert(value: Any, hint: Any, one: Field[Any]) -> Any:
    """A value as TOML or as text, in the type of its setting; ValueError says what is allowed."""
    if hint is bool:
        converted: Any = parse_flag(value)
    elif hint in (int, float):
        number = parse_quantity(value, one.metadata.get("unit", ""))
        if hint is int and number != int(number):
            raise ValueError("allowed is a whole number")
        converted = hint(number)
    elif hint is str:
        converted = parse_text(value)
    else:
        converted = parse_list(value)
    within(converted, one)
    return converted


def within(value: Any, one: Field[Any]) -> None:
    """ValueError, saying what is allowed, unless the value is within the setting's limits."""
    limits = one.metadata
    choices, least, most = limits.get("choices"), limits.get("least"), limits.get("most")
    unit = f" {limits['unit']}" if limits.get("unit") else ""
    values = value if isinstance(value, tuple) else (value,)
    if choices and not set(values) <= set(choices):
        raise ValueError(f"allowed are {', '.join(choices)}")
    if least is not None and value < least:
        raise ValueError(f"the least allowed is {least:,}{unit}")
    if most is not None and value > most:
        raise ValueError(f"the most allowed is {most:,}{unit}")


def parse_flag(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError("allowed are true and false")
    return words[word]


def parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("allowed is a text in quotes")
    return value


def parse_list(value: Any) -> tuple[str, ...]:
    """A TOML list, or texts with commas between them."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) > ITEMS_MAX:
        raise ValueError(f"allowed is a list of at most {ITEMS_MAX} texts")
    return tuple(item for each in items if (item := parse_text(each).strip()))


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def join(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


def refused(key: str, value: Any, origin: str, allowed: str) -> ConfigError:
    where = f" ({origin})" if origin else ""
    return ConfigError(f"{key} = {value!r}{where}: {allowed}")


def unknown(key: str, origin: str, known: Sequence[str]) -> ConfigError:
    section = key.rpartition(".")[0]
    alike = [name for name in known if name.rpartition(".")[0] == section]
    return ConfigError(f"{key} ({origin}) is no setting: known are {', '.join(alike or known)}")
