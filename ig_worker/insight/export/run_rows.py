"""The rows of a run as exports need them: with their texts, chunk by chunk, in the order of the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker import schema
from ig_worker.errors import RunDamagedError, UsageError
from ig_worker.insight.tables.run_outputs import threshold_of
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_store import RunStore

HIDDEN = "hidden_attributions"
TEXTS = ("text", "pair")  # columns of the input, in front of the others but for the id
_MOST_BYTES = 16 << 20  # of Arrow that is turned into another format at a time


@dataclass(frozen=True)
class Shape:
    """What all rows of a run have in common.

    Args:
        outputs: what the model says, one of `schema.OUTPUTS`.
        names: of the classes, labels or values by number, no two the same; as many as `probabilities` has.
        columns: of the attributions, in order, and the texts behind the id.
        threshold: of several labels, those with this probability or more are predicted.
    """

    outputs: str
    names: tuple[str, ...]
    columns: pa.Schema
    threshold: float

    @property
    def pairs(self) -> bool:
        """Whether each row has two texts."""
        return TEXTS[1] in self.columns.names


class RunRows:
    """The explained rows of a run.

    Raises:
        UsageError: there is no run, or no row of it is explained.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.manifest = store.manifest.existing()
        self._commits = store.results.commits()
        self.chunks = [index for index, commit in sorted(self._commits.items()) if commit.rows]
        self.texts = sum(commit.rows for commit in self._commits.values())
        self.quarantined = sum(len(commit.quarantined) for commit in self._commits.values())
        if not self.chunks:
            raise UsageError(
                f"{store.place} has 0 explained rows in {len(self._commits)} committed chunks "
                f"({self.quarantined} rows quarantined)",
                expected="at least one explained row",
                remedy="look at the reasons in RUN/quarantine" if self.quarantined else "run jobs.explain on it first",
            )

    @property
    def unexplained_chunks(self) -> int:
        """Chunks of the data set that are not committed yet."""
        return max(int(self._data.get("chunks") or 0) - len(self._commits), 0)

    @property
    def _data(self) -> dict[str, Any]:
        found = self.manifest.get("data")
        return found if isinstance(found, dict) else {}

    @cached_property
    def shape(self) -> Shape:
        """Read from the first chunk."""
        first = self._store.results.schema(self.chunks[0])
        outputs, pairs = schema.outputs_in(first.names), schema.SEGMENTS in first.names
        kept = first.field(HIDDEN).type.value_type.list_size if HIDDEN in first.names else None
        columns = schema.attributions(kept, pairs, outputs)
        for place, name in enumerate(TEXTS[: 1 + pairs], start=1):
            columns = columns.insert(place, pa.field(name, pa.string()))
        probabilities = self._store.results.read(self.chunks[0], ["probabilities"]).column(0)
        named = self._data.get("class_names")
        names = unique_names(named if isinstance(named, list) else (), len(probabilities[0]))
        return Shape(outputs, names, columns, threshold_of(self._store))

    def tables(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """(chunks read by then, some rows with these of `shape.columns`), of 16 MiB or a row more each.

        Raises:
            RunDamagedError: the results of a chunk are not those of its input.
        """
        for done, index in enumerate(self.chunks, start=1):
            table = self._chunk(index, columns)
            count = max(1, table.num_rows * _MOST_BYTES // max(table.nbytes, 1))
            for start in range(0, table.num_rows, count):
                yield done, table.slice(start, count)

    def _chunk(self, index: int, columns: Sequence[str]) -> pa.Table:
        read = [
            name for name in self.shape.columns.names if name not in TEXTS and name in {*columns, "id", schema.RANK}
        ]
        rows, (inputs, _) = self._store.results.read(index, read), self._store.chunks.read(index)
        joined = with_texts(rows, inputs, self._commits[index])
        if joined is None:
            raise RunDamagedError(
                f"chunk {index:05d} of {self._store.place} holds other rows than its input",
                remedy="run jobs.verify on it, which says what to do",
            )
        known = [name for name in columns if name in joined.column_names]
        if missing := set(columns) - set(known):
            raise RunDamagedError(
                f"chunk {index:05d} of {self._store.place} has no column {', '.join(sorted(missing))}",
                expected="the columns of the first chunk",
                remedy="run jobs.verify on it, which says what to do",
            )
        return joined.select(columns).cast(pa.schema([self.shape.columns.field(name) for name in columns]))


def with_texts(rows: pa.Table, inputs: pa.Table, commit: Commit) -> pa.Table | None:
    """Explained rows with the columns `TEXTS` of the input, so far as it has them; None where they are not of it.

    Args:
        rows: of a chunk, with `id` and `rank`, one for each target of a text.
        inputs: the chunk's.
        commit: says which of its rows are in quarantine.
    """
    left = np.setdiff1d(np.arange(inputs.num_rows), np.array(commit.quarantined, np.int64))
    explained = inputs.take(pa.array(left))
    first = rows.column(schema.RANK).to_numpy() == 0
    text = np.cumsum(first) - 1  # of each row
    if first.sum() != len(left) or (len(first) and not first[0]):
        return None
    of_rows = pa.array(text)
    if not pc.all(pc.equal(explained.column("id").take(of_rows), rows.column("id")).fill_null(False)).as_py():
        return None
    for place, name in enumerate((name for name in TEXTS if name in inputs.column_names), start=1):
        rows = rows.add_column(place, pa.field(name, pa.string()), explained.column(name).take(of_rows))
    return rows


def unique_names(known: Sequence[object], count: int) -> tuple[str, ...]:
    """Names of `count` classes by number: the known ones, and the number where one is missing or there twice."""
    names: list[str] = []
    for number in range(count):
        name = str(known[number]) if number < len(known) else f"class {number}"
        while name in names:
            name = f"{name} ({number})"
        names.append(name)
    return tuple(names)
