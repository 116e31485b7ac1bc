"""What a measure is: data (a few small tables that are summed) and two pure functions.

A measure turns the attributions of some rows into small partial tables and finishes the merged ones into the table that
a reader sees. Partial tables are merged by adding up equal keys, which is associative: neither the size nor the order
of the chunks changes a result by more than float64 rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.tables.flat_rows import Flat

SHRINKAGE = 20  # occurrences; a token seen this often keeps half of its mean

PartialTables = tuple[pa.Table, ...]


@dataclass(frozen=True)
class Totals:
    """What a measure may need to know of the whole run."""

    rows: int  # explained
    least: int  # documents that an n-gram must occur in to be listed


@dataclass(frozen=True)
class Measure:
    """One table of RUN/aggregates."""

    keys: tuple[tuple[str, ...], ...]  # of each partial table: the columns whose equal values are added up; none: kept
    partial: Callable[[Flat], PartialTables]
    finish: Callable[[PartialTables, Totals], pa.Table]
    schema: pa.Schema  # of the finished table

    def merge(self, parts: Sequence[PartialTables]) -> PartialTables:
        """The partial tables of all parts together."""
        return tuple(
            summed(tables, list(keys)) for tables, keys in zip(zip(*parts, strict=True), self.keys, strict=True)
        )


def summed(tables: Sequence[pa.Table], keys: list[str]) -> pa.Table:
    """The tables as one, all columns but `keys` summed by them; without keys just all rows.

    It is done in one thread: several would add floats in an order of their own.
    """
    whole = pa.concat_tables(tables).unify_dictionaries()
    if not keys:
        return whole
    values = [name for name in whole.column_names if name not in keys]
    grouped = whole.group_by(keys, use_threads=False).aggregate([(name, "sum") for name in values])
    return grouped.select([*keys, *(f"{name}_sum" for name in values)]).rename_columns([*keys, *values])


def column(table: pa.Table, name: str) -> np.ndarray:
    """A column without nulls, as float64 [rows]."""
    return table.column(name).to_numpy().astype(np.float64)


def or_null(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers of classes, null where they are below 0."""
    return pc.if_else(pc.less(numbers, 0), pa.scalar(None, numbers.type), numbers)


def shares(part: np.ndarray, whole: np.ndarray | float) -> np.ndarray:
    """part / whole, and 0 where there is nothing to share."""
    return np.asarray(part / np.where(np.equal(whole, 0), 1.0, whole), np.float64)
