"""Results as Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import RowFaults
from ig_worker.run.chunk.rows import Explained


def attributions_table(
    explained: Explained, hidden: int | None = None, pairs: bool = False, outputs: str = schema.CLASSES
) -> pa.Table:
    """Rows of `schema.attributions(hidden, pairs, outputs)`."""
    columns: dict[str, Any] = {
        "id": [row.id for row, _ in explained],
        "label": [row.label for row, _ in explained],
        "prediction": [result.prediction for _, result in explained],
        "target": [result.target for _, result in explained],
        "probabilities": [result.probabilities for _, result in explained],
        "target_probability": [result.target_probability for _, result in explained],
        "baseline_probability": [result.baseline_probability for _, result in explained],
        "tokens": [row.tokens.tokens for row, _ in explained],
        "input_ids": [row.tokens.inputs.ids for row, _ in explained],
        "word_ids": [row.tokens.word_ids for row, _ in explained],
        "attributions": [result.attributions for _, result in explained],
        "delta": [result.delta for _, result in explained],
        "error_estimate": [result.error_estimate for _, result in explained],
        "evaluations": [result.evaluations for _, result in explained],
        "status": [result.status for _, result in explained],
        "truncated": [row.tokens.truncated for row, _ in explained],
    }
    if outputs == schema.LABELS:
        columns[schema.LABEL_LISTS] = [row.labels for row, _ in explained]
    if outputs == schema.VALUES:
        columns[schema.VALUE] = [row.value for row, _ in explained]
    if pairs:
        columns[schema.SEGMENTS] = [row.tokens.segments for row, _ in explained]
    if hidden is not None:
        columns["hidden_attributions"] = _hidden_column([result.hidden for _, result in explained], hidden)
    return pa.Table.from_pydict(columns, schema=schema.attributions(hidden, pairs, outputs))


def _hidden_column(arrays: Sequence[Any], hidden: int) -> pa.Array:
    """Arrays of float32 [tokens, hidden] as one Arrow column, without a Python object for each number."""
    offsets = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int32)
    values = np.concatenate([np.zeros((0, hidden), np.float32), *arrays])
    return pa.ListArray.from_arrays(offsets, pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), hidden))


def quarantine_table(index: int, table: pa.Table, faults: RowFaults) -> pa.Table:
    """Rows of `schema.QUARANTINE`, in the order of the chunk."""
    ids, labels = table.column("id"), table.column("label")
    records = [
        {
            "id": ids[position].as_py(),
            "chunk": index,
            "position": position,
            "label": labels[position].as_py(),
            "reason": fault.reason,
            "detail": fault.detail,
            "traceback": fault.traceback,
        }
        for position, fault in sorted(faults.items())
    ]
    return pa.Table.from_pylist(records, schema=schema.QUARANTINE)
