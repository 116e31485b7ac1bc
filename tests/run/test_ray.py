"""Whole runs on a real Ray cluster: exactly once, the same bytes, whoever dies."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ig_worker.errors import ModelError, RunMismatchError, UsageError
from ig_worker.run.chunk.ahead import THREAD
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch import explain_actor
from ig_worker.run.dispatch.attempt_log import failed_attempts
from ig_worker.run.dispatch.row_search import BLAMED
from ig_worker.run.steps.explain import explain_run
from ig_worker.run.steps.result import RunResult
from ig_worker.run.store.run_store import RunStore
from tests.faults.processes import actors_at_work, kill
from tests.run.clusters import one_node

TEXTS = ["good film", "a dull plot and bad acting", "joy", "the actor is never boring", "awful awful awful end", ""]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A Ray cluster for all tests of this module."""
    with one_node(cpus=3) as found:
        yield found


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows: 18 fine, 4 empty, 1 null, 1 with the id of another."""
    path = tmp_path_factory.mktemp("data") / "reviews.jsonl"
    rows = [{"id": f"r{i}", "text": TEXTS[i % 6], "label": i % 2} for i in range(24)]
    rows[7]["text"] = None
    rows[9]["id"] = "r3"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def config(address: str, reviews: Path, tiny_models: dict[str, Path]) -> ExplainConfig:
    """With so many nodes that a chunk takes a moment, in which an actor can be killed."""
    return ExplainConfig(
        dataset=str(reviews),
        model=str(tiny_models["distilbert"]),
        address=address,
        chunk_rows=4,
        max_length=16,
        method="gausslegendre",
        n_steps=600,
        batch_tokens=2048,
        actors="2",
    )


def results(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for folder in ("attributions", "quarantine")
        for path in sorted((run / folder).glob("*"))
    }


AUDIT = 0.5


@pytest.fixture(scope="module")
def finished(config: ExplainConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A run of two actors that nothing disturbed, which no test changes, and what its driver returned."""
    place = tmp_path_factory.mktemp("finished")
    return place, explain_run(str(place), replace(config, audit=AUDIT))


def test_every_row_ends_once_in_one_place(finished: tuple[Path, RunResult]) -> None:
    place, result = finished
    store = RunStore(str(place))
    explained = [id for table in store.results.each() for id in table.column("id").to_pylist()]
    quarantine = store.results.quarantined().to_pylist()
    assert (result.exit_code, result.explained, result.quarantined) == (3, 18, 6)
    assert sorted(row["reason"] for row in quarantine) == ["duplicate_id", *["empty_text"] * 4, "null_text"]
    assert sorted([*explained, *(row["id"] for row in quarantine)]) == sorted(
        [*(f"r{i}" for i in range(24) if i != 9), "r3"]
    )
    assert len(set(explained)) == 18
    assert 0 < result.audited < 18
    assert result.largest_audit_difference < 1e-4
    assert store.manifest.existing()["state"] == "complete"
    assert store.summary.read()["exit_code"] == 3


def test_a_finished_run_is_left_as_it_is(config: ExplainConfig, finished: tuple[Path, RunResult]) -> None:
    place, _ = finished
    before = results(place)
    stamps = {path: path.stat().st_mtime_ns for path in place.rglob("*.parquet")}
    again = explain_run(str(place), replace(config, audit=AUDIT))
    assert (again.computed, again.totals.rows, again.explained) == (0, 0, 18)
    assert results(place) == before
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.parquet")} == stamps


def test_removed_results_are_made_again_and_one_actor_writes_the_bytes_of_two(config, finished, tmp_path: Path) -> None:
    place, _ = finished
    run = Path(shutil.copytree(place, tmp_path / "run"))
    kept = run / "attributions" / "chunk-00002.parquet"
    for path in set(kept.parent.iterdir()) - {kept}:
        path.unlink()
    stamp = kept.stat().st_mtime_ns
    assert explain_run(str(run), replace(config, actors="1")).computed == 5
    assert results(run) == results(place)
    assert kept.stat().st_mtime_ns == stamp


def test_a_killed_actor_costs_only_time(config: ExplainConfig, finished, tmp_path: Path) -> None:
    killed: list[int] = []
    hunter = threading.Thread(target=kill_first_worker, args=(tmp_path, killed))
    hunter.start()
    result = explain_run(str(tmp_path), config)
    hunter.join()
    assert len(killed) == 1
    assert result.explained == 18
    assert results(tmp_path) == results(finished[0])


