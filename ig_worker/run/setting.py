"""One setting of a job: a field of a frozen configuration that knows its flag, its help text and its place there."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ig_worker.errors import UsageError

# Where --help shows a setting, in this order; what is required comes first within a group.
GROUPS = {
    "everyday": "everyday",
    "data": "data (which rows, and how they are read)",
    "model": "model (what is loaded, and what it reads)",
    "method": "method (what is computed)",
    "cluster": "cluster (who computes, and in which pieces)",
    "limits": "limits (when to stop, and what to try again)",
    "alerts": "alerts (who is told)",
}


def setting(
    default: Any,
    help: str,
    group: str,
    *,
    identity: bool = True,
    choices: tuple[str, ...] = (),
    kind: Any = None,
    many: bool = False,
) -> Any:
    """A field of a configuration: what --help says of it and where, and whether it decides the result.

    Args:
        default: "" where it has to be given.
        help: one line, without the default.
        group: one of `GROUPS`.
        identity: it decides the numbers in the result, and so is part of a run's fingerprint.
        choices: the values that it may have; none: any.
        kind: its type, where the default does not tell.
        many: it can be given more than once; then it is a tuple.
    """
    meta = {
        "help": help,
        "group": group,
        "identity": identity,
        "choices": choices,
        "kind": kind or type(default),
        "many": many,
    }
    return field(default=default, metadata=meta)


def at_least(name: str, value: int, least: int) -> None:
    """Raise UsageError where a setting is below what it has to be at least."""
    if value < least:
        raise UsageError(f"--{name.replace('_', '-')} is {value}", expected=f"at least {least}")


def above_zero(name: str, seconds: float | None) -> None:
    """Raise UsageError where a time in seconds is not above 0; None is no limit."""
    if seconds is not None and not seconds > 0:  # nan is not above 0 either
        raise UsageError(f"--{name.replace('_', '-')} is {seconds}", expected="a number of seconds above 0")
