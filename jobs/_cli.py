"""What the jobs share: flags made from a configuration's fields, precedence of settings, errors as one line."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ig_worker.errors import EXIT_STOPPED, EXIT_USAGE, IgWorkerError, UsageError

PRESETS = Path(__file__).parent / "presets"
_LEVELS = ("debug", "info", "warning", "error")
C = TypeVar("C")


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that all jobs have."""
    # ArgumentDefaultsHelpFormatter would also print the defaults of flags that have none.
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--log-level", choices=_LEVELS, default="warning", help="how much to tell (default: warning)")
    return made


def add_settings(made: argparse.ArgumentParser, config: type) -> None:
    """A flag for every field of the dataclass `config`, and --config and --preset, which set many at once."""
    group = made.add_argument_group("settings (a flag beats --config, that beats --preset, that beats the default)")
    group.add_argument("--config", metavar="FILE.toml", help="read settings from a TOML file")
    if any(setting.name == "model" for setting in fields(config)):  # presets are about explaining a model
        group.add_argument("--preset", metavar="NAME", help=f"named settings: {', '.join(presets())}")
    for setting in fields(config):
        meta, flag = setting.metadata, f"--{setting.name.replace('_', '-')}"
        if setting.default == "":
            text = f"{meta['help']} (required)"
        else:
            text = f"{meta['help']} (default: {'none' if setting.default is None else setting.default})"
        if meta["kind"] is bool:
            group.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=meta["help"]
            )
            continue
        group.add_argument(
            flag,
            type=meta["kind"],
            choices=meta["choices"] or None,
            default=argparse.SUPPRESS,  # so that a flag that was given can be told from one that was not
            metavar=None if meta["choices"] else meta["kind"].__name__.upper(),
            help=text.replace("%", "%%"),
        )


def presets() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_settings(arguments: argparse.Namespace, config: type[C], **fixed: Any) -> C:
    """The configuration that flags, file, preset and defaults give together.

    Raises:
        UsageError: an unknown preset or key, a value of the wrong type, or a setting that is missing.
    """
    known = {setting.name: setting for setting in fields(config)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    preset = getattr(arguments, "preset", None)
    if preset:
        if preset not in presets():
            raise UsageError(f"--preset is {preset!r}", expected=f"one of {', '.join(presets())}")
        values |= _read_toml(PRESETS / f"{preset}.toml", known)
    if arguments.config:
        values |= _read_toml(Path(arguments.config), known)
    values |= {name: value for name, value in vars(arguments).items() if name in known}
    values |= fixed
    for name, setting in known.items():
        if setting.default == "" and not values.get(name):
            raise UsageError(f"--{name} is missing", expected=setting.metadata["help"])
    return config(**values)


def _read_toml(path: Path, known: dict[str, Any]) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read ({error.strerror})", expected="a TOML file") from error
    except ValueError as error:
        raise UsageError(f"--config {path} is not TOML ({error})", expected="lines such as n_steps = 50") from error
    values = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(f"{path} sets {key!r}", expected=f"settings among {', '.join(known)}")
        meta = known[name].metadata
        if meta["kind"] is float and type(value) is int:
            value = float(value)
        if type(value) is not meta["kind"] or (meta["choices"] and value not in meta["choices"]):
            wanted = f"one of {', '.join(meta['choices'])}" if meta["choices"] else f"a {meta['kind'].__name__}"
            raise UsageError(f"{path} sets {key} to {value!r}", expected=wanted)
        values[name] = value
    return values


def run(main: Callable[[argparse.Namespace], int], made: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse, run, and turn whatever goes wrong into one line and an exit code."""
    arguments = made.parse_args(argv)
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return main(arguments)
    except IgWorkerError as error:
        _explain(error, arguments.log_level)
        return error.exit_code
    except KeyboardInterrupt:
        print("error: interrupted; run the same command again to resume", file=sys.stderr)
        return EXIT_STOPPED
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USAGE
    except Exception as error:
        if arguments.log_level == "debug":
            raise
        text = " ".join(str(error).split())
        print(
            f"error: unexpected {type(error).__name__}: {text}; run it again with --log-level debug for the trace",
            file=sys.stderr,
        )
        return EXIT_STOPPED


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def _explain(error: IgWorkerError, level: str) -> None:
    if level == "debug":
        logging.getLogger("jobs").error("%s", error, exc_info=error)
    print(f"error: {error}", file=sys.stderr)
