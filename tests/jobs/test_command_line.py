"""What a person types, and what the command line answers: help, mistyped names, the list of jobs, ig-worker."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import ig_worker
from ig_worker.insight.night import rules, run
from ig_worker.run import config, later_config
from ig_worker.run.setting import GROUPS
from jobs import __main__ as command
from jobs import _cli, _parser, nightly, status

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXPLAIN = ["explain", "--dataset", "demo", "--model", "m", "--run", "r"]


def configurations(module: ModuleType) -> list[type]:
    """The dataclasses of a module whose fields are settings."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    return [kind for kind in kinds if any("help" in field.metadata for field in dataclasses.fields(kind))]


@pytest.fixture
def parser_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], _parser.Parser]:
    """The parser of a job, which does not run."""
    monkeypatch.setattr(_cli, "run", lambda main, made, argv: made)
    return lambda job: import_module(f"jobs.{job}").main([])


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command line is refused with."""
    try:
        code = command.main(words)
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip()


def test_every_setting_is_in_a_group_and_of_a_kind_that_messages_can_name() -> None:
    kinds = [kind for module in (config, later_config, run, rules) for kind in configurations(module)]
    settings = [field.metadata for kind in kinds for field in dataclasses.fields(kind)]
    assert len(settings) > 60
    assert {setting["group"] for setting in settings} <= GROUPS.keys()
    assert {setting["kind"] for setting in settings} <= _parser.KINDS.keys()


@pytest.mark.parametrize("job", command.JOBS)
def test_help_fits_80_columns_and_tells_every_default(job: str, parser_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = parser_of(job).format_help()
    assert max(map(len, text.splitlines())) <= 80
    flags = re.split(r"\n  (?=-)", text.partition("\nexamples:")[0])[1:]
    untold = [flag for flag in flags if not re.search(r"\((default: .+|required)\)", " ".join(flag.split()))]
    assert [flag.split()[0] for flag in untold] == ["-h,"]


@pytest.mark.parametrize("job", command.JOBS)
def test_the_examples_of_a_job_are_commands_that_it_takes(job: str, parser_of) -> None:
    made = parser_of(job)
    lines = made.format_help().partition("\nexamples:\n")[2].splitlines()
    assert lines
    for line in lines:
        assert line.startswith(f"  python -m jobs.{job} ")
        made.read(shlex.split(line)[3:])


def test_explain_shows_its_everyday_flags_first_and_the_others_in_groups(parser_of) -> None:
    parts = re.findall(r"^(\w+)(?: \(.*\))?:\n((?:  .*\n)+)", parser_of("explain").format_help(), re.MULTILINE)
    assert [title for title, _ in parts] == [*list(GROUPS)[:6], "common", "examples"]
    first = re.findall(r"^  (--[\w-]+)", parts[0][1], re.MULTILINE)
    assert first == ["--dataset", "--model", "--run", "--limit", "--preset"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["explain", "--tolerence", "3"], "unknown flag --tolerence; did you mean --tolerance?"),
        ([*EXPLAIN, "--tolerence=3"], "unknown flag --tolerence; did you mean --tolerance?"),
        ([*EXPLAIN, "-run", "x"], "unknown flag -run; did you mean --run?"),
        ([*EXPLAIN, "--n_steps", "3"], "unknown flag --n_steps; did you mean --n-steps?"),
        ([*EXPLAIN, "--colour", "x"], "unknown flag --colour; python -m jobs.explain --help shows all flags"),
        ([*EXPLAIN, "--engine", "fusd"], "--engine is 'fusd'; expected one of fused, alibi; did you mean fused?"),
        ([*EXPLAIN, "--n-steps", "1e3"], "--n-steps is '1e3'; expected a whole number"),
        (["status", "--run", "r"], "unknown flag --run; give RUN without one: python -m jobs.status RUN [flags]"),
        (["explian", "--run", "r"], "unknown job explian; did you mean explain?"),
        (["colour"], "unknown job colour; python -m jobs lists the jobs"),
        (["--verson"], "unknown job --verson; did you mean --version?"),
    ],
)
def test_what_is_mistyped_is_answered_with_the_nearest(words: list[str], line: str, capsys) -> None:
    assert answer(words, capsys) == line


def test_a_flag_cannot_be_abbreviated(capsys) -> None:
    assert answer([*EXPLAIN, "--toler", "0.1"], capsys) == "unknown flag --toler; did you mean --tolerance?"


@pytest.mark.parametrize("value", ["-1", "-.5", "- a dash", "-", "-1=negative,1=positive"])
def test_a_value_that_begins_with_a_dash_is_no_flag(value: str, parser_of) -> None:
    assert parser_of("explain").read(["--run", "r", f"--target={value}"]).target == value
    assert parser_of("explain").read(["--run", "r", "--target", value]).target == value


def test_a_mistyped_table_of_a_night_is_answered_with_the_nearest(tmp_path: Path, capsys) -> None:
    (tmp_path / "night.toml").write_text("[nigth]\n")
    assert nightly.main([str(tmp_path / "night.toml")]) == 1
    assert capsys.readouterr().err.endswith("; did you mean night?\n")


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_the_list_of_jobs_is_whole_and_in_the_order_of_work(words: list[str], capsys) -> None:
    assert command.main(words) == 0
    text = capsys.readouterr().out
    listed = re.findall(r"^  (\w+)  +[A-Z].*\.$", text, re.MULTILINE)
    in_order = "finetune check prepare explain verify aggregate evaluate compare findings report export status nightly"
    assert " ".join(listed) == in_order
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "jobs").glob("[a-z]*.py"))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("job", ["status", "jobs.status"])
def test_a_job_is_run_by_its_name(job: str, capsys, tmp_path: Path) -> None:
    assert command.main([job, str(tmp_path)]) == 1
    assert "is not a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("started", "shown"), [("/usr/bin/ig-worker", "ig-worker"), ("/x/jobs/__main__.py", "python -m jobs")]
)
def test_a_job_calls_itself_what_the_user_typed(started: str, shown: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", [started, "explain", "--help"])
    with pytest.raises(SystemExit):
        command.main()
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {shown} explain --dataset DATASET")
    assert f"\n  {shown} explain --preset sst2-2022 " in text


def test_a_job_by_its_name_ends_as_it_does_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("sys.argv", ["ig-worker", "status", "r", "--log-level", "info"])
    monkeypatch.setattr(status, "main", lambda: seen.append(sys.argv) or 4)
    assert command.main() == 4
    assert seen == [["ig-worker status", "r", "--log-level", "info"]]


def test_the_script_of_the_project_is_the_command_and_knows_its_version(capsys) -> None:
    module, _, function = PROJECT["scripts"]["ig-worker"].partition(":")
    script = getattr(import_module(module), function)
    assert script(["--version"]) == 0
    assert capsys.readouterr().out == f"ig-worker {PROJECT['version']}\n"
    assert ig_worker.__version__ == PROJECT["version"]


def test_messages_name_jobs_that_exist() -> None:
    named = {
        name for path in (ROOT / "ig_worker").rglob("*.py") for name in re.findall(r"\bjobs\.(\w+)", path.read_text())
    }
    assert "explain" in named
    assert named <= set(command.JOBS)
