"""Settings of a job: a flag for each field of a configuration, read from flags, a file, a preset and defaults."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ig_worker.errors import UsageError, did_you_mean
from jobs._parser import COMMON, KINDS, Parser, in_words

PRESETS = Path(__file__).parent / "presets"
C = TypeVar("C")


def add_settings(
    made: Parser, config: type, leave_out: Collection[str] = (), shown: Mapping[str, str] | None = None
) -> None:
    """A flag for every field of the dataclass `config`, and --config and --preset, which set many at once.

    Args:
        made: gets them.
        config: the dataclass.
        leave_out: fields that the job does not read.
        shown: what --help says instead of a field's default.
    """
    for setting in fields(config):
        if setting.name not in leave_out:
            meta, needed = setting.metadata, setting.default == ""
            how: dict[str, Any] = {"type": meta["kind"], "choices": meta["choices"] or None}
            if meta["kind"] is bool:
                how = {"action": argparse.BooleanOptionalAction}
            elif meta["many"]:
                how |= {"nargs": "+", "action": "extend"}
            made.flag(
                setting.name,
                meta["help"],
                meta["group"],
                needed=needed,
                shown=(shown or {}).get(setting.name, in_words(setting.default)),
                default=argparse.SUPPRESS,  # so that a flag that was given can be told from one that was not
                **how,
            )
    if any(setting.name == "layer" for setting in fields(config)):  # presets are about explaining a model
        text = f"settings of a published system; flags and --config beat it: {', '.join(presets())}"
        made.flag("preset", text, "everyday", metavar="NAME")
    made.flag("config", "TOML file with settings, named like the flags, which beat it", COMMON, metavar="FILE.toml")


def presets() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_settings(arguments: argparse.Namespace, config: type[C], **fixed: Any) -> C:
    """The configuration that flags, file, preset and defaults give together.

    Raises:
        UsageError: an unknown preset or key, a value of the wrong type, or a setting that is missing.
    """
    given = read_toml(Path(arguments.config)) if arguments.config else {}
    known = {setting.name for setting in fields(config)}  # type: ignore[arg-type]
    flags = {name: _unpacked(value) for name, value in vars(arguments).items() if name in known}
    return make_settings(config, given, arguments.config or "", getattr(arguments, "preset", None), **flags | fixed)


def make_settings(config: type[C], table: dict[str, Any], source: str, preset: str | None = None, **over: Any) -> C:
    """The configuration that a table of a TOML file gives.

    Args:
        config: the dataclass.
        table: keys and values as they are in the file.
        source: what messages call it.
        preset: its settings come first.
        over: what beats the table.

    Raises:
        UsageError: an unknown preset or key, a value of the wrong type, or a setting that is missing.
    """
    known = {setting.name: setting for setting in fields(config)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    if preset:
        if preset not in presets():
            raise UsageError(
                f"--preset is {preset!r}",
                expected=f"one of {', '.join(presets())}",
                remedy=did_you_mean(preset, presets()),
            )
        path = PRESETS / f"{preset}.toml"
        values |= _typed(read_toml(path), known, str(path))
    values |= _typed(table, known, source)
    values |= over
    for name, setting in known.items():
        if setting.default == "" and not values.get(name):
            raise UsageError(f"--{name} is missing", expected=setting.metadata["help"])
    return config(**values)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:  # a name with \0 in it is a wrong value to Python
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--config {path} cannot be read ({reason})", expected="a TOML file") from error
    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {path} is not TOML ({error})", expected="lines such as n_steps = 50") from error


def _typed(content: dict[str, Any], known: dict[str, Any], source: str) -> dict[str, Any]:
    values = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            nearest = did_you_mean(key, known)  # else all of them, which is a long line
            raise UsageError(
                f"{source} sets {key!r}",
                expected="" if nearest else f"settings among {', '.join(known)}",
                remedy=nearest,
            )
        meta = known[name].metadata
        if meta["kind"] is float and type(value) is int:
            value = float(value)
        if meta["many"] and type(value) is list and value and {*map(type, value)} == {meta["kind"]}:
            values[name] = _unpacked(value)
            continue
        if type(value) is not meta["kind"] or (meta["choices"] and value not in meta["choices"]):
            raise UsageError(
                f"{source} sets {key} to {value!r}",
                expected=f"one of {', '.join(meta['choices'])}" if meta["choices"] else KINDS[meta["kind"]],
                remedy=did_you_mean(str(value), meta["choices"]),
            )
        values[name] = value
    return values


def _unpacked(value: Any) -> Any:
    """One of a setting that can be given more than once as itself, several as a tuple."""
    if type(value) is not list:
        return value
    return value[0] if len(value) == 1 else tuple(value)
