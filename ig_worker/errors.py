"""Every error this project raises on purpose, and the exit code each one ends a job with.

IgWorkerError
├── UsageError               1  wrong use or bad input; nothing was started
│   ├── DataError            1  a fault of a data file or of its schema
│   ├── ModelError           1  a model that cannot be loaded, split or explained
│   ├── StorageError         1  a RUN or MODEL that cannot be read or written
│   └── RunMismatchError     1  the RUN was made with another configuration
├── RowError                 -  one row cannot be explained; it goes to quarantine, the run goes on
├── RunStoppedError          4  stopped before the end; run the same command again to resume
└── RunDamagedError          5  a file of the run is not what the run wrote
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_OK = 0
EXIT_USAGE = 1
EXIT_QUARANTINED = 3
EXIT_STOPPED = 4
EXIT_DAMAGED = 5  # also where an audit is beyond its limit
EXIT_THRESHOLD = 6  # a night, or a comparison, has crossed a threshold; no error, so nothing raises it


class IgWorkerError(Exception):
    """One line for the person at the terminal: what (with its value), what was expected, what to do.

    Args:
        what: the thing and its value, such as ``--n-steps is 0``.
        expected: what would have been right, such as ``a whole number of at least 1``.
        remedy: what the reader can do about it.
    """

    exit_code = EXIT_USAGE

    def __init__(self, what: str, *, expected: str = "", remedy: str = "") -> None:
        self.what = what
        self.expected = expected
        self.remedy = remedy
        parts = [what, expected and f"expected {expected}", remedy]
        super().__init__(" ".join("; ".join(part for part in parts if part).split()))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders by pickle, which would otherwise lose the keyword arguments.
        return _rebuild, (type(self), self.what, self.expected, self.remedy)


def _rebuild(kind: type[IgWorkerError], what: str, expected: str, remedy: str) -> IgWorkerError:
    return kind(what, expected=expected, remedy=remedy)


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The remedy for a mistyped name: a question for the nearest of `names`; nothing where none is near.

    Case, leading dashes and the choice of hyphen or underscore do not matter. The beginning of a name stands for all
    that begin so.
    """
    known = {_plain(name): name for name in names}
    typed = _plain(word)
    begun = [name for name in known if typed and name.startswith(typed)]
    close = difflib.get_close_matches(typed, known, n=1, cutoff=0.65)  # at difflib's 0.6 "split" is near "limit"
    near = list(dict.fromkeys([*begun, *close]))[:3]
    return f"did you mean {' or '.join(known[name] for name in near)}?" if near else ""


def _plain(name: str) -> str:
    return name.lower().lstrip("-").replace("_", "-")


class UsageError(IgWorkerError):
    """Wrong use or bad input; nothing was started."""


class DataError(UsageError):
    """A fault of a data file or of its schema."""


class ModelError(UsageError):
    """A model that cannot be loaded, split or explained."""


class StorageError(UsageError):
    """A RUN or MODEL that cannot be read or written."""


class RunMismatchError(UsageError):
    """The RUN was made with another configuration."""


class RowError(IgWorkerError):
    """One row cannot be explained. ``reason`` is a short code that the quarantine file keeps."""

    def __init__(self, what: str, *, expected: str = "", remedy: str = "", reason: str = "error") -> None:
        super().__init__(what, expected=expected, remedy=remedy)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_row, (self.what, self.expected, self.remedy, self.reason)


def _rebuild_row(what: str, expected: str, remedy: str, reason: str) -> RowError:
    return RowError(what, expected=expected, remedy=remedy, reason=reason)


class RunStoppedError(IgWorkerError):
    """Stopped before the end; run the same command again to resume."""

    exit_code = EXIT_STOPPED


class RunDamagedError(IgWorkerError):
    """A file of the run is not what the run wrote."""

    exit_code = EXIT_DAMAGED
