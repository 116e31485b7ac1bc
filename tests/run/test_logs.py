"""Lines of the log: what is in them, what never is, and that a terminal's are the same as ever."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from ig_worker.errors import UsageError
from ig_worker.run import logs
from jobs import _cli


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """`logs.configure` in a process whose log nobody else writes; pytest does, while a test runs."""
    root = logging.getLogger()
    level = root.level
    monkeypatch.setattr(logs, "_settings", {})

    def configured(level: str, format: str) -> None:
        monkeypatch.setattr(root, "handlers", [])
        logs.configure(level, format)

    yield configured
    root.setLevel(level)


def test_a_line_of_json_says_what_it_is_about(configure, capsys) -> None:
    configure("info", "json")
    log = logging.getLogger("ig_worker.here")
    with logs.about(run="imdb-2026-11-24", chunk=7):
        log.info("done with %d", 3)
        with logs.about(chunk=8):
            log.warning("zwei\nZeilen – ✓")
    log.info("elsewhere", extra={"chunk": "chunk-00009"})
    log.debug("not at this level")
    first, second, third = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info", "logger": "ig_worker.here", "message": "done with 3",
        "run": "imdb-2026-11-24", "chunk": "chunk-00007",
    }  # fmt: skip
    assert (second["message"], second["chunk"], second["level"]) == ("zwei\nZeilen – ✓", "chunk-00008", "warning")
    assert (third.get("run"), third["chunk"]) == (None, "chunk-00009")


def test_a_line_of_text_says_it_at_its_end(configure, capsys) -> None:
    configure("warning", "text")
    with logs.about(run="first"):
        logging.getLogger("ig_worker.here").warning("slow")
    assert capsys.readouterr().err.endswith(" WARNING ig_worker.here: slow [run=first]\n")


@pytest.mark.parametrize(
    ("place", "name"),
    [("runs/first/", "first"), ("/a b/é? 1", "é? 1"), ("s3://k:s@bucket/runs/night?region=eu", "night"), ("x", "x")],
)
def test_a_run_is_called_by_the_last_part_of_its_place(place: str, name: str) -> None:
    assert logs.run_name(place) == name


@pytest.mark.parametrize("format", logs.FORMATS)
def test_keys_of_a_uri_are_in_no_line_and_in_no_traceback(configure, capsys, format: str) -> None:
    configure("info", format)
    log = logging.getLogger("another.library")
    with logs.about(run=logs.run_name("s3://KEY:SECRET@bucket/runs/night?region=eu")):
        log.warning("GET %s", "s3://KEY:SECRET@bucket/x")
        try:
            raise ValueError("s3://KEY:SECRET@bucket/y cannot be read")
        except ValueError:
            log.exception("it failed")
    text = capsys.readouterr().err
    assert "SECRET" not in text
    assert "KEY" not in text
    assert text.count("bucket") >= 2
    assert "Traceback" in text
    assert "night" in text


@pytest.mark.parametrize(("format", "expected"), [("text", "error: x is 1; expected 2\n"), ("json", None)])
def test_the_error_of_a_job_is_one_line_of_its_format(configure, capsys, format: str, expected: str | None) -> None:
    def fail(_: object) -> int:
        raise UsageError("x is 1", expected="2")

    made = _cli.parser("jobs.any", "")
    made.add_argument("run")
    assert _cli.run(fail, made, ["runs/first/", "--log-format", format]) == 1
    text = capsys.readouterr().err
    if expected is None:
        line = json.loads(text)
        assert (line["level"], line["message"], line["run"]) == ("error", "x is 1; expected 2", "first")
    else:
        assert text == expected
