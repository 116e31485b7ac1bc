"""The next chunk is read while this one is computed: the bytes are the same, and what went wrong there is met again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.data.faults import RowFault
from ig_worker.errors import RunDamagedError, RunStoppedError
from ig_worker.run.chunk import ahead as ahead_module
from ig_worker.run.chunk.ahead import Ahead
from ig_worker.run.chunk.records import Binding
from ig_worker.run.chunk.row_reader import RowReader, TokenizedTable
from ig_worker.run.chunk.worker import ChunkWorker
from ig_worker.run.config import ExplainConfig
from ig_worker.run.store.run_store import RunStore
from tests.run.in_process import Here, explain_here

BINDING = Binding("print", 0)
CONFIG = ExplainConfig(dataset="x", model="m", method="gausslegendre", n_steps=3, max_length=12, target="label")
CHUNKS = 4


@pytest.fixture(scope="module")
def worker(tiny_models: dict[str, Path]) -> ChunkWorker:
    from ig_worker.models.files import find_model

    return ChunkWorker(CONFIG, find_model(str(tiny_models["distilbert"])))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """Chunks of four rows, one of which has no text and one no label."""
    made = RunStore(str(tmp_path / "run"))
    for index in range(CHUNKS):
        texts = [f"good film {index}", None, "a dull plot", "the acting was great " * (index + 1)]
        rows = {"id": [f"{index}-{i}" for i in range(4)], "text": texts, "label": [1, 0, None, 0]}
        made.chunks.write(index, pa.table(rows, schema=schema.INPUT), {1: RowFault("null_text", "text is null")})
    return made


def written(store: RunStore) -> dict[str, bytes]:
    folders = (Path(store.place) / name for name in ("attributions", "quarantine"))
    return {path.name: path.read_bytes() for folder in folders for path in sorted(folder.glob("*"))}


def explain(worker: ChunkWorker, store: RunStore, *orders: tuple[int, Sequence[int], int | None]) -> dict[str, bytes]:
    """What is written of chunks, each given with its guilty rows and with the chunk that is said to be next."""
    for index, guilty, following in orders:
        worker.explain_chunk(store, index, BINDING, guilty, following)
    found = written(store)
    for name in ("attributions", "quarantine"):
        shutil.rmtree(Path(store.place) / name, ignore_errors=True)
    return found


class Reads:
    """Who reads which chunk: a thread ahead, or the one that explains."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[int, str]] = []
        plain = RowReader.read

        def read(reader: RowReader, store: RunStore, index: int, guilty: Sequence[int] = ()) -> TokenizedTable:
            main = threading.current_thread() is threading.main_thread()
            self.made.append((index, "here" if main else "ahead"))
            return plain(reader, store, index, guilty)

        monkeypatch.setattr(RowReader, "read", read)


def test_the_bytes_are_the_same_with_and_without_a_hint_and_each_chunk_is_read_once(worker, store, monkeypatch) -> None:
    plain = explain(worker, store, *((index, (), None) for index in range(CHUNKS)))
    reads = Reads(monkeypatch)
    hinted = explain(
        worker, store, *((index, (), index + 1 if index + 1 < CHUNKS else None) for index in range(CHUNKS))
    )
    assert hinted == plain
    assert len(plain) == 2 * CHUNKS
    assert reads.made == [(0, "here"), (1, "ahead"), (2, "ahead"), (3, "ahead")]


def test_a_chunk_that_is_not_the_one_that_was_hinted_is_read_by_itself(worker, store, monkeypatch) -> None:
    plain = explain(worker, store, (0, (), None), (2, (), None), (1, (), None))
    reads = Reads(monkeypatch)
    assert explain(worker, store, (0, (), 1), (2, (), None), (1, (), None)) == plain
    assert reads.made == [(0, "here"), (1, "ahead"), (2, "here"), (1, "here")], "what was ready was dropped"


def test_rows_that_are_guilty_since_the_hint_are_left_out(worker, store, monkeypatch) -> None:
    plain = explain(worker, store, (0, (), None), (1, (0,), None))
    reads = Reads(monkeypatch)
    assert explain(worker, store, (0, (), 1), (1, (0,), None)) == plain
    assert reads.made == [(0, "here"), (1, "ahead"), (1, "here")]


