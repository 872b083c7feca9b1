"""Every exception a user can catch.

    ShoalError
    ├── ProtocolError       the peer broke the rules
    │   └── RefusedError    or said no, in its own words
    ├── UsageError          we did: a bad argument, a closed object
    │   └── ConfigError     a setting that cannot be used
    ├── UnreachableError    the world did: no address answered
    │   └── NotRunningError there is no node to ask
    ├── NotFoundError       nobody who answered has it
    ├── LimitError          a bound in Config was reached
    ├── StorageError        a file could not be read or kept
    │   ├── DiskFullError
    │   ├── ReadOnlyError
    │   ├── MissingError
    │   └── LockedError     another process uses this home
    ├── ClosedError         the stream or connection has ended
    │   └── ResetError      and the other side cut it off
    └── SimulationError     a simulated run went wrong; it names the seed
        ├── DeadlockError   everybody waits and nothing will happen any more
        ├── LivelockError   everybody runs and time stands still
        └── NotSimulatedError  something was used that a simulated world has not

Errors say whose fault it was.  A docstring is the sentence that a user sees;
the command prints it before what was tried and what to do next.
"""


class ShoalError(Exception):
    """Something went wrong in Shoal."""

    advice = ""  # what to do next, when whoever raises it knows better than its kind tells


class ProtocolError(ShoalError):
    """The peer broke the rules of the protocol."""


class RefusedError(ProtocolError):
    """The other side refused."""


class UsageError(ShoalError):
    """This call cannot be made like that."""


class ConfigError(UsageError):
    """A setting cannot be used."""


class UnreachableError(ShoalError):
    """The peer could not be reached at any address."""

    def __init__(self, message: str, reasons: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})  # address -> why it failed

    def __str__(self) -> str:
        tried = "; ".join(f"{address}: {reason}" for address, reason in self.reasons.items())
        return f"{self.args[0]} ({tried})" if tried else str(self.args[0])


class NotRunningError(UnreachableError):
    """No node runs in this home."""

    advice = "start one with `shoal up`"


class NotFoundError(ShoalError):
    """Nobody who answered has it."""


class LimitError(ShoalError):
    """A limit was reached."""


class StorageError(ShoalError):
    """A file could not be read or kept."""


class DiskFullError(StorageError):
    """The disk is full."""


class ReadOnlyError(StorageError):
    """The folder cannot be written."""


class MissingError(StorageError):
    """There is no such file or folder."""


class LockedError(StorageError):
    """Another process uses this home."""


class ClosedError(ShoalError):
    """The stream or connection has ended."""


class ResetError(ClosedError):
    """The other side cut the stream off."""


class SimulationError(ShoalError):
    """The simulated run went wrong."""


class DeadlockError(SimulationError):
    """Everybody waits, and nothing is left that could wake anybody."""


class LivelockError(SimulationError):
    """Callbacks run without end while the simulated time stands still."""


class NotSimulatedError(SimulationError, NotImplementedError):
    """This does not exist in a simulated world.

    Libraries know asyncio's NotImplementedError, and take another way where they have one.
    """
