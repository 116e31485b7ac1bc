"""Runs a job by its name, or lists the jobs: the command ig-worker, which `python -m jobs` is, too."""

from __future__ import annotations

import ast
import logging
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import ig_worker
from ig_worker.errors import EXIT_OK, did_you_mean
from ig_worker.run import logs

# A new job is a file, and its name at its place here.
ORDER = {
    "In their usual order": (
        "finetune",
        "check",
        "prepare",
        "explain",
        "verify",
        "aggregate",
        "evaluate",
        "compare",
        "findings",
        "report",
        "export",
    ),
    "At any time": ("status",),
    "All of it, every night": ("nightly",),
}
JOBS = [job for jobs in ORDER.values() for job in jobs]


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print("\n".join(_lines(_command())))
        return EXIT_OK
    if words[0] == "--version":
        print(f"ig-worker {ig_worker.__version__}")
        return EXIT_OK
    name = words[0].removeprefix("jobs.")  # as messages name jobs
    if name not in JOBS:
        names = (*JOBS, "--help", "--version")
        logs.tell(
            f"unknown job {words[0]}; {did_you_mean(name, names) or f'{_command()} lists the jobs'}", logging.ERROR
        )
        return 2  # as argparse says that a command line is wrong
    run = import_module(f"jobs.{name}").main
    if argv is not None:
        return run(words[1:])
    sys.argv = [f"{_command()} {name}", *words[1:]]  # what its usage line shows
    return run()


def _command() -> str:
    """What a person has typed before the name of the job."""
    started = Path(sys.argv[0]).name
    return started if started == "ig-worker" else "python -m jobs"


def _lines(command: str) -> Iterator[str]:
    yield f"usage: {command} JOB [flags]"
    for title, jobs in ORDER.items():
        yield f"\n{title}:"
        for job in jobs:
            source = Path(__file__).with_name(f"{job}.py").read_text()  # not imported, which takes its time
            summary = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
            yield textwrap.fill(summary, 80, initial_indent=f"  {job:<11}", subsequent_indent=" " * 13)
    yield f"\n{command} JOB --help shows what a job can be told, with examples."
    yield "ig-worker JOB, python -m jobs JOB and python -m jobs.JOB are the same."


if __name__ == "__main__":
    sys.exit(main())
