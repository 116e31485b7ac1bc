"""The work on one chunk, without Ray: read rows, explain them, commit. An actor holds one `ChunkWorker`."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import RowError, UsageError
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.explain.engine import Document, Engine, Explanation, relative_l1
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.rules import fixed_rule
from ig_worker.models.files import ModelFiles
from ig_worker.models.tokenize import TextEncoder, Tokens
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch import audit_positions
from ig_worker.run.store import Faults, RunStore

AUDIT_METHOD, AUDIT_STEPS = "gausslegendre", 50


@dataclass(frozen=True)
class ChunkRecord:
    """What the driver learns of a chunk: counts, never rows."""

    index: int
    rows: int
    explained: int
    quarantined: int
    correct: int  # explained rows whose label is the prediction
    labelled: int  # explained rows with a label
    evaluations: float
    seconds: float  # all of it
    engine_seconds: float  # inside the engine
    peak_memory: int  # of the process so far, in bytes


@dataclass(frozen=True)
class Row:
    """One row on its way through a chunk."""

    position: int
    id: str
    label: int | None
    tokens: Tokens
    document: Document


@dataclass(frozen=True)
class Failure:
    """Why a row cannot be explained."""

    reason: str  # a short code
    detail: str  # one line for a person
    traceback: str | None = None


Explained = list[tuple[Row, Explanation]]
Failures = dict[int, Failure]  # by position in the chunk


class ChunkWorker:
    """Model, tokenizer and engine of one process.

    Args:
        config: the run's configuration.
        files: the model's files, on this node.
        fingerprint: of the run; goes into every file.
    """

    def __init__(self, config: ExplainConfig, files: ModelFiles, fingerprint: str) -> None:
        from ig_worker.models.classifier import load_classifier  # TensorFlow: seconds

        self._config = config
        self._fingerprint = fingerprint
        self.classifier = load_classifier(files)
        self._encoder = TextEncoder(self.classifier.tokenizer, config.text_style, config.max_length)
        self._special = SpecialIds.of(self.classifier.tokenizer)
        self._shape = BatchShape(config.length_multiple, config.batch_tokens)
        self._engines: dict[tuple[str, str, int, bool], Engine] = {}

    def _engine(self, engine: str, method: str, n_steps: int, keep_hidden: bool = False) -> Engine:
        """An engine, made once: its compiled programs are worth keeping."""
        key = (engine, method, n_steps, keep_hidden)
        if key not in self._engines:
            self._engines[key] = self._make_engine(*key)
        return self._engines[key]

    def _make_engine(self, engine: str, method: str, n_steps: int, keep_hidden: bool) -> Engine:
        if engine == "alibi":
            from ig_worker.explain.reference import AlibiEngine

            return AlibiEngine(self.classifier, self._config.layer, method, n_steps, keep_hidden=keep_hidden)
        from ig_worker.explain.fused import FusedEngine

        network = self.classifier.split(self._config.layer)
        return FusedEngine(network, fixed_rule(method, n_steps), self._shape, keep_hidden=keep_hidden)

    def explain_chunk(self, store: RunStore, index: int) -> ChunkRecord:
        """Explain a chunk and commit it. Rows that cannot be explained go to quarantine, each with its reason."""
        started = time.monotonic()
        table, faults = store.read_chunk(index)
        explained, failed, engine_seconds = self.explain_table(table, faults)
        quarantined = quarantine_table(index, table, failed)
        store.commit(index, attributions_table(explained, self.hidden), quarantined, self._fingerprint)
        labelled = [(row, result) for row, result in explained if row.label is not None]
        return ChunkRecord(
            index=index,
            rows=table.num_rows,
            explained=len(explained),
            quarantined=len(failed),
            correct=sum(row.label == result.prediction for row, result in labelled),
            labelled=len(labelled),
            evaluations=sum(result.evaluations for _, result in explained),
            seconds=time.monotonic() - started,
            engine_seconds=engine_seconds,
            peak_memory=peak_memory(),
        )

    @property
    def hidden(self) -> int | None:
        """Hidden units kept of every token; None without `--keep-hidden`."""
        return self.classifier.shape.hidden if self._config.keep_hidden else None

    def explain_table(self, table: pa.Table, faults: Faults) -> tuple[Explained, Failures, float]:
        """Explain the rows of a table with the columns of `schema.INPUT` that have no fault.

        Returns:
            The explained rows, the others with their reasons, and the seconds spent inside the engine.
        """
        rows, failed = self._rows(table, faults)
        config = self._config
        engine = self._engine(config.engine, config.method, config.n_steps, config.keep_hidden)
        begun = time.monotonic()
        explained = explain_rows(engine, rows, failed)
        return explained, failed, time.monotonic() - begun

    def audit_chunk(self, store: RunStore, index: int, share: float) -> list[dict[str, Any]]:
        """Recompute a share of a chunk's explained rows by both engines at `gausslegendre` 50 and compare them.

        Returns:
            Records of `schema.AUDIT`; the rows are chosen by their ids.
        """
        table, faults = store.read_chunk(index)
        faults |= dict.fromkeys(store.read_commit(index).quarantined, ("quarantined", ""))
        rows, _ = self._rows(table, faults)
        chosen = set(audit_positions([row.id for row in rows], share))
        wanted = [row for position, row in enumerate(rows) if position in chosen]
        documents = [row.document for row in wanted]
        ours = self._engine("fused", AUDIT_METHOD, AUDIT_STEPS).explain(documents)
        theirs = self._engine("alibi", AUDIT_METHOD, AUDIT_STEPS).explain(documents)
        return [_audit_record(index, row.id, a, b) for row, a, b in zip(wanted, ours, theirs, strict=True)]

    def _rows(self, table: pa.Table, faults: Faults) -> tuple[list[Row], Failures]:
        """Tokenized rows without known faults, and the faults, to which bad labels have been added."""
        failed = {position: Failure(reason, detail) for position, (reason, detail) in faults.items()}
        records = [(i, record) for i, record in enumerate(table.to_pylist()) if i not in failed]
        rows = []
        for (position, record), tokens in zip(
            records, self._encoder.encode([record["text"] for _, record in records]), strict=True
        ):
            try:
                target = choose_target(self._config.target, record["label"], self.classifier.shape.classes)
            except RowError as error:
                failed[position] = Failure(error.reason, str(error))
                continue
            base = baseline_ids(tokens.input_ids, self._config.baseline, self._special)
            document = Document(tokens.input_ids, base, tokens.attention_mask, target)
            rows.append(Row(position, record["id"], record["label"], tokens, document))
        return rows, failed


def choose_target(target: str, label: int | None, classes: int) -> int | None:
    """The class to explain in a row; None is the predicted one.

    Raises:
        RowError: the target is the label, and the row has none that the model knows.
        UsageError: the target is a class that the model does not have.
    """
    if target == "predicted":
        return None
    if target == "label":
        if label is None or not 0 <= label < classes:
            raise RowError(f"label is {label}", expected=f"0 to {classes - 1} for --target label", reason="bad_label")
        return label
    if int(target) >= classes:
        raise UsageError(f"--target is {target}", expected=f"0 to {classes - 1}, as the model has {classes} classes")
    return int(target)


def explain_rows(engine: Engine, rows: Sequence[Row], failed: Failures) -> Explained:
    """Explanations of the rows that have one; the others are entered into `failed`.

    The result always comes from one pass over the rows that work: halves are only probed for the rows that raise, so
    that a row's numbers do not depend on how its neighbours were found out.
    """

    def attempt(part: Sequence[Row]) -> list[Explanation]:
        return engine.explain([row.document for row in part])

    good = list(rows)
    try:
        results = attempt(good)
    except Exception:  # noqa: BLE001  whatever a row makes the engine raise, it must not cost the others
        for row, error in find_failing(good, attempt):
            detail = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            failed[row.position] = Failure("exception", detail, "".join(traceback.format_exception(error)))
        good = [row for row in good if row.position not in failed]
        results = attempt(good)
    explained = []
    for row, result in zip(good, results, strict=True):
        if result.finite():
            explained.append((row, result))
        else:
            failed[row.position] = Failure("non_finite", "the network's output or its gradient is no finite number")
    return explained


def find_failing(rows: Sequence[Row], attempt: Callable[[Sequence[Row]], object]) -> list[tuple[Row, Exception]]:
    """The rows that raise by themselves, found by halving."""
    if not rows:
        return []
    try:
        attempt(rows)
    except Exception as error:  # noqa: BLE001  see explain_rows
        if len(rows) == 1:
            return [(rows[0], error)]
        middle = len(rows) // 2
        return find_failing(rows[:middle], attempt) + find_failing(rows[middle:], attempt)
    return []


def attributions_table(explained: Sequence[tuple[Row, Explanation]], hidden: int | None = None) -> pa.Table:
    """Rows of `schema.attributions(hidden)`."""
    columns: dict[str, Any] = {
        "id": [row.id for row, _ in explained],
        "label": [row.label for row, _ in explained],
        "prediction": [result.prediction for _, result in explained],
        "target": [result.target for _, result in explained],
        "probabilities": [result.probabilities for _, result in explained],
        "target_probability": [result.target_probability for _, result in explained],
        "baseline_probability": [result.baseline_probability for _, result in explained],
        "tokens": [row.tokens.tokens for row, _ in explained],
        "input_ids": [row.tokens.input_ids for row, _ in explained],
        "word_ids": [row.tokens.word_ids for row, _ in explained],
        "attributions": [result.attributions for _, result in explained],
        "delta": [result.delta for _, result in explained],
        "error_estimate": [result.error_estimate for _, result in explained],
        "evaluations": [result.evaluations for _, result in explained],
        "status": [result.status for _, result in explained],
        "truncated": [row.tokens.truncated for row, _ in explained],
    }
    if hidden is not None:
        columns["hidden_attributions"] = _hidden_column([result.hidden for _, result in explained], hidden)
    return pa.Table.from_pydict(columns, schema=schema.attributions(hidden))


def _hidden_column(arrays: Sequence[Any], hidden: int) -> pa.Array:
    """Arrays of float32 [tokens, hidden] as one Arrow column, without a Python object for each number."""
    offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int32)
    values = np.concatenate([np.zeros((0, hidden), np.float32), *arrays])
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), hidden))


def quarantine_table(index: int, table: pa.Table, failed: Failures) -> pa.Table:
    """Rows of `schema.QUARANTINE`, in the order of the chunk."""
    ids, labels = table.column("id"), table.column("label")
    records = [
        {
            "id": ids[position].as_py(),
            "chunk": index,
            "position": position,
            "label": labels[position].as_py(),
            "reason": failure.reason,
            "detail": failure.detail,
            "traceback": failure.traceback,
        }
        for position, failure in sorted(failed.items())
    ]
    return pa.Table.from_pylist(records, schema=schema.QUARANTINE)


def _audit_record(index: int, id: str, ours: Explanation, theirs: Explanation) -> dict[str, Any]:
    return {
        "id": id,
        "chunk": index,
        "relative_l1": relative_l1(ours.attributions, theirs.attributions),
        "max_abs_difference": float(np.abs(ours.attributions - theirs.attributions).max()),
        "delta_difference": ours.delta - theirs.delta,
        "method": AUDIT_METHOD,
        "n_steps": AUDIT_STEPS,
    }


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
