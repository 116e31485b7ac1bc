"""What the jobs share: how a job runs and how its errors look."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from ig_worker.errors import EXIT_STOPPED, EXIT_USAGE, IgWorkerError
from ig_worker.run import logs
from jobs import _signals
from jobs._parser import COMMON, Parser

_LEVELS = ("debug", "info", "warning", "error")


def parser(module: str, doc: str | None) -> Parser:
    """A parser with the flags that all jobs have, for a job with that docstring."""
    made = Parser(module, doc)
    made.flag("log_level", "how much to tell", COMMON, choices=_LEVELS, default="warning")
    made.flag("log_format", "of what goes to stderr", COMMON, choices=logs.FORMATS, default="text")
    return made


def add_run(made: Parser) -> None:
    """The flag --run, of a job that may begin a run; other jobs take RUN as it is."""
    made.flag("run", "directory or URI of the run, which may be new", "everyday", required=True)


def run(main: Callable[[argparse.Namespace], int], made: Parser, argv: Sequence[str] | None) -> int:
    """Parse, run, and turn whatever goes wrong into one line and an exit code."""
    arguments = made.read(argv)
    logs.configure(arguments.log_level, arguments.log_format)
    if argv is not None:  # called from within another program, whose signals are its own
        return _run(main, arguments)
    stopper = _signals.Stopper()
    try:
        return _run(main, arguments)
    finally:
        stopper.told = True


def _run(main: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    with logs.about(run=logs.run_name(getattr(arguments, "run", ""))):
        return _run_job(main, arguments)


def _run_job(main: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    try:
        return main(arguments)
    except IgWorkerError as error:
        _explain(error, arguments.log_level)
        return error.exit_code
    except (KeyboardInterrupt, SystemExit):  # the latter from Ray's own handler of signals, while Ray starts
        logs.tell("interrupted; run the same command again to resume", logging.ERROR)
        return EXIT_STOPPED
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USAGE
    except Exception as error:
        if arguments.log_level == "debug":
            raise
        text = " ".join(str(error).split())
        logs.tell(
            f"unexpected {type(error).__name__}: {text}; run it again with --log-level debug for the trace",
            logging.ERROR,
        )
        return EXIT_STOPPED


def _explain(error: IgWorkerError, level: str) -> None:
    if level == "debug":
        logging.getLogger("jobs").error("%s", error, exc_info=error)
    logs.tell(str(error), logging.ERROR)
