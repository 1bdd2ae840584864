"""The one tree of errors. Ground: imports nothing of the package.

::

    NbMonitorError
    ├── SettingError            a setting, argument or environment variable has a value that cannot be used
    ├── InputError              data handed to `log`, `log_batch`, ... cannot be shown (never raised in the loop)
    ├── RunError                a run is unknown, has ended or cannot do what was asked
    │   └── UnknownRunError
    ├── CommandError            a command was rejected, expired or could not be delivered
    ├── StoreError              a store cannot be opened or does not hold what was asked for
    ├── ServerError             the server cannot start (port in use, unsafe interface)
    ├── AttachError             no connection to the server that was to be attached, or it refused
    └── EnvironmentMissingError an optional part is not installed

A message says what happened, what was expected, and what to do about it.
"""

from __future__ import annotations


class NbMonitorError(Exception):
    """Base of every error that nbmonitor raises on purpose."""


class SettingError(NbMonitorError, ValueError):
    """A setting, argument or environment variable has a value that cannot be used."""


class InputError(NbMonitorError, ValueError):
    """Data handed over for display cannot be used as it is."""


class RunError(NbMonitorError):
    """A run cannot do what was asked of it."""


class UnknownRunError(RunError, KeyError):
    """There is no run of that id or name.

    Parameters
    ----------
    run
        The id or name that was asked for.
    known
        Names of the runs that exist.
    """

    def __init__(self, run: str, known: tuple[str, ...] = ()) -> None:
        self.run = run
        self.known = known
        there = ", ".join(known) if known else "none yet"
        super().__init__(f"There is no run {run!r}. Runs here: {there}. See `%nbmonitor runs`.")

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0])


class CommandError(NbMonitorError):
    """A command was rejected, expired or could not be delivered."""


class StoreError(NbMonitorError):
    """A store cannot be opened, or does not hold what was asked for."""


class ServerError(NbMonitorError):
    """The server cannot start or was told to listen where it must not."""


class AttachError(NbMonitorError, ConnectionError):
    """The server that was to be attached cannot be reached, or refused."""


class EnvironmentMissingError(NbMonitorError, ImportError):
    """An optional part of the installation is missing.

    Parameters
    ----------
    what
        What was asked for, in words ("the dashboard").
    extra
        Name of the extra that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f"For {what} more packages are needed than are installed here: "
            f"`pip install 'nbmonitor[{extra}]'`, then restart the kernel."
        )
