"""A job that has done its work ends with its own code, whatever libraries do while Python is taken apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JOB = """
import atexit, os, sys
from jobs import _cli

class Library:  # as a thread of C++ that asks for the interpreter when that has gone
    def __init__(self, end):
        self.end = end
    def __del__(self):
        self.end()

library = Library(os.abort)
atexit.register(lambda: print("closed"))
sys.exit(_cli.run(lambda arguments: print("done") or CODE, _cli.parser("jobs.some", "Does it."), None))
"""


@pytest.mark.parametrize("code", [0, 6])
def test_a_finished_job_keeps_its_exit_code_and_closes_what_is_open(code: int) -> None:
    script = JOB.replace("CODE", str(code))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "done\nclosed\n")


def test_a_process_that_runs_jobs_by_the_way_ends_as_it_would() -> None:
    script = JOB.replace("CODE", "6").replace(", None))", ", []))").replace("sys.exit(", "print(")
    script = script.replace("os.abort", "lambda end=os._exit: end(9)")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[:2]) == (9, ["done", "6"])
