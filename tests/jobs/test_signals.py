"""A job ends cleanly at the first signal or its deadline, within a limit, and at once at a second signal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JOB = """
import ctypes, sys, threading, time
from ig_worker.errors import RunStoppedError
from jobs import _cli, _signals

def hang():  # as within Ray: no Python code runs in this thread any more, not even a signal handler
    mutex = ctypes.create_string_buffer(64)
    while True:
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

def work():
    while True:
        time.sleep(0.01)

def work_and_hang():
    try:
        work()
    finally:
        hang()

def overdue(what):
    with _cli.deadline(given[0], 0.6).enforced():
        what()

def go_on():
    try:
        overdue(work)
    except RunStoppedError:
        time.sleep(2.5)

def in_time():
    overdue(int)
    time.sleep(2.5)

given = []

def main(arguments):
    given.append(arguments)
    threading.Timer(0.3, print, ["at work"], {{"flush": True}}).start()  # once it is
    try:
        {work}
    finally:
        print("cleaning up", flush=True)
        {clean_up}
        print("clean", flush=True)

_signals.GRACE_S, _signals.OVERTIME_S = {grace}, 0.2
sys.exit(_cli.run(main, _cli.parser("job", ""), None))
"""


class Job:
    """A job in a process of its own."""

    def __init__(self, work: str = "work()", clean_up: str = "pass", grace: float = 60.0) -> None:
        code = JOB.format(work=work, clean_up=clean_up, grace=grace)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        self.wait_for("at work")

    def wait_for(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{line}\n"

    def end(self) -> tuple[int, str, list[str]]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_a_job_cleanly(number: signal.Signals) -> None:
    job = Job()
    job.process.send_signal(number)
    told = ["error: interrupted; run the same command again to resume"]
    assert job.end() == (4, "cleaning up\nclean\n", told)


def test_two_signals_that_come_together_are_one() -> None:
    """As from coreutils' timeout, which tells the process and then its whole group."""
    job = Job(clean_up="time.sleep(2)")
    job.process.send_signal(signal.SIGTERM)
    job.wait_for("cleaning up")
    job.process.send_signal(signal.SIGTERM)
    assert job.end()[:2] == (4, "clean\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    job = Job(clean_up="hang()")
    job.process.send_signal(number)
    job.wait_for("cleaning up")
    time.sleep(1.5)  # for a second thought
    job.process.send_signal(number)
    assert job.end() == (128 + number, "", [])


@pytest.mark.parametrize("stuck", [{"work": "hang()"}, {"clean_up": "hang()"}])
def test_what_is_stuck_is_ended_after_a_while(stuck: dict[str, str]) -> None:
    job = Job(**stuck, grace=1.0)
    job.process.send_signal(signal.SIGTERM)
    code, _, lines = job.end()
    assert code == 4
    assert len(lines) == 1
    assert lines[0].startswith(
        "error: interrupted, and not all had ended 1 s later; what is done is kept; run the same"
    )


def test_a_deadline_interrupts_what_does_not_look_at_the_clock() -> None:
    told = ["error: --deadline of 0.6 s has passed; run the same command again to resume"]
    assert Job(work="overdue(work)").end() == (4, "cleaning up\nclean\n", told)


@pytest.mark.parametrize("stuck", [{"work": "overdue(hang)"}, {"work": "overdue(work_and_hang)"}])
def test_a_deadline_ends_what_is_stuck(stuck: dict[str, str]) -> None:
    code, _, lines = Job(**stuck, grace=1.0).end()
    assert code == 4
    assert len(lines) == 1
    assert lines[0].startswith("error: --deadline of 0.6 s has passed, and not all had ended 1 s later; what is done")


@pytest.mark.parametrize("work", ["go_on()", "in_time()"])
def test_what_comes_after_is_left_alone(work: str) -> None:
    """As what a night still does when its deadline has cut the evaluation short, or has not come yet."""
    assert Job(work=work, grace=1.0).end() == (0, "cleaning up\nclean\n", [])
