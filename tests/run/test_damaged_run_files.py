"""The small files of a run as damage leaves them: they are read, passed over, or named in one line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given

from ig_worker.run.dispatch.attempt_log import failed_attempts
from ig_worker.run.store.lease import LeaseRecord, _alive, judge
from ig_worker.run.store.run_store import RunStore
from tests.fuzz import damaged, one_line, quick

DEEP = b"[" * 100_000
MANIFEST = {
    "state": "running",
    "config": {"model": "m", "dataset": "d", "method": "adaptive", "tolerance": 0.005, "engine": "fused", "n_steps": 5},
    "data": {"name": "d", "digest": "x", "rows": 8, "chunks": 2, "faults": 1, "class_names": []},
}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(str(tmp_path))
    made.manifest.write(MANIFEST)
    return made


def whole(name: str) -> bytes:
    content = {
        "run.json": {**MANIFEST, "schema_version": "1"},
        "attempts": {"driver": "d", "attempts": [{"task": "chunk-00001", "outcome": "actor died", "seconds": 0.5}]},
        "driver.json": asdict(LeaseRecord.own()),
    }
    return json.dumps(content[name], indent=1).encode()


@quick
@given(content=damaged(whole("run.json")))
@example(content=DEEP)
def test_a_damaged_manifest_is_read_or_named_in_one_line(store: RunStore, content: bytes) -> None:
    store.storage.write("run.json", content)
    with one_line():
        store.manifest.existing()


@quick
@given(content=damaged(whole("attempts")))
@example(content=DEEP)
def test_damaged_records_of_attempts_are_passed_over(store: RunStore, content: bytes) -> None:
    store.storage.write("attempts/d-0.json", content)
    assert all(isinstance(number, int) for number in failed_attempts(store.storage).values())


@quick
@given(content=damaged(whole("driver.json")))
@example(content=DEEP)
def test_a_damaged_lease_is_nobodys_or_somebodys(content: bytes) -> None:
    mark = LeaseRecord.parse(content)
    if mark is not None:
        judge(mark, mark, 0.0, machine=LeaseRecord.own().machine, alive=_alive)
        str(mark)


@quick
@given(content=damaged(b'{"exit_code": 0, "reviews_per_second": 1.5}'))
@example(content=DEEP)
def test_a_damaged_summary_is_read_or_named_in_one_line(store: RunStore, content: bytes) -> None:
    store.storage.write("summary.json", content)
    with one_line():
        store.summary.read()
