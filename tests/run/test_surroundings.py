"""What of the machine and the environment would stop Ray is known before anything is started, and named."""

from __future__ import annotations

import os
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from ig_worker.errors import UsageError
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch import local_machine
from ig_worker.run.dispatch.local_machine import Folder, Surroundings, fault_of, find_surroundings, look, usable_cpus
from ig_worker.run.steps.explain import explain_run

GOOD = Surroundings(
    ray_variable="TMPDIR",
    ray_value="/scratch",
    ray=Folder("/scratch/ray"),
    home="/home/me",
    token=Folder("/home/me/.ray"),
    temporary="/scratch",
    folder="",
    descriptors=1024,
    processes=4096,
)
LONG = "/" + "x" * 38
WRITE = "expected a folder that this user can write"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"ray_value": LONG + "x"}, [f"TMPDIR is '{LONG}x', 40 characters; expected at most 39: ", "set RAY_TMPDIR"]),
        ({"ray_variable": "RAY_TMPDIR", "ray_value": LONG + "x"}, ["RAY_TMPDIR is '/xxx", "40 characters"]),
        ({"ray_value": "tmp"}, ["TMPDIR is 'tmp'; expected an absolute path"]),
        ({"ray_value": ""}, ["TMPDIR is ''; expected an absolute path"]),
        ({"ray_value": "/tmpü"}, ["TMPDIR is '/tmpü'; expected an absolute path of ASCII characters"]),
        ({"ray": Folder("/scratch/ray", "/scratch/ray is no folder")}, ["/scratch/ray is no folder", WRITE]),
        (
            {"ray_variable": "", "ray_value": "/tmp", "ray": Folder("/tmp/ray", "/tmp/ray cannot be written by me")},
            ["Ray writes to /tmp/ray, as RAY_TMPDIR and TMPDIR are not set, and /tmp/ray cannot be written by me"],
        ),
        ({"ray": Folder("/scratch/ray", free=1 << 20)}, ["TMPDIR is '/scratch', where 1.0 MiB are free", "32 MiB"]),
        (
            {"token": Folder("/home/me/.ray", "/home/me cannot be written by me")},
            ["HOME is '/home/me', and /home/me cannot be written by me; expected", "/home/me/.ray; set HOME to"],
        ),
        ({"home": None, "token": Folder("", "user 7 has no other home")}, ["HOME is not set, and user 7 has no"]),
        ({"token": Folder("/home/me/.ray", free=0)}, ["HOME is '/home/me', and no room is left there"]),
        ({"temporary": None}, ["nothing can be written to TMPDIR, /tmp", "set TMPDIR"]),
        ({"folder": "No such file or directory"}, ["the current folder cannot be used (No such file", "cd"]),
        ({"descriptors": 64}, ["a process may have 64 files open here; expected at least 256", "ulimit -Hn"]),
        ({"processes": -3}, ["may start 0 more processes and threads here; expected at least 300", "ulimit -u"]),
    ],
)
def test_each_fault_names_its_variable_its_value_and_the_remedy(changes, parts: list[str]) -> None:
    fault = str(fault_of(replace(GOOD, **changes)))
    assert [part for part in parts if part not in fault] == []
    assert "\n" not in fault


@pytest.mark.parametrize("changes", [{}, {"token": None, "home": None}, {"ray_value": LONG}, {"ray_value": LONG + "/"}])
def test_what_suffices_is_no_fault(changes) -> None:
    assert fault_of(replace(GOOD, **changes)) is None


def test_the_longest_path_that_is_allowed_still_holds_rays_sockets() -> None:
    """As Ray 2.60 names them, for the longest process id of Linux."""
    import ray._private.utils

    session = "session_2026-11-24_02-00-00_000000_4194304"
    ray._private.utils.validate_socket_filepath(f"{LONG}/ray/{session}/sockets/plasma_store")
    with pytest.raises(OSError, match="AF_UNIX"):
        ray._private.utils.validate_socket_filepath(f"{LONG}x/ray/{session}/sockets/plasma_store")


def test_the_variable_that_ray_reads_is_the_one_that_is_named(tmp_path: Path) -> None:
    both = {"RAY_TMPDIR": str(tmp_path), "TMPDIR": "/elsewhere"}
    for environment in (both, {"TMPDIR": str(tmp_path)}):
        found = find_surroundings(environment)
        assert (found.ray_variable, found.ray_value) == next(iter(environment.items()))
        assert found.ray == Folder(f"{tmp_path}/ray", "", found.ray.free)
    assert find_surroundings({}).ray.path == "/tmp/ray"


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    assert look(tmp_path / "a" / "b").fault == ""
    assert look(tmp_path / "file" / "ray").fault == f"{tmp_path}/file is no folder"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert look(tmp_path / "a" / "b").fault.startswith(f"{tmp_path} cannot be written by ")
    assert look(Path("/proc/self/nowhere")).fault != ""


def test_a_token_that_is_there_needs_no_room_for_another(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_surroundings({}).token == look(tmp_path / ".ray")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").touch()
    assert find_surroundings({}).token is not None  # Ray writes an empty one anew
    (tmp_path / ".ray" / "auth_token").write_text("f00d")
    assert find_surroundings({}).token is None
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot read" in find_surroundings({}).token.fault
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "f00d"}):
        assert find_surroundings(environment).token is None


def test_a_user_whom_the_system_does_not_know_has_no_home(monkeypatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert "has no other home" in str(fault_of(replace(GOOD, home=None, token=find_surroundings({}).token)))


def test_limits_and_folders_of_this_process_are_seen(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "pids.max").write_text("100\n")
    (tmp_path / "pids.current").write_text("40\n")
    monkeypatch.setattr(local_machine, "_CONTAINER", (str(tmp_path / "none"), str(tmp_path)))
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 128))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError("nowhere")))
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path / "gone"))
    found = find_surroundings({})
    assert (found.descriptors, found.temporary, found.folder) == (128, None, "No such file or directory")
    assert found.processes <= 60


@pytest.mark.parametrize(("text", "expected"), [("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_containers_share_of_the_cpus_counts(tmp_path: Path, monkeypatch, text: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    monkeypatch.setattr(local_machine, "_CPU_FILES", ((str(tmp_path / "cpu.max"),), (str(tmp_path / "none"),)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert usable_cpus() == expected


def test_nothing_is_started_or_written_where_ray_cannot_work(tmp_path, tiny_models, monkeypatch) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "good film"}\n')
    config = ExplainConfig(dataset=str(tmp_path / "rows.jsonl"), model=str(tiny_models["distilbert"]), max_length=16)
    monkeypatch.setenv("RAY_TMPDIR", LONG + "x")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="RAY_TMPDIR is '/xxx") as found:
        explain_run(str(tmp_path / "run"), config)
    assert found.value.exit_code == 1
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(UsageError, match="RAY_ADDRESS is http://head:8265"):
        explain_run(str(tmp_path / "run"), config)
    assert not (tmp_path / "run").exists()
