"""The work on one chunk: every row ends explained or quarantined, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ig_worker import schema
from ig_worker.data.faults import RowFault
from ig_worker.errors import RunStoppedError
from ig_worker.explain.explanation import Explanation
from ig_worker.explain.problems import Problem
from ig_worker.explain.target_setting import read_target
from ig_worker.models.inputs import ModelInput
from ig_worker.models.tokenize import Tokens
from ig_worker.run.chunk.audit import audit_chunk
from ig_worker.run.chunk.records import Binding
from ig_worker.run.chunk.row_engine import RowEngine
from ig_worker.run.chunk.rows import Row, explain_rows
from ig_worker.run.chunk.worker import ChunkWorker
from ig_worker.run.config import ExplainConfig
from ig_worker.run.store.run_store import RunStore

POISON, STRANGE = 666, 777
BINDING = Binding("print", 0)


class ScriptedEngine:
    """Raises for a batch that holds POISON, gives no number for STRANGE; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        self.calls.append(len(problems))
        if any(POISON in problem.text.ids for problem in problems):
            raise ValueError("token 666\nis too much")
        ones = np.ones(2, np.float32)
        return [
            Explanation(ones / 2, 0, 0.5, 0.5, ones * (np.nan if STRANGE in d.text.ids else 1), 0, None, 51, "fixed")
            for d in problems
        ]


GOOD = Problem(ModelInput.single(np.array([9], np.int32), np.ones(1, np.int32)), np.array([0], np.int32))


def for_rows(engine: ScriptedEngine) -> RowEngine:
    return RowEngine(engine, read_target("predicted", ("bad", "good")), lambda texts: [])


def rows(*first_ids: int) -> list[Row]:
    made = []
    for position, id in enumerate(first_ids):
        ids = np.array([id, 5], np.int32)
        tokens = Tokens(
            ModelInput.single(ids, np.ones(2, np.int32)),
            np.zeros(2, np.int32),
            ["a", "b"],
            False,
            np.zeros(2, np.int32),
        )
        made.append(Row(position, f"row-{position}", 0, tokens, (Problem(tokens.inputs, ids),)))
    return made


def test_rows_that_raise_are_quarantined_alone_with_their_traceback() -> None:
    failed = {}
    done = explain_rows(for_rows(ScriptedEngine()), rows(1, POISON, 2, 3, 4, POISON, 5), failed, GOOD)
    assert [row.position for row, _ in done] == [0, 2, 3, 4, 6]
    assert sorted(failed) == [1, 5]
    assert (failed[1].reason, failed[1].detail) == ("exception", "ValueError: token 666")
    assert "is too much" in failed[1].traceback


def test_the_result_comes_from_one_pass_over_the_rows_that_work() -> None:
    engine = ScriptedEngine()
    explain_rows(for_rows(engine), rows(1, 2, POISON, 3), {}, GOOD)
    assert engine.calls[-1] == 3


def test_a_row_without_numbers_is_quarantined_and_its_neighbours_kept() -> None:
    failed = {}
    done = explain_rows(for_rows(ScriptedEngine()), rows(1, STRANGE, 2), failed, GOOD)
    assert [row.position for row, _ in done] == [0, 2]
    assert failed[1].reason == "non_finite"


class SickEngine(ScriptedEngine):
    """Fails for every problem, as a broken device does."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        if self.error is not None:
            raise self.error
        nan = np.full(2, np.nan, np.float32)
        return [Explanation(nan, 0, 0.5, 0.5, nan, 0, None, 51, "fixed") for _ in problems]


class ResourceExhaustedError(Exception):
    """Named as TensorFlow's."""


@pytest.mark.parametrize("error", [ValueError("sick"), MemoryError(), ResourceExhaustedError("full"), None])
def test_a_sick_machine_quarantines_nothing(error: Exception | None) -> None:
    failed = {}
    with pytest.raises(type(error) if error else RunStoppedError):
        explain_rows(for_rows(SickEngine(error)), rows(1, 2, 3), failed, GOOD)
    assert failed == {}


def test_a_chunk_of_nothing_but_bad_rows_is_quarantined() -> None:
    failed = {}
    assert explain_rows(for_rows(ScriptedEngine()), rows(POISON, POISON), failed, GOOD) == []
    assert sorted(failed) == [0, 1]


