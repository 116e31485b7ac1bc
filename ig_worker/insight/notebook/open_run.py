"""A run as an object: its rows, read when they are asked for and no more than that, and its tables.

Neither TensorFlow nor Ray is needed, and the run may be a local path or a URI.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from html import escape
from itertools import accumulate
from typing import Any

import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.findings.check import told
from ig_worker.insight.findings.find import current_findings, find
from ig_worker.insight.findings.finding import Finding
from ig_worker.insight.notebook.text import TextExplanation, each_text, starts
from ig_worker.insight.tables.measures import MEASURES
from ig_worker.insight.tables.run_outputs import threshold_of
from ig_worker.insight.tables.summary import NEEDED, RunSummary, summarise
from ig_worker.run.store.run_files import AGGREGATES
from ig_worker.run.store.run_store import RunStore

_SHOWN = 5  # texts in a notebook
_CHUNKS = 2  # that are kept in memory
# So far as a run has them.
_SHOWN_COLUMNS = [*schema.attributions(pairs=True).names, *(truth.name for truth in schema.TRUTHS.values())]


class RunTables(Mapping[str, pa.Table]):
    """The tables of RUN/aggregates by name, such as ``tables["words"]``, each read when it is asked for."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    @cached_property
    def _names(self) -> list[str]:
        return sorted(name.removesuffix(".parquet") for name in self._store.storage.list(AGGREGATES, ".parquet"))

    def __getitem__(self, name: str) -> pa.Table:
        table = self._store.aggregates.read(name) if name in self._names else None
        if table is None:
            raise UsageError(
                f"{self._store.place} has no table {name!r}",
                expected=f"one of {', '.join(self._names) or 'none, so far'}",
                remedy="run jobs.aggregate on it first" if name in MEASURES else "",
            )
        return table

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Findings(list[Finding]):
    """Findings that show themselves in a notebook."""

    def __repr__(self) -> str:
        return "\n".join(told(self))

    def _repr_html_(self) -> str:
        items = "".join(f"<li><b>{escape(one.title)}</b><br>{escape(one.sentence)}</li>" for one in self)
        return f"<ol>{items}</ol>" if self else f"<p>{escape(repr(self))}</p>"


