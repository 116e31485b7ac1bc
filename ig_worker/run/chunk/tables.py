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
    explained: Explained,
    hidden: int | None = None,
    pairs: bool = False,
    outputs: str = schema.CLASSES,
    kept: pa.Table | None = None,
) -> pa.Table:
    """Rows of `schema.attributions(hidden, pairs, outputs)`, one for each target.

    Args:
        explained: the rows.
        hidden, pairs, outputs: as in `schema.attributions`.
        kept: the columns of the data set that are kept, of all rows by their positions.
    """
    lines = [(row, rank, result) for row, found in explained for rank, result in enumerate(found)]
    columns: dict[str, Any] = {
        "id": [row.id for row, _, _ in lines],
        "label": [row.label for row, _, _ in lines],
        "prediction": [result.prediction for _, _, result in lines],
        "target": [result.target for _, _, result in lines],
        "contrast": [result.contrast for _, _, result in lines],
        "rank": [rank for _, rank, _ in lines],
        "probabilities": [result.probabilities for _, _, result in lines],
        "target_probability": [result.target_probability for _, _, result in lines],
        "baseline_probability": [result.baseline_probability for _, _, result in lines],
        "tokens": [row.tokens.tokens for row, _, _ in lines],
        "input_ids": [row.tokens.inputs.ids for row, _, _ in lines],
        "word_ids": [row.tokens.word_ids for row, _, _ in lines],
        "attributions": [result.attributions for _, _, result in lines],
        "delta": [result.delta for _, _, result in lines],
        "error_estimate": [result.error_estimate for _, _, result in lines],
        "evaluations": [result.evaluations for _, _, result in lines],
        "status": [result.status for _, _, result in lines],
        "truncated": [row.tokens.truncated for row, _, _ in lines],
        "windows": [len(row.paths) for row, _, _ in lines],
    }
    if outputs == schema.LABELS:
        columns[schema.LABEL_LISTS] = [row.labels for row, _, _ in lines]
    if outputs == schema.VALUES:
        columns[schema.VALUE] = [row.value for row, _, _ in lines]
    if pairs:
        columns[schema.SEGMENTS] = [row.tokens.segments for row, _, _ in lines]
    if hidden is not None:
        columns["hidden_attributions"] = _hidden_column([result.hidden for _, _, result in lines], hidden)
    if kept is not None:
        taken = kept.take(pa.array([row.position for row, _, _ in lines], pa.int64()))
        columns |= dict(zip(taken.schema.names, taken.columns, strict=True))
    fields = () if kept is None else kept.schema
    return pa.Table.from_pydict(columns, schema=schema.attributions(hidden, pairs, outputs, kept=fields))


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
