"""One function over all chunks: who does it is decided purely, and makes no difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ig_worker.errors import RunDamagedError, UsageError
from ig_worker.insight.tables.aggregate import aggregate
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.steps import map_chunks
from ig_worker.run.steps.map_chunks import BIG_RUN_ROWS, TASK_ROWS, tasks, wants_actors
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_store import RunStore
from tests.insight.conftest import make_quarantine, make_rows, make_table
from tests.run.clusters import one_node


def test_tasks_are_neighbouring_chunks_with_enough_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_chunks, "TASK_ROWS", 5)
    commits = {i: Commit(i, rows, (), "", "") for i, rows in {3: 2, 0: 4, 1: 1, 2: 0, 4: 6, 5: 1}.items()}
    assert tasks(commits) == [(0, 1), (3, 4), (5,)]
    assert tasks({}) == []


@pytest.mark.parametrize(
    ("config", "rows", "environment", "cpus", "expected"),
    [
        (ApplyConfig(), BIG_RUN_ROWS - 1, {}, 8, False),
        (ApplyConfig(), BIG_RUN_ROWS, {}, 8, True),
        (ApplyConfig(), BIG_RUN_ROWS, {}, 1, False),
        (ApplyConfig(), TASK_ROWS + 1, {"RAY_ADDRESS": "auto"}, 1, True),
        (ApplyConfig(address="auto"), TASK_ROWS + 1, {}, 1, True),
        (ApplyConfig(address="auto"), TASK_ROWS, {}, 8, False),
        (ApplyConfig(actors="1"), 1, {}, 1, True),
        (ApplyConfig(actors="none"), BIG_RUN_ROWS, {"RAY_ADDRESS": "auto"}, 8, False),
    ],
)
def test_ray_is_used_where_it_is_named_or_pays(config, rows, environment, cpus, expected: bool) -> None:
    assert wants_actors(config, rows, environment, cpus) is expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ApplyConfig(actors="0"), "--actors is '0'; expected auto"),
        (ApplyConfig(actors="none", address="auto"), "--actors is none with --address auto"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(config: ApplyConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message), map_chunks.applying(RunStore(str(tmp_path)), config, 1):
        pass


def test_actors_find_the_same_tables_and_name_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Callable[..., RunStore]
) -> None:
    monkeypatch.setattr(map_chunks, "TASK_ROWS", 20)
    store = build(*(make_rows(12, seed) for seed in range(7)))
    here = aggregate(store, config=ApplyConfig(actors="none"))
    with one_node(cpus=2) as address:
        there = aggregate(store, config=ApplyConfig(address=address, actors="2"))
        assert {name: table.equals(there[name]) for name, table in here.items()} == dict.fromkeys(here, True)
        path = tmp_path / "run" / "attributions" / "chunk-00003.parquet"
        data = path.read_bytes()
        path.write_bytes(data[:40] + bytes(360) + data[400:])
        with pytest.raises(RunDamagedError, match=r"chunk-00003\.parquet cannot be read"):
            aggregate(store, config=ApplyConfig(address=address, actors="2"))


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., RunStore]:
    def build_run(*chunks: list) -> RunStore:
        store = RunStore(str(tmp_path / "run"))
        store.manifest.write({"fingerprint": "f00d"})
        for index, rows in enumerate(chunks):
            store.results.commit(index, make_table(rows), make_quarantine(0), "f00d")
        return store

    return build_run
