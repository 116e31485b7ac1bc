"""The work on one chunk, without Ray: read rows, explain them, commit. An actor holds one `ChunkWorker`."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.errors import RowError
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.explain.engine import Document, Engine, Explanation, relative_l1
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.rules import fixed_rule
from ig_worker.models.files import ModelFiles
from ig_worker.models.tokenize import TextEncoder
from ig_worker.run.config import ExplainConfig
from ig_worker.run.dispatch import audit_positions
from ig_worker.run.rows import Explained, Failure, Failures, Row, choose_target, explain_rows
from ig_worker.run.store import Faults, RunStore
from ig_worker.run.tables import attributions_table, quarantine_table

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
        baseline_ids(np.zeros(0, np.int32), config.baseline, self._special)  # refuses what the tokenizer lacks
        self._shape = BatchShape(config.length_multiple, config.batch_tokens, self.classifier.shape.positions)
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
        explained = explain_rows(engine, rows, failed, self._known_good())
        return explained, failed, time.monotonic() - begun

    def _known_good(self) -> Document:
        """A document that every healthy engine can explain."""
        (tokens,) = self._encoder.encode(["a"])
        base = baseline_ids(tokens.input_ids, "zeros", self._special)
        return Document(tokens.input_ids, base, tokens.attention_mask, None)

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
                if not tokens.attention_mask.any():
                    raise RowError("the text has no tokens in style plain", reason="no_tokens")
                target = choose_target(self._config.target, record["label"], self.classifier.shape.classes)
            except RowError as error:
                failed[position] = Failure(error.reason, str(error))
                continue
            base = baseline_ids(tokens.input_ids, self._config.baseline, self._special)
            document = Document(tokens.input_ids, base, tokens.attention_mask, target)
            rows.append(Row(position, record["id"], record["label"], tokens, document))
        return rows, failed


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
