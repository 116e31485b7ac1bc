"""What was tried is written down, in files of which each is written once."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ig_worker.run.dispatch.attempt_log import Attempts, failed_attempts, task_name
from ig_worker.run.dispatch.executor import Event
from ig_worker.run.dispatch.policy import Action, Outcome
from ig_worker.run.dispatch.row_search import Probe
from ig_worker.run.store.filesystem import Storage


def event(outcome: Outcome, error: str = "") -> Event:
    return Event(3, outcome, Action.FINISH, "node", 1.23456, None, error)


def test_every_attempt_is_there_once(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    attempts = Attempts(storage, "d1")
    attempts.add(event(Outcome.ACTOR_DIED, "killed"))
    attempts.flush()
    attempts.flush()
    attempts.add(event(Outcome.DONE))
    attempts.flush()
    assert storage.list("attempts") == ["d1-0.json", "d1-1.json"]
    (entry,) = json.loads((tmp_path / "attempts/d1-0.json").read_text())["attempts"]
    assert (entry["task"], entry["outcome"], entry["place"]) == ("chunk-00003", "actor died", "node")
    assert (entry["seconds"], entry["error"]) == (1.235, "killed")
    assert failed_attempts(storage) == {"actor died": 1}


def test_a_probe_is_named_by_its_rows() -> None:
    assert task_name(Probe(7, 4, 6)) == "chunk-00007 rows 4 to 5"


def test_a_storage_that_fails_does_not_stop_the_run_and_nothing_is_forgotten(tmp_path: Path, monkeypatch) -> None:
    storage = Storage(str(tmp_path))
    attempts = Attempts(storage, "d1")
    attempts.add(event(Outcome.TIMEOUT))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        attempts.flush()
    attempts.flush()
    assert failed_attempts(storage) == {"timeout": 1}


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("attempts/x-0.json", b"{broken")
    storage.write("attempts/y-0.json", b"[]")
    assert failed_attempts(storage) == {}
