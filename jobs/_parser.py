"""The command line of a job: flags in groups, help that fits 80 columns, and one line for what is mistyped."""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import sys
import textwrap
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NoReturn

from ig_worker.errors import UsageError, did_you_mean
from ig_worker.run import logs
from ig_worker.run.setting import GROUPS

COMMON = "common"
KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_EXAMPLES = "\n\nExamples:\n"
_WIDTH = 80  # columns
_ROOM = 40  # columns for the choices beside a flag; more of them go into its text


def command(module: str) -> str:
    """What a person types to start a job, in the way in which this process was started."""
    started = sys.argv[0]  # `jobs.__main__` puts it there, such as "ig-worker explain"; otherwise it is a file
    return started if started.endswith(f" {module.removeprefix('jobs.')}") else f"python -m {module}"


def in_words(default: Any) -> str:
    """A default as --help shows it."""
    return {"None": "none", "True": "yes", "False": "no"}.get(str(default), str(default))


class _Formatter(argparse.HelpFormatter):
    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)  # of flags and presets


class Parser(argparse.ArgumentParser):
    """Reads the flags of a job.

    Flags cannot be abbreviated: a script with `--max-l` would stop working on the day on which a second flag begins so.

    Args:
        module: such as ``jobs.explain``.
        doc: the job's docstring: what it does and, after a line ``Examples:``, commands.
    """

    def __init__(self, module: str, doc: str | None) -> None:
        description, _, examples = inspect.cleandoc(doc or "").partition(_EXAMPLES)
        super().__init__(
            prog=command(module),
            description=description,
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self._examples = textwrap.dedent(examples).replace(f"python -m {module} ", f"{self.prog} ")
        titles = GROUPS | {COMMON: COMMON}
        self._groups = {name: self.add_argument_group(title) for name, title in titles.items()}
        self._groups[COMMON].add_argument("-h", "--help", action="help", help="show this and exit")
        self._needed: set[str] = set()

    def flag(
        self, name: str, help: str, group: str = "", *, needed: bool = False, shown: str | None = None, **how: Any
    ) -> None:
        """Add a flag, whose help text ends with its default.

        Args:
            name: such as ``n_steps`` for ``--n-steps``.
            help: without the default.
            group: where --help shows it: one of `GROUPS`, or `COMMON`. A flag of one job alone needs none.
            needed: it has to be given, here or in a file; one that is `required` has to be given here.
            shown: its default, where that is not the value of `default`.
            how: what `add_argument` takes.
        """
        needed = needed or how.get("required", False)
        if needed:
            self._needed.add(name)
        choices = how.get("choices") or ()
        beside = f"{{{','.join(choices)}}}"
        if len(beside) > _ROOM:
            help, beside = f"{help}: {', '.join(choices)}", name.upper()
        if how.get("action", "extend") == "extend":
            kind = name.upper() if needed else how.get("type", str).__name__.upper()
            how.setdefault("metavar", beside if choices else kind)
        ending = "required" if needed else f"default: {in_words(how.get('default')) if shown is None else shown}"
        place = self._groups[group] if group else self
        place.add_argument(f"--{name.replace('_', '-')}", help=f"{help} ({ending})".replace("%", "%%"), **how)

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The flags and what they were set to; ends the process with argparse's own code where they are wrong."""
        words = list(sys.argv[1:] if argv is None else argv)
        if not {"-h", "--help"} & set(words):  # first of all: argparse names the flags that are missing, and only those
            for word in takewhile(lambda word: word != "--", words):
                self._check_flag(word.partition("=")[0])
        return self.parse_args(self._joined(words))

    def _joined(self, words: list[str]) -> list[str]:
        """The words, with values such as ``-1=negative`` put to their flags: argparse would take them for flags."""
        joined: list[str] = []
        for word in words:
            if joined and joined[-1] in self._option_string_actions and re.match(r"-\d+(\.\d+)?=", word):
                joined[-1] += f"={word}"
            else:
                joined.append(word)
        return joined

    def _check_flag(self, word: str) -> None:
        known = self._option_string_actions
        if word in known or not re.fullmatch(r"--?[A-Za-z]\S*", word):
            return
        for action in self._actions:
            if not action.option_strings and word == f"--{action.dest}":
                self._end(f"unknown flag {word}; give {action.metavar} without one: {self._short_usage()}")
        self._end(f"unknown flag {word}; {did_you_mean(word, known) or self._see_help()}")

    def error(self, message: str) -> NoReturn:
        self._end(f"{message}; {self._see_help()}")

    def _see_help(self) -> str:
        return f"{self.prog} --help shows all flags"

    def _end(self, message: str) -> NoReturn:
        logs.tell(message, logging.ERROR)
        self.exit(2)

    # What argparse asks about every value.

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            if action.type not in (int, float):
                raise
            self._refuse(action, arg_string, expected=KINDS[action.type])

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        self._refuse(action, value, expected=f"one of {', '.join(names)}", remedy=did_you_mean(str(value), names))

    def _refuse(self, action: argparse.Action, value: Any, *, expected: str, remedy: str = "") -> NoReturn:
        name = (*action.option_strings, action.dest.upper())[0]
        self._end(str(UsageError(f"{name} is {value!r}", expected=expected, remedy=remedy)))

    # --help.

    def format_help(self) -> str:
        for group in self._action_groups:
            group._group_actions.sort(key=lambda action: not self._is_needed(action))
        room = _WIDTH - len("usage: ")
        self.usage = textwrap.fill(self._short_usage(), room, subsequent_indent=" " * 4, break_on_hyphens=False)
        examples = f"\nexamples:\n{textwrap.indent(self._examples, '  ')}\n" if self._examples else ""
        return super().format_help() + examples

    def _short_usage(self) -> str:
        words = [self.prog]
        for action in (action for group in self._action_groups for action in group._group_actions):
            if self._is_needed(action):
                value = action.metavar if action.metavar and not action.choices else action.dest.upper()
                words += [*action.option_strings, str(value)]
        return " ".join([*words, "[flags]"])

    def _is_needed(self, action: argparse.Action) -> bool:
        return action.required or action.dest in self._needed
