"""Progress where nobody watches: few lines, with the pace and the time left, and nothing that moves a cursor."""

from __future__ import annotations

import io
import json

import pytest

from ig_worker.run import logs
from ig_worker.run.progress import Lines, meter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_tell_the_pace_of_this_start_and_what_is_left(capsys) -> None:
    clock = Clock()
    lines = Lines("explaining, chunks", 100, 40, clock)
    for at, done in [(0, 40), (60, 41), (61, 42), (70, 60), (90, 80), (100, 100)]:  # the first minute: actors start
        clock.now = at
        lines.update(done, f"{done * 256} rows")
    assert capsys.readouterr().err.splitlines() == [
        "explaining, chunks 41/100 (41%) after 60 s, 10496 rows",
        "explaining, chunks 60/100 (60%) after 70 s, 1.9 a second, 21 s left, 15360 rows",
        "explaining, chunks 80/100 (80%) after 90 s, 1.3 a second, 15 s left, 20480 rows",
        "explaining, chunks 100/100 (100%) after 100 s, 1.48 a second, 25600 rows",
    ]


def test_a_long_night_is_some_hundred_lines(capsys) -> None:
    clock = Clock()
    lines = Lines("explaining, chunks", 100_000, 0, clock)
    for second in range(8 * 3600):
        clock.now = second
        lines.update(second)
    told = capsys.readouterr().err.splitlines()
    assert len(told) < 300
    assert " h " in told[-1].split(", ")[-1]


def test_work_of_unknown_size_has_no_share_and_no_end(capsys) -> None:
    clock = Clock()
    lines = Lines("preparing, rows", None, 0, clock)
    for clock.now in (5.0, 15.0, 30.0):
        lines.update(int(clock.now) * 10)
    assert capsys.readouterr().err.splitlines() == [
        "preparing, rows 150 after 15 s, 10 a second",
        "preparing, rows 300 after 30 s, 10 a second",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_only_a_terminal_gets_control_codes(monkeypatch, terminal: bool) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream := Stream())
    with meter("explaining, chunks", 3) as shown:
        for done in (1, 2, 3):
            shown.update(done, "rows")
    assert ("\x1b" in stream.getvalue()) is terminal
    assert "explaining, chunks" in stream.getvalue()
    assert terminal or stream.getvalue().count("\n") == 1


def test_lines_are_json_where_the_log_is(monkeypatch, capsys) -> None:
    monkeypatch.setattr(logs, "_settings", {"IG_WORKER_LOG_FORMAT": "json"})
    with logs.about(run="first"), meter("explaining, chunks", 1) as shown:
        shown.update(1)
    line = json.loads(capsys.readouterr().err)
    assert (line["run"], line["message"][:22]) == ("first", "explaining, chunks 1/1")