class Run:
    """The explained rows of a run, in the order of its data set.

    ``run[0]``, ``run[-1]`` and ``run["some-id"]`` are texts that show themselves in a notebook, ``run[:5]`` is a list
    of them. What is read then is the footer of every file, once, and the chunk with that row; two chunks are kept.

    Attributes:
        place: of the run, without the secrets that a URI may carry.
        manifest: the content of run.json.
        tables: those of RUN/aggregates by name.

    Raises:
        UsageError: there is no run.
    """

    def __init__(self, place: str) -> None:
        self._store = RunStore(place)
        self.place, self.manifest, self.tables = (
            self._store.place,
            self._store.manifest.existing(),
            RunTables(self._store),
        )
        self._chunk = lru_cache(_CHUNKS)(self._read)
        self._starts = lru_cache(_CHUNKS)(lambda index: starts(self._chunk(index)))
        self._bounds = lru_cache(None)(self._store.results.id_bounds)

    def _read(self, index: int) -> pa.Table:
        """A chunk with what a text shows, and with the columns of the data set that the run keeps."""
        return self._store.results.read(index, [*_SHOWN_COLUMNS, *self._kept])

    @cached_property
    def _kept(self) -> list[str]:
        return schema.kept_in(self._store.results.schema(self._chunks[0]))

    @cached_property
    def _chunks(self) -> list[int]:
        return [index for index, commit in sorted(self._commits.items()) if commit.rows]

    @cached_property
    def _commits(self) -> Any:
        return self._store.results.commits()

    @cached_property
    def _ends(self) -> list[int]:
        """Rows up to the end of each chunk."""
        return list(accumulate(self._commits[index].rows for index in self._chunks))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return [self[i] for i in range(*which.indices(len(self)))]
        if isinstance(which, str):
            return self._explanation(*self._find(which))
        if not -len(self) <= which < len(self):
            raise IndexError(f"row {which} of {len(self)}")
        position = which % len(self)
        number = bisect_right(self._ends, position)
        return self._explanation(self._chunks[number], position - (self._ends[number - 1] if number else 0))

    def __iter__(self) -> Iterator[TextExplanation]:
        for index in self._chunks:
            for row in range(self._commits[index].rows):
                yield self._explanation(index, row)

    def _explanation(self, index: int, row: int) -> TextExplanation:
        chunk, begins = self._chunk(index), self._starts(index)
        end = begins[row + 1] if row + 1 < len(begins) else chunk.num_rows
        found = _records(chunk.slice(begins[row], end - begins[row]))
        known = self.manifest.get("data", {}).get("class_names") or []
        numbers = range(len(found[0]["probabilities"]))
        names = tuple(str(known[i]) if i < len(known) else f"class {i}" for i in numbers)
        return each_text(found, names, threshold_of(self._store))[0]

    def _find(self, id: str) -> tuple[int, int]:
        """Chunk and row of an id."""
        for index in self._chunks:
            bounds = self._bounds(index)
            if bounds is None or bounds[0] <= id <= bounds[1]:
                row = self._chunk(index).column("id").index(id).as_py()
                if row >= 0:
                    return index, bisect_right(self._starts(index), row) - 1
        raise KeyError(f"{self.place} has explained no row with the id {id!r}")

    def to_arrow(self, columns: list[str] | None = None) -> pa.Table:
        """All rows, one for each target of a text; `columns` are some of `schema.attributions`, or all of them.

        Raises:
            UsageError: there is no such column.
        """
        known = self._store.results.schema(self._chunks[0]) if self._chunks else schema.ATTRIBUTIONS
        wrong = [name for name in columns or [] if name not in known.names]
        if wrong:
            raise UsageError(f"there is no column {', '.join(wrong)}", expected=f"some of {', '.join(known.names)}")
        names = known.names if columns is None else columns
        parts = [self._store.results.read(index, names).replace_schema_metadata(None) for index in self._chunks]
        empty = pa.Table.from_batches([], schema=pa.schema([known.field(name) for name in names]))
        return pa.concat_tables([empty, *(part.select(names) for part in parts)])

    def to_pandas(self, columns: list[str] | None = None) -> Any:
        """`to_arrow` as a pandas frame."""
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: list[str] | None = None) -> Any:
        """`to_arrow` as a polars frame.

        Raises:
            UsageError: polars is not installed.
        """
        try:
            import polars
        except ImportError as error:
            raise UsageError("polars is not installed", remedy="pip install polars") from error
        return polars.from_arrow(self.to_arrow(columns))

    def quarantine(self) -> pa.Table:
        """The rows that could not be explained, schema `schema.QUARANTINE`."""
        return self._store.results.quarantined()

    @cached_property
    def findings(self) -> Findings:
        """What to look at first, what costs most first: those that jobs.findings wrote, else found now.

        A list of `Finding`: ``run.findings[0].sentence``, ``run.findings[0].ids``. It shows itself.
        """
        known = current_findings(self._store)
        return Findings(find(self._store) if known is None else known)

    def summary(self) -> RunSummary:
        """The headline figures, from the tables that jobs.aggregate wrote.

        Raises:
            UsageError: it has not run yet.
        """
        own = [name for name in NEEDED if name in self.tables]
        names = own if len(own) > 1 else ("classes", "convergence")  # which says what is missing
        tables = {name: self.tables[name] for name in names}
        return summarise(tables, sum(len(commit.quarantined) for commit in self._commits.values()))

    def __repr__(self) -> str:
        quarantined = sum(len(commit.quarantined) for commit in self._commits.values())
        state = self.manifest.get("state") or "unknown"
        return f"<run {self.place}: {len(self):,} rows explained, {quarantined:,} quarantined, state {state}>"

    def _repr_html_(self) -> str:
        lines = self.summary().lines() if len(self.tables.keys() & set(NEEDED)) > 1 else []
        head = "".join(f"<br>{escape(line)}" for line in lines)
        left = len(self) - _SHOWN
        tail = f"<p>and {left:,} more</p>" if left > 0 else ""
        return f"<p>{escape(repr(self))}{head}</p>" + "".join(text.html() for text in self[:_SHOWN]) + tail


def _records(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as Python's own values; a time that Python cannot hold is a string."""
    try:
        return rows.to_pylist()
    except (OverflowError, ValueError):
        fields = [
            pa.field(field.name, pa.string()) if pa.types.is_temporal(field.type) else field for field in rows.schema
        ]
        return rows.cast(pa.schema(fields)).to_pylist()
