"""Trying what may be refused."""

from collections.abc import Callable
from typing import Any

from shoal.errors import ProtocolError


def attempt(call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call gave; None if it was a breach of the protocol. Other errors are raised."""
    try:
        return call(*arguments)
    except ProtocolError:
        return None