def kill_first_worker(run: Path, killed: list[int]) -> None:
    """SIGKILL the first process of ours that is at work on a chunk, once one chunk is committed."""
    end = time.monotonic() + 300  # two actors start within minutes where others work beside
    while time.monotonic() < end and not killed:
        if list((run / "attributions").glob("chunk-*")):
            killed += actors_at_work()[:1]
            kill(killed)
        time.sleep(0.01)


def test_another_configuration_on_the_same_run_is_refused(config: ExplainConfig, finished) -> None:
    place, _ = finished
    before = results(place)
    with pytest.raises(RunMismatchError, match=r"\(n_steps: 600 there, 7 now\)"):
        explain_run(str(place), replace(config, n_steps=7))
    with pytest.raises(RunMismatchError, match=r"\(chunk_rows: 4 there, 5 now\)"):
        explain_run(str(place), replace(config, chunk_rows=5))
    assert results(place) == before


def test_a_model_that_the_actors_cannot_load_is_one_clear_error(config, tmp_path, tiny_models) -> None:
    broken = Path(shutil.copytree(tiny_models["distilbert"], tmp_path / "broken"))
    weights = next(broken.glob("*.h5"))
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"the weights in .*broken cannot be read: tf_model.h5"):
        explain_run(str(tmp_path / "run"), replace(config, model=str(broken), actors="1"))
    assert not list((tmp_path / "run").glob("attributions/*"))


class TellsWhatItReads(explain_actor.Actor):
    """Leaves a file in RUN-ahead for each chunk that it reads while it explains another."""

    def load(self) -> str:
        device = super().load()
        read, folder = self._worker.reader.read, Path(f"{self._place}-ahead")

        def told(store: RunStore, index: int, *guilty: Any) -> Any:
            if threading.current_thread().name.startswith(THREAD):
                folder.mkdir(exist_ok=True)
                (folder / str(index)).touch()
            return read(store, index, *guilty)

        self._worker.reader.read = told
        return device


def test_actors_read_their_next_chunk_ahead_and_write_the_same_bytes(config, finished, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(explain_actor, "Actor", TellsWhatItReads)
    assert explain_run(str(tmp_path / "run"), replace(config, actors="1")).computed == 6
    assert {path.name for path in (tmp_path / "run-ahead").iterdir()} == set("12345")
    assert results(tmp_path / "run") == results(finished[0])


class Elsewhere(explain_actor.Actor):
    """On a node that has another folder at the place of the run."""

    def load(self) -> str:
        explain_actor.SHARED_WITHIN_S = 0.0
        self._place += "-elsewhere"
        return super().load()


class WithoutModel(explain_actor.Actor):
    """On a node that lacks the directory of the model."""

    def load(self) -> str:
        self._files = replace(self._files, directory=f"{self._place}-nowhere")
        return super().load()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            Elsewhere,
            r"--run .*-elsewhere on node .* is not the run of this driver; expected a place that all nodes share",
        ),
        (
            WithoutModel,
            r"model directory .*/run-nowhere is not on node .*; give --model a directory that all nodes share",
        ),
    ],
)
def test_what_nodes_do_not_share_is_refused_at_the_start(config, tmp_path, monkeypatch, kind, message: str) -> None:
    monkeypatch.setattr(explain_actor, "Actor", kind)
    with pytest.raises(UsageError, match=message):
        explain_run(str(tmp_path / "run"), replace(config, actors="1"))
    assert not (tmp_path / "run" / "attributions").exists()
    assert not (tmp_path / "run-elsewhere").exists()


@pytest.mark.heavy
def test_a_row_that_ends_its_process_is_quarantined_alone(config, tmp_path, monkeypatch) -> None:
    from tests.faults.poison import KILLS, PoisonedActor

    data = tmp_path / "poisoned.jsonl"
    rows = [{"id": f"r{i}", "text": KILLS if i == 6 else TEXTS[i % 5], "label": 1} for i in range(12)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(explain_actor, "Actor", PoisonedActor)
    result = explain_run(str(tmp_path / "run"), replace(config, dataset=str(data)))
    store = RunStore(str(tmp_path / "run"))
    assert (result.exit_code, result.explained) == (3, 11)
    (row,) = store.results.quarantined().to_pylist()
    assert (row["id"], row["reason"]) == ("r6", "ends_process")
    assert failed_attempts(store.storage)["actor died"] >= 3 + BLAMED
