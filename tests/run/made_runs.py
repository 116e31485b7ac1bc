"""Runs as they are stored, made up without any network."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import RowFault
from ig_worker.run.chunk.tables import quarantine_table
from ig_worker.run.identity import fingerprint
from ig_worker.run.steps.prepare import data_fingerprint
from ig_worker.run.store.run_store import RunStore

CHUNK = pa.table({"id": ["a", "b", None], "text": ["one", None, "three"], "label": [1, 0, None]}, schema=schema.INPUT)


def explained(*ids: str) -> pa.Table:
    rows = [
        {
            "id": id,
            "label": 1,
            "prediction": 1,
            "target": 1,
            "contrast": None,
            "rank": 0,
            "probabilities": [0.25, 0.75],
            "target_probability": 0.75,
            "baseline_probability": 0.5,
            "tokens": ["[CLS]", "one"],
            "input_ids": [2, 9],
            "word_ids": [-1, 0],
            "attributions": [0.0, 0.25],
            "delta": 0.0,
            "error_estimate": None,
            "evaluations": 51.0,
            "status": "fixed",
            "truncated": False,
            "windows": 1,
        }
        for id in ids
    ]
    return pa.Table.from_pylist(rows, schema=schema.ATTRIBUTIONS)


def quarantined(*positions: int) -> pa.Table:
    return quarantine_table(0, CHUNK, dict.fromkeys(positions, RowFault("null_text", "text is null")))


IDENTITY = {"method": "gausslegendre", "n_steps": 50}
MARK = fingerprint(IDENTITY)
DATA = {"data": "d", "chunk_rows": 2, "max_text_bytes": 100}
FAILED = {2: {1: RowFault("null_text", "text is null")}}  # row r5


def make_run(place: Path | str) -> RunStore:
    """Eight rows in four chunks; r5 is quarantined."""
    store = RunStore(str(place))
    for index in range(4):
        rows = [{"id": f"r{2 * index + i}", "text": "good", "label": 1} for i in range(2)]
        table = pa.Table.from_pylist(rows, schema=schema.INPUT)
        store.chunks.write(index, table, {}, data_fingerprint(DATA, 8))
        commit(store, index)
    data = {"name": "test", "digest": "d", "rows": 8, "chunks": 4, "faults": 1}
    counts = {"explained": 7, "quarantined": 1}
    made_with = {"data_identity": DATA, "identity": IDENTITY, "fingerprint": MARK, "config": {"n_steps": 50}}
    store.manifest.write({"state": "complete", "data": data, "counts": counts, **made_with})
    return store


def commit(store: RunStore, index: int, mark: str = MARK, ids: list[str] | None = None) -> None:
    table, _ = store.chunks.read(index)
    failed = FAILED.get(index, {})
    ids = ids or [id for i, id in enumerate(table.column("id").to_pylist()) if i not in failed]
    store.results.commit(index, explained(*ids), quarantine_table(index, table, failed), mark)
