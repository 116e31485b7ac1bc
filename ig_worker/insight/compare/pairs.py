"""The rows of two runs side by side, by id, whatever their chunks: at most a few chunks of each are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.insight.tables.flat_rows import first_of_texts
from ig_worker.run.store.run_store import RunStore
from ig_worker.schema import LABEL_LISTS, RANK, VALUE

COLUMNS = [
    "id",
    "label",
    LABEL_LISTS,
    VALUE,
    RANK,
    "prediction",
    "target",
    "probabilities",
    "tokens",
    "word_ids",
    "attributions",
]
_CHUNKS = 4  # of the earlier run that stay in memory; one is enough where both runs have the same plan


def pairs(before: RunStore, now: RunStore) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The texts that both runs have explained, one pair of tables a chunk of `now`, in its order, row by row.

    Of a text with several targets, it is the first.
    """
    where: dict[str, tuple[int, int]] = {}
    for index in sorted(before.results.commits()):
        for row, id in enumerate(_texts(before, index, ["id", RANK]).column("id").to_pylist()):
            where[id] = index, row

    @lru_cache(_CHUNKS)
    def chunk(index: int) -> pa.Table:
        return _texts(before, index, COLUMNS)

    for index in sorted(now.results.commits()):
        table = _texts(now, index, COLUMNS)
        found = [(row, *where[id]) for row, id in enumerate(table.column("id").to_pylist()) if id in where]
        for other in sorted({place for _, place, _ in found}):
            here = [row for row, place, _ in found if place == other]
            there = [row for _, place, row in found if place == other]
            yield chunk(other).take(there), table.take(here)


def _texts(store: RunStore, index: int, columns: list[str]) -> pa.Table:
    return first_of_texts(store.results.read(index, columns)).combine_chunks()


def lists(table: pa.Table, column: str) -> list[np.ndarray]:
    """A list column as one array a row."""
    found = table.column(column).combine_chunks()
    flat = found.flatten().to_numpy(zero_copy_only=False)
    lengths = found.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return np.split(flat, np.cumsum(lengths)[:-1]) if len(lengths) else []


def column(table: pa.Table, name: str, missing: Any = None) -> np.ndarray:
    """A plain column; nulls become `missing`."""
    values = table.column(name)
    return (values if missing is None else values.fill_null(missing)).to_numpy()
