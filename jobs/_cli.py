"""What the jobs share: how a job runs and how its errors look."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from ig_worker.errors import EXIT_STOPPED, EXIT_USAGE, IgWorkerError
from jobs import _signals

_LEVELS = ("debug", "info", "warning", "error")


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that all jobs have."""
    # ArgumentDefaultsHelpFormatter would also print the defaults of flags that have none.
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--log-level", choices=_LEVELS, default="warning", help="how much to tell (default: warning)")
    return made


def run(main: Callable[[argparse.Namespace], int], made: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse, run, and turn whatever goes wrong into one line and an exit code."""
    arguments = made.parse_args(argv)
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if argv is not None:  # called from within another program, whose signals are its own
        return _run(main, arguments)
    stopper = _signals.Stopper()
    try:
        return _run(main, arguments)
    finally:
        stopper.told = True


def _run(main: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    try:
        return main(arguments)
    except IgWorkerError as error:
        _explain(error, arguments.log_level)
        return error.exit_code
    except (KeyboardInterrupt, SystemExit):  # the latter from Ray's own handler of signals, while Ray starts
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


def _explain(error: IgWorkerError, level: str) -> None:
    if level == "debug":
        logging.getLogger("jobs").error("%s", error, exc_info=error)
    print(f"error: {error}", file=sys.stderr)