def test_a_chunk_of_another_run_with_the_same_number_is_not_taken(worker, store, tmp_path: Path) -> None:
    other = RunStore(str(tmp_path / "other"))
    rows = pa.table({"id": ["x"], "text": ["a dull plot"], "label": [1]}, schema=schema.INPUT)
    other.chunks.write(1, rows, {})
    worker.explain_chunk(store, 0, BINDING, (), 1)
    worker.explain_chunk(other, 1, BINDING)
    assert other.results.read(1).column("id").to_pylist() == ["x"]


def test_what_cannot_be_read_ahead_is_told_when_it_is_asked_for(worker, store) -> None:
    damaged = Path(store.place) / "chunks" / "chunk-00001.parquet"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:50])
    assert worker.explain_chunk(store, 0, BINDING, (), 1).explained == 2
    with pytest.raises(RunDamagedError, match="chunk-00001"):
        worker.explain_chunk(store, 1, BINDING, (), 2)
    damaged.write_bytes(content)
    assert worker.explain_chunk(store, 1, BINDING, (), 2).explained == 2


def test_a_fault_that_has_passed_since_is_not_told(worker, store) -> None:
    chunk = Path(store.place) / "chunks" / "chunk-00001.parquet"
    content = chunk.read_bytes()
    chunk.unlink()
    worker.explain_chunk(store, 0, BINDING, (), 1)
    chunk.write_bytes(content)
    assert worker.explain_chunk(store, 1, BINDING).explained == 2


def test_an_order_ends_after_its_thread_and_with_its_own_error(worker, store, monkeypatch) -> None:
    begun, commit = threading.Event(), store.results.commit

    def fails(*_: Any) -> None:
        assert begun.wait(60)
        raise RunStoppedError("the run goes on without this worker")

    class Late(RowReader):
        def read(self, *arguments: Any) -> TokenizedTable:
            if threading.current_thread() is not threading.main_thread():
                begun.set()
            return super().read(*arguments)

    reader = Late(CONFIG, worker.classifier)
    monkeypatch.setattr(worker, "_ahead", Ahead(reader))
    monkeypatch.setattr(store.results, "commit", fails)
    with pytest.raises(RunStoppedError, match="without this worker"):
        worker.explain_chunk(store, 0, BINDING, (), 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(ahead_module.THREAD)]
    monkeypatch.setattr(store.results, "commit", commit)
    assert worker.explain_chunk(store, 1, BINDING).explained == 2


def test_a_line_of_the_log_says_which_chunk_was_being_read(worker, store, monkeypatch) -> None:
    from ig_worker.run import logs

    about: list[dict[str, str]] = []
    monkeypatch.setattr(worker.reader, "read", lambda *_: about.append(dict(logs._context.get())))
    with worker._ahead.preparing(store, 3):
        pass
    assert about == [{"run": "run", "chunk": "chunk-00003"}]


def test_a_run_in_this_process_reads_ahead_and_writes_what_one_without_hints_does(tiny_models, tmp_path, monkeypatch):
    lines = [f'{{"id": "r{i}", "text": "{text}", "label": 1}}\n' for i, text in enumerate(["good film", "", "joy"] * 4)]
    (tmp_path / "reviews.jsonl").write_text("".join(lines))
    config = replace(
        CONFIG, dataset=str(tmp_path / "reviews.jsonl"), model=str(tiny_models["distilbert"]), chunk_rows=3
    )

    class Unhinted(Here):
        def explain(self, index: int, binding: Binding, guilty: tuple[int, ...] = (), ahead: int | None = None) -> Any:
            return super().explain(index, binding, guilty)

    explain_here(tmp_path / "plain", config, Unhinted)
    reads = Reads(monkeypatch)
    assert explain_here(tmp_path / "hinted", config).explained == 8
    assert [(index, who) for index, who in reads.made] == [(0, "here"), (1, "ahead"), (2, "ahead"), (3, "ahead")]
    assert written(RunStore(str(tmp_path / "hinted"))) == written(RunStore(str(tmp_path / "plain")))
