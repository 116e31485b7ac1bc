"""What the pages name exists, and what they link to is there."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import re
import sys
import tomllib
from functools import cache
from typing import Any

import pytest
from ray.scripts.scripts import cli as ray_cli

from tests.pages import ALL, FENCED, FIRST, PAGES, ROOT, anchors, commands, first_cells, links, table_after

# Commands whose flags are not this project's; they are not on every machine.
FOREIGN = ("kubectl ", "docker ", "prometheus ", "pip ", "pip-audit ", ".venv/bin/python -m pip ", "make lock ")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


@cache
def flags_of(module: str) -> frozenset[str]:
    """The flags in the help of a module that is started with `python -m`."""
    main = importlib.import_module(module).main
    given = [["--help"]] if inspect.signature(main).parameters else []
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(sys, "argv", [module, "--help"])
        with pytest.raises(SystemExit) as end:
            main(*given)
    assert not end.value.code
    return frozenset(FLAG.findall(said.getvalue()))


def ray_flags(words: list[str]) -> set[str]:
    """The flags of a command of `ray`, which has to exist."""
    command: Any = ray_cli
    for word in words:
        if not hasattr(command, "commands"):
            break
        assert word in command.commands, words
        command = command.commands[word]
    return {flag for parameter in command.params for flag in parameter.opts}


def modules() -> list[str]:
    """What the pages start with `python -m`, and all jobs."""
    jobs = [f"jobs.{path.stem}" for path in (ROOT / "jobs").glob("[a-z]*.py")]
    started = re.findall(r"\bpython -m (tests[.\w]+)", "\n".join(commands()))
    return sorted(
        {*jobs, *(f"{name}.__main__" if (ROOT / name.replace(".", "/")).is_dir() else name for name in started)}
    )


def test_every_flag_of_a_command_is_one_of_that_command() -> None:
    checked = 0
    for command in commands():
        if found := re.match(r"(?:\.venv/bin/)?python -m (jobs\.[a-z]+|tests[.\w]+)", command):
            (module,) = (name for name in modules() if name.removesuffix(".__main__") == found[1])
            known = set(flags_of(module))
        elif command.startswith("ray "):
            known = ray_flags(command.split()[1:])
        else:
            continue
        mine = command.partition(" -- ")[0]
        assert set(FLAG.findall(mine)) - known == set(), command
        checked += 1
    assert checked > 20


def test_every_flag_that_a_page_names_exists() -> None:
    text = ALL
    for command in commands():
        if command.startswith(FOREIGN):
            text = text.replace(command, "")
    known = set().union(*map(flags_of, modules())) | ray_flags(["job", "submit"]) | ray_flags(["get-auth-token"])
    assert set(FLAG.findall(text)) - known == set()


def test_every_setting_in_a_file_that_a_page_shows_exists() -> None:
    files = [block for language, block in FENCED.findall(ALL) if language == "toml"]
    assert files
    for key in (key for file in files for key in tomllib.loads(file)):
        assert f"--{key.replace('_', '-')}" in flags_of("jobs.explain")


def test_every_job_and_make_target_that_a_page_names_exists() -> None:
    jobs = set(re.findall(r"\bjobs\.(\w+)", ALL)) - {"NAME"}
    jobs |= {name for command in commands() for name in re.findall(r"^ig-worker (\w+)", command)} - {"JOB"}
    assert {job for job in jobs if not (ROOT / "jobs" / f"{job}.py").exists()} == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for command in commands() for target in re.findall(r"^make ([a-z-]+)", command)}
    assert named <= targets
    assert {"demo", "test"} <= named


def test_the_first_page_names_every_job() -> None:
    told = re.findall(r"`(\w+)`", " ".join(first_cells(table_after("python -m jobs.NAME", FIRST))))
    assert sorted(told) == sorted(path.stem for path in (ROOT / "jobs").glob("[a-z]*.py"))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for path, anchor in links(page):
        assert (ROOT / path).exists(), path
        assert not anchor or anchor in anchors(PAGES[path]), f"{path}#{anchor}"


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, left = set(), [FIRST]
    while left:
        page = left.pop()
        reached.add(page)
        left += [path for path, _ in links(page) if path in PAGES.keys() - reached]
    assert reached == PAGES.keys()


def test_the_pictures_are_there() -> None:
    pictures = [path for page in PAGES for path, _ in links(page) if path.endswith(".png")]
    assert len(pictures) == ALL.count("![") + ALL.count("<img")
    assert all((ROOT / path).stat().st_size > 10_000 for path in pictures)
