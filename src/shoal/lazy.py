"""Modules that cost much to load, loaded when something of them is first used.

    if TYPE_CHECKING:
        import aiohttp
    else:
        aiohttp = Lazy("aiohttp")

A node that serves no HTTP should not pay 200 ms for aiohttp, nor one without
TLS 70 ms for OpenSSL.  Written at the top, as any import; what was used once is
found without a detour.
"""

from importlib import import_module
from typing import Any


class Lazy:
    """Stands for a module until something of it is asked for, and afterwards."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, wanted: str) -> Any:
        found = getattr(import_module(self._name), wanted)
        self.__dict__[wanted] = found
        return found
