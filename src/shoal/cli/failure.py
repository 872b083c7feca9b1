"""What went wrong, in three sentences and one number.

Whoever reads an error wants to know what happened, what was tried, and what
to do next.  The first comes from the docstring in errors.py and the message,
the second from the reasons and notes that an exception carries, the third
from its `advice` or, when the raiser knows none, from its kind.
"""

import errno
from dataclasses import dataclass

from shoal.errors import (
    ConfigError,
    DiskFullError,
    LimitError,
    LockedError,
    NotFoundError,
    ProtocolError,
    ReadOnlyError,
    ShoalError,
    StorageError,
    UnreachableError,
    UsageError,
)

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3  # nobody had it, or not in time
UNREACHABLE = 4
INTERRUPTED = 130  # 128 + SIGINT, as shells count

CODES: list[tuple[type[BaseException], int]] = [  # the first that fits
    (UsageError, USAGE),
    (NotFoundError, NOT_FOUND),
    (UnreachableError, UNREACHABLE),
    (TimeoutError, NOT_FOUND),
    (ConnectionError, UNREACHABLE),
    (KeyboardInterrupt, INTERRUPTED),
]
ADVICE: list[tuple[type[BaseException], str]] = [  # the first that fits
    (ConfigError, "`shoal config` shows each setting and where it came from"),
    (UsageError, "`shoal --help` lists the commands"),
    (NotFoundError, "try again with a longer --timeout, or name a peer that has it"),
    (UnreachableError, "check that the peer runs and that its address and port are right"),
    (LimitError, "wait for other work to end, or raise the limit (`shoal config`)"),
    (DiskFullError, "free some space and run the command again: it goes on where it was"),
    (ReadOnlyError, "choose another folder, or make this one writable"),
    (LockedError, "use the node that runs already, or give this one another --home"),
    (StorageError, "check the disk and the file, then run the command again"),
    (ProtocolError, "try another peer: this one is broken or speaks another version"),
    (ShoalError, "run it again with --debug to see where"),
    (TimeoutError, "try again with a longer --timeout"),
    (ConnectionError, "check that the peer runs and that its address and port are right"),
    (OSError, "check the name and the permissions"),
    (KeyboardInterrupt, "run it again to go on"),
]
BY_NUMBER = {  # what the system said
    errno.EADDRINUSE: "choose another port, or end the program that has this one",
    errno.EADDRNOTAVAIL: "listen on an address that this machine has",
    errno.EACCES: "make the file readable and writable for this user",
    errno.EROFS: "choose another folder: this disk cannot be written",
    errno.ENOSPC: "free some space and run the command again",
    errno.EMFILE: "allow more open files (`ulimit -n`), or lower the limits (`shoal config`)",
}
MISTAKE = "run it again with --debug and report what it prints: this is a mistake in Shoal"


@dataclass(frozen=True, slots=True)
class Failure:
    """What the command says about an exception, and its exit code."""

    kind: str
    happened: str
    tried: list[str]
    advice: str
    code: int


def explain(error: BaseException) -> Failure:
    error = innermost(error)
    return Failure(
        kind=type(error).__name__,
        happened=what_happened(error),
        tried=what_was_tried(error),
        advice=what_to_do(error),
        code=next((code for kind, code in CODES if isinstance(error, kind)), FAILED),
    )


def innermost(error: BaseException) -> BaseException:
    """A TaskGroup's first failure: the others are mostly its echo."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def what_happened(error: BaseException) -> str:
    message = str(error.args[0]) if isinstance(error, ShoalError) and error.args else str(error)
    if isinstance(error, ShoalError):
        kind = (type(error).__doc__ or "Something went wrong.").splitlines()[0].rstrip(".")
        return f"{kind}: {message}" if message else kind
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror[0].upper()}{error.strerror[1:]}{where}"
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted"
    if isinstance(error, TimeoutError):
        return message or "It did not happen in time"
    return f"Something unforeseen happened: {type(error).__name__}: {message}".rstrip(": ")


def what_was_tried(error: BaseException) -> list[str]:
    reasons = error.reasons if isinstance(error, UnreachableError) else {}
    tried = [f"{address}: {reason}" for address, reason in reasons.items()]
    return [*tried, *getattr(error, "__notes__", [])]


def what_to_do(error: BaseException) -> str:
    own: str = getattr(error, "advice", "")
    system = error if isinstance(error, OSError) else error.__cause__
    if isinstance(system, OSError):
        own = own or BY_NUMBER.get(system.errno or 0, "")
    return own or next((text for kind, text in ADVICE if isinstance(error, kind)), MISTAKE)
