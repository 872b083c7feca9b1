"""The Config of a command: its flags over SHOAL_* over the settings file over the profile."""

from argparse import Namespace
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from shoal.config import Config
from shoal.errors import UsageError


def kinds() -> tuple[type, ...]:
    """The settings classes: of the services, which the composition root knows, and above it."""
    daemon = import_module("shoal.web.settings").DaemonSettings
    send = import_module("shoal.apps.guard").SendSettings
    return (*import_module("shoal.node").SETTINGS, send, daemon)


def load(args: Namespace, flags: Iterable[tuple[str, Any]] = ()) -> Config:
    """`flags` are the command's own, as (setting, value); absent ones are None."""
    given = {"profile": args.profile, "home": args.home, **dict(flags)}
    told = {key: value for key, value in given.items() if value is not None}
    return Config.load(kinds(), file=args.config, flags=told | pairs(args.set))


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """The KEY=VALUE of each --set."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: allowed is KEY=VALUE, such as profile=local")
        found[key.strip()] = value
    return found
