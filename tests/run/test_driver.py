"""A run's states, with a stand-in for the actors: what a start finds, repairs, refuses and writes down."""

from __future__ import annotations

import errno
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ig_worker.data.faults import RowFault
from ig_worker.errors import RunDamagedError, RunMismatchError, RunStoppedError, StorageError, UsageError
from ig_worker.run.chunk.records import ChunkRecord
from ig_worker.run.chunk.tables import quarantine_table
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps import finish
from ig_worker.run.steps import prepare as prepare_module
from ig_worker.run.steps.result import RunResult
from ig_worker.run.steps.verify import verify_run
from ig_worker.run.store.filesystem import Storage
from ig_worker.run.store.lease import Lease, LeaseRecord
from ig_worker.run.store.run_store import RunStore
from jobs import prepare
from tests.run.in_process import StandIn, explain_here
from tests.run.made_runs import explained


@pytest.fixture
def config(tmp_path: Path, tiny_models: dict[str, Path]) -> ExplainConfig:
    """8 rows in chunks of 2; r5 is empty."""
    rows = [{"id": f"r{i}", "text": "" if i == 5 else "good film", "label": 1} for i in range(8)]
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ExplainConfig(dataset=str(path), model=str(tiny_models["distilbert"]), chunk_rows=2, max_length=16)


def explain(place: Path, config: ExplainConfig, kind: type = StandIn) -> RunResult:
    """Explain with a stand-in for the actors."""
    return explain_here(place, config, kind)


def ids_of(run: Path) -> list[str]:
    return [id for table in RunStore(str(run)).results.each() for id in table.column("id").to_pylist()]


def test_a_run_ends_with_its_state_and_reason_written_down(config: ExplainConfig, tmp_path: Path) -> None:
    result = explain(tmp_path / "run", config)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (result.exit_code, summary["exit_code"], summary["state"]) == (3, 3, "complete")
    assert summary["reason"] == "1 rows are quarantined"
    assert ids_of(tmp_path / "run") == ["r0", "r1", "r2", "r3", "r4", "r6", "r7"]


def test_a_start_that_finds_all_done_keeps_the_measured_speed(config: ExplainConfig, tmp_path: Path) -> None:
    explain(tmp_path / "run", config)
    before = json.loads((tmp_path / "run" / "summary.json").read_text())["reviews_per_second"]
    explain(tmp_path / "run", config)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["reviews_per_second"] == before > 0


