"""What becomes of a key of a transformers ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Use(Enum):
    """What becomes of a key."""

    HONOURED = "honoured"  # followed in all its values, those that cannot be followed refused, by whoever `why` names
    HARMLESS = "harmless"  # no value changes the class probabilities of a text
    FIXED = "fixed"  # refused but for the values in `only`


@dataclass(frozen=True)
class Key:
    """A key of config.json."""

    use: Use
    why: str
    only: tuple[Any, ...] = ()  # of Use.FIXED: what is not refused


def honoured(why: str, *names: str) -> dict[str, Key]:
    """Keys that are followed."""
    return dict.fromkeys(names, Key(Use.HONOURED, why))


def harmless(why: str, *names: str) -> dict[str, Key]:
    """Keys without effect on what is computed here."""
    return dict.fromkeys(names, Key(Use.HARMLESS, why))


def fixed(why: str, only: tuple[Any, ...], *names: str) -> dict[str, Key]:
    """Keys that are refused but for the values in `only`."""
    return dict.fromkeys(names, Key(Use.FIXED, why, only))


def json_name(value: Any) -> str:
    """A value as JSON writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", False: "false", True: "true"}[value]
    return repr(value)
