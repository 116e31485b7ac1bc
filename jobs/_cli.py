"""What the jobs share: how a job runs and how its errors look."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

from ig_worker.errors import EXIT_STOPPED, EXIT_USAGE, IgWorkerError
from ig_worker.run import logs
from ig_worker.run.deadline import Deadline
from jobs import _signals
from jobs._ending import ending
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
    started = time.monotonic()
    arguments = made.read(argv)
    arguments.started = started
    logs.configure(arguments.log_level, arguments.log_format)
    if argv is not None:  # called from within another program, whose signals are its own
        return _run(main, arguments)
    _mend_streams()
    stopper = _signals.Stopper()
    try:
        ending.code = _run(main, arguments)
        return ending.code
    finally:
        stopper.told = True


def _mend_streams() -> None:
    """Give a closed stream /dev/null, and let no character that stdout's encoding lacks end a job."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # else whatever is opened next, such as a socket of Ray's, would get its number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def deadline(arguments: argparse.Namespace, seconds: float | None) -> Deadline:
    """So many seconds after the start of the job, which is held to it even where it hangs."""
    return Deadline(seconds, started=arguments.started, guard=_signals.guard)


def _run(main: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    with logs.about(run=logs.run_name(getattr(arguments, "run", ""))):
        return _run_job(main, arguments)


def _run_job(main: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    try:
        code = main(arguments)
        if sys.stdout is not None:  # as it is within another program that has none
            sys.stdout.flush()
        return code
    except IgWorkerError as error:
        _explain(error, arguments.log_level)
        return error.exit_code
    except (KeyboardInterrupt, SystemExit):  # the latter from Ray's own handler of signals, while Ray starts
        logs.tell("interrupted; run the same command again to resume", logging.ERROR)
        return EXIT_STOPPED
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        _drop_output()
        return EXIT_USAGE
    except Exception as error:
        if isinstance(error, OSError) and _is_of_output(error):
            logs.tell(f"the result cannot be shown ({error.strerror}); what is done is kept", logging.ERROR)
            _drop_output()
            return EXIT_USAGE
        logging.getLogger("jobs").debug("unexpected", exc_info=error)
        logs.tell(f"{logs.unexpected(error)}; run it again with --log-level debug for the trace", logging.ERROR)
        return EXIT_STOPPED


def _is_of_output(error: OSError) -> bool:
    """Whether it was stdout that could not be written, as on a full disk; the system names no file then."""
    if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        return False
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except io.UnsupportedOperation:  # it is no file, within another program
        return False
    except OSError:
        return True
    return False


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: IgWorkerError, level: str) -> None:
    if level == "debug":
        logging.getLogger("jobs").error("%s", error, exc_info=error)
    logs.tell(str(error), logging.ERROR)