def test_a_result_copied_over_another_is_refused_and_deleting_it_mends_the_run(config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    whole = ids_of(run)
    folder = run / "attributions"
    (folder / "chunk-00002.parquet").write_bytes((folder / "chunk-00001.parquet").read_bytes())
    with pytest.raises(RunDamagedError, match=r"chunk-00002\.parquet says that it is chunk 1; delete that file"):
        explain(run, config)
    (folder / "chunk-00002.parquet").unlink()
    assert explain(run, config).computed == 1
    assert ids_of(run) == whole


def test_a_lost_quarantine_file_is_noticed_and_made_again(config: ExplainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    next((run / "quarantine").iterdir()).unlink()
    with pytest.raises(RunDamagedError, match=r"chunk 00002 .* which is gone; delete that file"):
        explain(run, config)
    (run / "attributions" / "chunk-00002.parquet").unlink()
    assert explain(run, config).quarantined == 1
    assert RunStore(str(run)).results.quarantined().num_rows == 1


def test_a_result_with_too_few_rows_is_noticed(config: ExplainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    store = RunStore(str(run))
    table, _ = store.chunks.read(0)
    store.results.commit(0, explained("r0"), quarantine_table(0, table, {}), store.manifest.existing()["fingerprint"])
    with pytest.raises(RunDamagedError, match=r"chunk 00000 .* has 1 rows, its input chunk 2"):
        explain(run, config)


def test_a_deleted_input_chunk_is_written_again(config: ExplainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    chunk = run / "chunks" / "chunk-00002.parquet"
    before = chunk.read_bytes()
    chunk.unlink()
    (run / "attributions" / "chunk-00002.parquet").unlink()
    explain(run, config)
    assert chunk.read_bytes() == before


@pytest.mark.parametrize(
    ("error", "code"), [(RunStoppedError("no more actors"), 4), (StorageError("disk full"), 1), (ValueError("bug"), 4)]
)
def test_a_run_that_stops_says_so_in_its_files(config, tmp_path: Path, error, code: int) -> None:
    class Fails(StandIn):
        def explain(self, *_: Any) -> ChunkRecord:
            raise error

    with pytest.raises(type(error)):
        explain(tmp_path / "run", config, Fails)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["state"], summary["exit_code"], summary["reason"]) == ("stopped", code, str(error))
    assert RunStore(str(tmp_path / "run")).manifest.existing()["state"] == "stopped"


def test_settings_may_change_until_there_is_a_result(config, tmp_path: Path) -> None:
    class Fails(StandIn):
        def explain(self, *_: Any) -> ChunkRecord:
            raise RunStoppedError("weights are broken")

    with pytest.raises(RunStoppedError):
        explain(tmp_path / "run", config, Fails)
    assert explain(tmp_path / "run", replace(config, tolerance=0.01)).explained == 7
    with pytest.raises(RunMismatchError, match=r"tolerance: 0.01 there, 0.005 now"):
        explain(tmp_path / "run", config)


def test_a_sharding_that_did_not_end_starts_anew_with_whatever_is_asked_for(config, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path / "run"))
    store.manifest.write({"state": "preparing", "config": {}, "data_identity": {"data": "another", "limit": 3}})
    assert explain(tmp_path / "run", config).rows == 8


def test_the_evaluation_batch_is_measured_once_in_the_life_of_a_run(config, tmp_path: Path) -> None:
    class Measures(StandIn):
        def measure_batch(self, rows: int) -> int:
            return 1024

    explain(tmp_path / "run", config, Measures)
    manifest = RunStore(str(tmp_path / "run")).manifest.existing()
    assert manifest["identity"]["batch_tokens"] == 1024
    (tmp_path / "run" / "attributions" / "chunk-00002.parquet").unlink()
    assert explain(tmp_path / "run", config).computed == 1
    assert RunStore(str(tmp_path / "run")).manifest.existing()["fingerprint"] == manifest["fingerprint"]
    with pytest.raises(RunMismatchError, match="batch_tokens: 1024 there, 512 now"):
        explain(tmp_path / "run", replace(config, batch_tokens=512))


def test_a_limit_that_cuts_nothing_is_no_other_run(config: ExplainConfig, tmp_path: Path) -> None:
    explain(tmp_path / "run", config)
    assert explain(tmp_path / "run", replace(config, limit=8, split="train")).computed == 0
    with pytest.raises(RunMismatchError, match="limit: None there, 7 now"):
        explain(tmp_path / "run", replace(config, limit=7))


def test_a_deadline_that_has_passed_stops_the_run_cleanly(config: ExplainConfig, tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError, match="--deadline of 1e-09 s has passed; run the same command again"):
        explain(tmp_path / "run", replace(config, deadline=1e-9))


def test_a_run_that_goes_wrong_is_stopped_before_it_has_quarantined_everything(config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    with pytest.raises(
        RunStoppedError, match=r"1 of 8 rows are quarantined; expected at most 10% \(--max-quarantined\)"
    ):
        explain(run, replace(config, max_quarantined="10%"))
    assert explain(run, replace(config, max_quarantined="1")).quarantined == 1


def test_a_second_driver_is_refused_while_the_first_is_alive(config: ExplainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    with (
        Lease(RunStore(str(run)).storage).held(),
        pytest.raises(UsageError, match=r"another driver \(process \d+ on .*\) is at work on .*run; wait for it"),
    ):
        explain(run, config)
    assert explain(run, config).computed == 0


@pytest.mark.parametrize("first", ["prepare", "explain"])
@pytest.mark.parametrize("second", ["prepare", "explain"])
def test_only_one_driver_prepares(config, tmp_path: Path, monkeypatch, first: str, second: str) -> None:
    """While the first writes the chunks, the second asks for another data set."""
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "x", "text": "bad film", "label": 0}\n')
    inside, told = threading.Event(), threading.Event()
    write = prepare_module._write_chunks

    def slowly(*args: Any) -> Any:
        inside.set()
        assert told.wait(60)
        return write(*args)

    def start(job: str, dataset: str) -> int:
        if job == "prepare":
            return prepare.main(["--dataset", dataset, "--run", str(tmp_path / "run"), "--chunk-rows", "2"])
        return explain(tmp_path / "run", replace(config, dataset=dataset)).exit_code

    monkeypatch.setattr(prepare_module, "_write_chunks", slowly)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(start, first, config.dataset)
        try:
            assert inside.wait(60)
            if second == "prepare":
                assert start(second, str(other)) == 1
            else:
                with pytest.raises(UsageError, match="another driver"):
                    start(second, str(other))
        finally:
            told.set()
        running.result()
    assert explain(tmp_path / "run", config).explained == 7
    assert verify_run(RunStore(str(tmp_path / "run"))).faults == []


@pytest.mark.parametrize("ends", [None, StorageError("the network is gone"), KeyboardInterrupt()])
def test_a_driver_that_was_taken_for_dead_writes_nothing_more(config, tmp_path: Path, ends) -> None:
    """It may have stood still, and nobody has told it yet."""
    run = tmp_path / "run"
    files = {}

    class SleepsAndWakes(StandIn):
        def explain(self, index: int, *_: Any) -> ChunkRecord:
            other = LeaseRecord("d2", "elsewhere", "machine", 7, 70)
            for name, content in {"driver.json": asdict(other), "run.json": {}, "summary.json": {}}.items():
                (run / name).write_text(json.dumps(content))
                files[name] = (run / name).read_bytes()
            if ends:
                raise ends
            return ChunkRecord(index, 2, 2, 0, 1, 1, 51.0, 2, 1.0, 1.0, 1)

    with pytest.raises(RunStoppedError if not isinstance(ends, StorageError) else StorageError):
        explain(run, config, SleepsAndWakes)
    assert {name: (run / name).read_bytes() for name in files} == files


def test_an_interrupted_run_says_how_far_it_is(config: ExplainConfig, tmp_path: Path) -> None:
    class Interrupted(StandIn):
        def explain(self, index: int, *arguments: Any) -> ChunkRecord:
            if index == 3:
                raise KeyboardInterrupt
            return super().explain(index, *arguments)

    with pytest.raises(RunStoppedError, match="interrupted; 3 of 4 chunks are done and kept; run the same"):
        explain(tmp_path / "run", config, Interrupted)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["chunks_done"], summary["explained"], summary["quarantined"]) == (3, 5, 1)
    assert RunStore(str(tmp_path / "run")).manifest.existing()["state"] == "stopped"


def test_a_storage_that_is_away_does_not_hold_an_interruption_up(
    config: ExplainConfig, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(finish, "_LAST_PATIENCE_S", 0.1)

    def away(*_: object) -> None:
        raise OSError(errno.EBUSY, "the storage is away")

    class Interrupted(StandIn):
        def explain(self, *_: Any) -> ChunkRecord:
            monkeypatch.setattr(Storage, "_replace_local", away)
            raise KeyboardInterrupt

    with pytest.raises(RunStoppedError, match="interrupted; 0 of 4 chunks"):
        explain(tmp_path / "run", config, Interrupted)
    monkeypatch.undo()
    assert RunStore(str(tmp_path / "run")).manifest.existing()["state"] == "running"
    assert not (tmp_path / "run" / "driver.json").exists()


def test_chunks_of_a_data_set_that_was_given_up_do_not_stay(config: ExplainConfig, tmp_path: Path, monkeypatch) -> None:
    store = RunStore(str(tmp_path / "run"))
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "PREPARED", "preparing")  # as if it had ended before that was written
        prepare_module.prepare(store, config)
    assert explain(tmp_path / "run", replace(config, limit=3)).explained == 3
    assert verify_run(store).faults == []


def test_a_result_that_goes_away_while_the_run_is_under_way_is_no_complete_run(config, tmp_path) -> None:
    class Loses(StandIn):
        def explain(self, index: int, *arguments: Any) -> ChunkRecord:
            if index == 3:
                (tmp_path / "run" / "attributions" / "chunk-00002.parquet").unlink()
            return super().explain(index, *arguments)

    with pytest.raises(
        RunStoppedError, match="1 results are gone since they were written, such as that of chunk 00002"
    ):
        explain(tmp_path / "run", config, Loses)
    assert RunStore(str(tmp_path / "run")).manifest.existing()["state"] == "stopped"
    assert explain(tmp_path / "run", config).computed == 1


def test_quarantined_rows_are_tried_again_when_asked_for_and_faults_of_the_data_are_not(config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    explain(run, config)
    store = RunStore(str(run))
    table, _ = store.chunks.read(0)
    store.results.commit(
        0,
        explained("r0"),
        quarantine_table(0, table, {1: RowFault("ends_process", "it ended")}),
        store.results.read_commit(1).fingerprint,
    )
    assert explain(run, config).quarantined == 2
    again = explain(run, replace(config, retry_quarantined=True))
    assert (again.computed, again.explained, again.quarantined) == (1, 7, 1)
    assert sorted(ids_of(run)) == [f"r{i}" for i in range(8) if i != 5]
    assert verify_run(store).faults == []


def test_a_disk_that_fills_up_once_there_are_results_is_a_stop_and_no_wrong_use(config, tmp_path, monkeypatch) -> None:
    run, write = tmp_path / "run", Storage._replace_local

    def full(self: Storage, path: str, data: Any) -> None:
        if (run / "attributions" / "chunk-00003.parquet").exists() and path.endswith(".json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "_replace_local", full)
        with pytest.raises(RunStoppedError, match=r"No space left on device.*run the same command again"):
            explain(run, config)
    assert explain(run, config).explained == 7