@pytest.fixture(scope="module")
def worker(tiny_models: dict[str, Path]) -> ChunkWorker:
    from ig_worker.models.files import find_model

    config = ExplainConfig(dataset="x", model="m", method="gausslegendre", n_steps=5, max_length=12, target="label")
    return ChunkWorker(config, find_model(str(tiny_models["distilbert"])))


def test_a_chunk_is_committed_with_every_row_once(worker: ChunkWorker, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    texts = ["good film", None, "a dull plot", "the acting was great " * 9, "joy"]
    labels = [1, 0, None, 0, 7]
    chunk = pa.table({"id": list("abcde"), "text": texts, "label": labels}, schema=schema.INPUT)
    store.chunks.write(3, chunk, {1: RowFault("null_text", "text is null")})
    record = worker.explain_chunk(store, 3, BINDING)
    explained, quarantine = store.results.read(3), store.results.quarantined()
    assert explained.column("id").to_pylist() == ["a", "d"]
    assert quarantine.column("reason").to_pylist() == ["null_text", "bad_label", "bad_label"]
    assert quarantine.column("position").to_pylist() == [1, 2, 4]
    assert (record.rows, record.explained, record.quarantined, record.labelled) == (5, 2, 3, 2)
    assert explained.schema.remove_metadata().equals(schema.ATTRIBUTIONS)
    assert explained.column("truncated").to_pylist() == [False, True]


def test_rows_that_end_their_process_are_not_tried(worker: ChunkWorker, tmp_path: Path, monkeypatch) -> None:
    store = RunStore(str(tmp_path))
    chunk = pa.table({"id": list("abc"), "text": ["good film", "boom", None], "label": [1, 1, 1]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {2: RowFault("null_text", "text is null")})
    encode, seen = worker.reader.encoder.encode, []
    monkeypatch.setattr(worker.reader.encoder, "encode", lambda texts: seen.extend(texts) or encode(texts))
    record = worker.explain_chunk(store, 0, BINDING, guilty=(1, 2))
    assert "boom" not in seen
    assert (record.explained, record.quarantined) == (1, 2)
    assert store.results.quarantined().column("reason").to_pylist() == ["ends_process", "null_text"]


def test_a_probe_explains_its_rows_and_writes_nothing(worker: ChunkWorker, tmp_path: Path, monkeypatch) -> None:
    store = RunStore(str(tmp_path))
    texts = ["one", "two", None, "three", "four"]
    chunk = pa.table({"id": list("abcde"), "text": texts, "label": [1] * 5}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {2: RowFault("null_text", "text is null")})
    encode, seen = worker.reader.encoder.encode, []
    monkeypatch.setattr(worker.reader.encoder, "encode", lambda texts: seen.extend(texts) or encode(texts))
    before = sorted(tmp_path.rglob("*"))
    worker.probe_rows(store, 0, 1, 4)
    assert seen == ["two", "three"]
    assert sorted(tmp_path.rglob("*")) == before


def test_the_columns_of_a_row_belong_together(worker: ChunkWorker, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    chunk = pa.table({"id": ["a"], "text": ["slowly good"], "label": [1]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    worker.explain_chunk(store, 0, BINDING)
    (row,) = store.results.read(0).to_pylist()
    assert row["tokens"] == ["[CLS]", "slow", "##ly", "good", "[SEP]"]
    assert row["word_ids"] == [-1, 0, 0, 1, -1]
    assert len(row["tokens"]) == len(row["input_ids"]) == len(row["word_ids"]) == len(row["attributions"])
    assert row["target"] == row["label"] == 1
    assert row["target_probability"] == pytest.approx(row["probabilities"][1])
    assert row["prediction"] == int(np.argmax(row["probabilities"]))
    change = row["target_probability"] - row["baseline_probability"]
    assert row["delta"] == pytest.approx(sum(row["attributions"]) - change, abs=1e-6)
    assert (row["evaluations"], row["status"], row["error_estimate"]) == (6.0, "fixed", None)


def test_the_audit_compares_both_engines_row_by_row(worker: ChunkWorker, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    chunk = pa.table({"id": ["a", "b"], "text": ["good film", "slow end"], "label": [1, 0]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    worker.explain_chunk(store, 0, BINDING)
    records = audit_chunk(worker, store, 0, 1.0)
    assert [(r["id"], r["method"], r["n_steps"]) for r in records] == [(i, "gausslegendre", 50) for i in "ab"]
    assert all(0 <= record["relative_l1"] < 1e-4 for record in records)
    assert audit_chunk(worker, store, 0, 0.0) == []


def test_quarantined_rows_are_not_audited(worker: ChunkWorker, tmp_path: Path) -> None:
    store = RunStore(str(tmp_path))
    chunk = pa.table({"id": ["a", "b"], "text": ["good film", "slow end"], "label": [1, 9]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    worker.explain_chunk(store, 0, BINDING)
    assert [record["id"] for record in audit_chunk(worker, store, 0, 1.0)] == ["a"]


def test_hidden_attributions_sum_to_the_attributions(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from ig_worker.models.files import find_model

    files = find_model(str(tiny_models["bert"]))
    config = ExplainConfig(
        dataset="x", model="m", method="gausslegendre", n_steps=5, max_length=12, layer="block:1", keep_hidden=True
    )
    store = RunStore(str(tmp_path))
    chunk = pa.table({"id": ["a", "b"], "text": ["good film", "dull"], "label": [1, 0]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    ChunkWorker(config, files).explain_chunk(store, 0, BINDING)
    table = store.results.read(0)
    assert table.schema.remove_metadata().equals(schema.attributions(hidden=32))
    for row in table.to_pylist():
        hidden = np.array(row["hidden_attributions"])
        assert hidden.shape == (len(row["tokens"]), 32)
        np.testing.assert_allclose(hidden.sum(axis=1), row["attributions"], atol=1e-6)


def test_a_text_without_tokens_is_quarantined_in_style_plain(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from ig_worker.models.files import find_model

    config = ExplainConfig(dataset="x", model="m", method="gausslegendre", n_steps=2, max_length=12, text_style="plain")
    store = RunStore(str(tmp_path))
    chunk = pa.table({"id": ["a", "b"], "text": ["...", "good"], "label": [1, 0]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    ChunkWorker(config, find_model(str(tiny_models["bert"]))).explain_chunk(store, 0, BINDING)
    assert store.results.quarantined().column("reason").to_pylist() == ["no_tokens"]
    assert store.results.read(0).column("id").to_pylist() == ["b"]


@pytest.mark.parametrize("engine", ["fused", "alibi"])
def test_lengths_are_not_rounded_up_beyond_the_models_positions(tmp_path: Path, engine: str) -> None:
    from ig_worker.models.files import find_model
    from tests.tiny import save_tiny_model

    model = save_tiny_model(tmp_path / "model", "distilbert", max_position_embeddings=40)
    config = ExplainConfig(dataset="x", model="m", method="gausslegendre", n_steps=2, max_length=40, engine=engine)
    store = RunStore(str(tmp_path / "run"))
    chunk = pa.table({"id": ["a"], "text": ["good film " * 30], "label": [1]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    record = ChunkWorker(config, find_model(str(model))).explain_chunk(store, 0, BINDING)
    assert (record.explained, record.quarantined) == (1, 0)
    assert len(store.results.read(0).column("tokens")[0]) == 40


def test_the_audit_of_an_adaptive_run_holds_what_was_written_against_the_refined_reference(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from ig_worker.models.files import find_model

    config = ExplainConfig(dataset="x", model="m", max_length=12, tolerance=0.02)
    adaptive, store = ChunkWorker(config, find_model(str(tiny_models["bert"]))), RunStore(str(tmp_path))
    chunk = pa.table({"id": ["a", "b"], "text": ["good film", "slow end"], "label": [1, 0]}, schema=schema.INPUT)
    store.chunks.write(0, chunk, {})
    record = adaptive.explain_chunk(store, 0, BINDING)
    written = store.results.read(0).to_pylist()
    assert record.converged == 2
    assert record.evaluations == sum(row["evaluations"] for row in written)
    for row, audit in zip(written, audit_chunk(adaptive, store, 0, 1.0), strict=True):
        assert (row["status"], audit["id"]) == ("converged", row["id"])
        assert row["error_estimate"] <= 0.02
        assert audit["error_estimate"] == row["error_estimate"]
        assert audit["refined_relative_l1"] <= 0.02
        assert audit["relative_l1"] < 1e-4
