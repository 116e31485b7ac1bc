"""The tables of a run: partials of some chunks at a time, merged, finished, written to RUN/aggregates.

Two passes: the first finds out which n-grams are frequent (`ngrams`), the second computes everything. Both run
in this process or on Ray (`run.apply`). Memory is a few chunks, one row per distinct token and word and per bucket of
its quantiles, the frequent n-grams, and a few bytes per explained row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.explain.predicted import DEFAULT
from ig_worker.insight.tables import ngrams
from ig_worker.insight.tables.evidence import minimum_documents
from ig_worker.insight.tables.measures import COLUMNS, MEASURES, Flat, PartialTables, Totals, measures_of
from ig_worker.insight.tables.run_outputs import outputs_of, threshold_of
from ig_worker.run.deadline import Deadline
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.steps.map_chunks import Chunks, applying, tasks
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_store import RunStore

T = TypeVar("T")

_ROWS_AT_ONCE = 1024  # whatever the size of a chunk
_WRITTEN_LAST = "convergence"  # it says how many rows it covers, and all tables before it cover as many
_WORDS = ["tokens", "word_ids", schema.SEGMENTS, "attributions"]  # what the first pass reads


@dataclass(frozen=True)
class Partial:
    """What some rows add to each measure."""

    rows: int  # texts
    tables: dict[str, PartialTables]  # by name of the measure


def partial(table: pa.Table, frequent: np.ndarray | None = None, threshold: float = DEFAULT) -> Partial:
    """What one table of attributions (at least those of `COLUMNS` that it has) adds to each measure.

    Args:
        table: the rows.
        frequent: slots of the n-grams that may be listed, see `ngrams`; None: all are kept.
        threshold: of several labels, those with this probability or more are predicted.
    """
    flat = Flat(table, frequent, threshold)
    tables = {name: measure.partial(flat) for name, measure in measures_of(flat.outputs).items()}
    return Partial(flat.texts.table.num_rows, tables)


def merge(*parts: Partial) -> Partial:
    """The partial of all their rows together; associative, and commutative up to float64 rounding."""
    tables = {name: MEASURES[name].merge([part.tables[name] for part in parts]) for name in parts[0].tables}
    return Partial(sum(part.rows for part in parts), tables)


def merged(parts: Iterable[Partial]) -> Partial:
    """All parts together, neighbours first: no row of a partial is touched more often than log2 of their number."""
    stack: list[tuple[int, Partial]] = []  # (how many parts are in it, as a power of two; they)
    for part in parts:
        level = 0
        while stack and stack[-1][0] == level:
            part, level = merge(stack.pop()[1], part), level + 1
        stack.append((level, part))
    return merge(*(part for _, part in stack))


def finish(whole: Partial, least: int | None = None) -> dict[str, pa.Table]:
    """The tables by name, those of `measures_of` the run; their columns are documented there.

    Args:
        whole: of all rows.
        least: documents that a listed n-gram must be in; None: `evidence.minimum_documents`.
    """
    totals = Totals(whole.rows, minimum_documents(whole.rows) if least is None else least)
    return {name: MEASURES[name].finish(tables, totals) for name, tables in whole.tables.items()}


def aggregate(
    store: RunStore,
    progress: Callable[[int, int], None] | None = None,
    config: ApplyConfig | None = None,
    deadline: Deadline | None = None,
) -> dict[str, pa.Table]:
    """Aggregate every committed chunk and write RUN/aggregates/NAME.parquet for every name of `measures_of` the run.

    Args:
        store: the run.
        progress: called with (chunks read, chunks to read), where each chunk is read twice.
        config: who computes it; None: this process, or a local Ray for a big run.
        deadline: when actors have to be done with it.

    Returns:
        The tables written.

    Raises:
        UsageError: no row is explained yet, or no such cluster.
        RunStoppedError: the actors failed again and again, or the deadline has passed.
        RunDamagedError: a file of the run is not what the run wrote.
    """
    least, whole = two_passes(store, progress, config, deadline, partial_of, merged)
    tables = finish(whole, least)
    fingerprint = str(store.manifest.existing().get("fingerprint") or "")
    for name, table in tables.items():
        metadata = schema.with_metadata(table.schema, fingerprint=fingerprint).metadata
        tables[name] = table.replace_schema_metadata(metadata)
    for name in writing_order(tables):
        store.aggregates.write(name, tables[name])
    return tables


def writing_order(names: Iterable[str]) -> list[str]:
    """The order of writing: a job that is killed half-way leaves the old last table, which then gives it away."""
    return sorted(names, key=lambda name: name == _WRITTEN_LAST)


def two_passes(
    store: RunStore,
    progress: Callable[[int, int], None] | None,
    config: ApplyConfig | None,
    deadline: Deadline | None,
    second: Callable[[RunStore, Chunks, np.ndarray], Any],
    together: Callable[[Iterable[Any]], T],
) -> tuple[int, T]:
    """Read all chunks twice: to count n-grams, and for `second`, which is given the frequent ones packed into bits.

    Args:
        store, progress, config, deadline: see `aggregate`, which says what is raised, too.
        second: what is computed of some chunks.
        together: makes one of the results, which come in order.

    Returns:
        Documents that a listed n-gram must be in, and what `together` makes.
    """
    commits = require_rows(store)
    rows, parts = sum(commit.rows for commit in commits.values()), tasks(commits)
    step = steps(progress, 2 * sum(map(len, parts)))
    with applying(store, config or ApplyConfig(), rows, deadline) as apply:
        least, frequent = frequent_ngrams(step(parts, apply(count_documents, parts)), rows)
        return least, together(step(parts, apply(second, parts, frequent)))


def frequent_ngrams(counted: Iterable[ngrams.Counts], rows: int) -> tuple[int, np.ndarray]:
    """Documents that a listed n-gram must be in, and the slots that have as many, packed into bits.

    Args:
        counted: what `count_documents` has found, part by part.
        rows: explained ones.
    """
    counts = np.zeros(ngrams.SLOTS, np.uint16)
    for found in counted:
        ngrams.add_documents(counts, found)
    least = ngrams.least_documents(counts, minimum_documents(rows))
    return least, np.packbits(counts >= least)


def count_documents(store: RunStore, chunks: Chunks) -> tuple[np.ndarray, np.ndarray]:
    """The first pass over some chunks; see `ngrams.documents`."""
    return ngrams.together([ngrams.documents(Flat(table)) for table in slices_of(store, chunks, _WORDS)])


def partial_of(store: RunStore, chunks: Chunks, frequent: np.ndarray) -> Partial:
    """The second pass over some chunks; `frequent` is packed into bits."""
    mask, threshold = np.unpackbits(frequent).astype(bool), threshold_of(store)
    return merged(partial(table, mask, threshold) for table in slices_of(store, chunks, list(COLUMNS)))


def current(store: RunStore, progress: Callable[[int, int], None] | None = None) -> dict[str, pa.Table]:
    """The tables in RUN/aggregates where they are those of the run as it is now, else made anew by `aggregate`."""
    rows = sum(commit.rows for commit in store.results.commits().values())
    fingerprint = str(store.manifest.existing().get("fingerprint") or "").encode()
    if not fingerprint:  # then nothing says whose tables they are
        return aggregate(store, progress)
    tables: dict[str, pa.Table] = {}
    for name, measure in measures_of(outputs_of(store)).items():
        table = store.aggregates.read(name)
        if table is None or not table.schema.equals(measure.schema):
            return aggregate(store, progress)
        if (table.schema.metadata or {}).get(schema.META_FINGERPRINT) != fingerprint:
            return aggregate(store, progress)
        tables[name] = table
    covered = max(tables[_WRITTEN_LAST].column("rows").to_pylist(), default=0)
    return tables if covered == rows > 0 else aggregate(store, progress)


def current_of_others(store: RunStore, names: Iterable[str]) -> dict[str, pa.Table]:
    """Tables of other jobs than `jobs.aggregate`, where they are there and of the run as it is now."""
    fingerprint = str(store.manifest.existing().get("fingerprint") or "").encode()
    found = {name: store.aggregates.read(name) for name in names}
    return {
        name: table
        for name, table in found.items()
        if table is not None and (table.schema.metadata or {}).get(schema.META_FINGERPRINT, b"") == fingerprint
    }


def require_rows(store: RunStore) -> dict[int, Commit]:
    """The commits of a run that has any explained row."""
    commits = store.results.commits()
    if not any(commit.rows for commit in commits.values()):
        quarantined = sum(len(commit.quarantined) for commit in commits.values())
        raise UsageError(
            f"{store.place} has 0 explained rows in {len(commits)} committed chunks ({quarantined} rows quarantined)",
            expected="at least one explained row",
            remedy="look at the reasons in RUN/quarantine" if quarantined else "run jobs.explain on it first",
        )
    return commits


def slices_of(store: RunStore, chunks: Chunks, columns: list[str]) -> Iterator[pa.Table]:
    for index in chunks:
        table = store.results.read(index, columns)
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            yield table.slice(start, _ROWS_AT_ONCE)


def steps(
    progress: Callable[[int, int], None] | None, total: int
) -> Callable[[list[Chunks], Iterator[Any]], Iterator[Any]]:
    """Something that hands results on and tells how many chunks are done by then, over several passes."""
    done = 0

    def step(parts: list[Chunks], results: Iterator[Any]) -> Iterator[Any]:
        nonlocal done
        for chunks, result in zip(parts, results, strict=True):
            done += len(chunks)
            if progress is not None:
                progress(done, total)
            yield result

    return step
