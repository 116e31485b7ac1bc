"""The tables of a run: partials chunk by chunk, merged, finished, written to RUN/aggregates.

Memory is one chunk, one row per distinct token, and a few bytes per explained row (see `measures`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.measures import MEASURES
from ig_worker.run.store import RunStore

Partial = dict[str, pa.Table]  # by name of the measure

COLUMNS = sorted({column for measure in MEASURES.values() for column in measure.columns})


def partial(table: pa.Table) -> Partial:
    """What one table of attributions (at least `COLUMNS`) adds to each measure."""
    return {name: measure.partial(table) for name, measure in MEASURES.items()}


def merge(a: Partial, b: Partial) -> Partial:
    """The partial of both tables together; associative, and commutative up to float64 rounding."""
    return {name: measure.merge(a[name], b[name]) for name, measure in MEASURES.items()}


def finish(whole: Partial) -> dict[str, pa.Table]:
    """The tables `tokens`, `classes` and `convergence`; their columns are documented in `measures`."""
    return {name: measure.finish(whole[name]) for name, measure in MEASURES.items()}


def aggregate(store: RunStore, progress: Callable[[int, int], None] | None = None) -> dict[str, pa.Table]:
    """Aggregate every committed chunk and write RUN/aggregates/{tokens,classes,convergence}.parquet.

    Args:
        store: the run.
        progress: called with (chunks read, chunks committed) after each chunk.

    Returns:
        The tables written.

    Raises:
        UsageError: no row is explained yet.
    """
    whole = _merged(store, progress)
    tables = finish(whole)
    fingerprint = str(store.manifest().get("fingerprint") or "")
    for name, table in tables.items():
        tables[name] = table.replace_schema_metadata(
            schema.with_metadata(table.schema, fingerprint=fingerprint).metadata
        )
        store.write_aggregate(name, tables[name])
    return tables


def current(store: RunStore, progress: Callable[[int, int], None] | None = None) -> dict[str, pa.Table]:
    """The tables in RUN/aggregates where they are those of the run as it is now, else made anew by `aggregate`."""
    rows = sum(commit.rows for commit in store.commits().values())
    fingerprint = str(store.manifest().get("fingerprint") or "").encode()
    if not fingerprint:  # then nothing says whose tables they are
        return aggregate(store, progress)
    tables: dict[str, pa.Table] = {}
    for name, measure in MEASURES.items():
        table = store.read_aggregate(name)
        if table is None or not table.schema.equals(measure.schema):
            return aggregate(store, progress)
        if (table.schema.metadata or {}).get(schema.META_FINGERPRINT) != fingerprint:
            return aggregate(store, progress)
        tables[name] = table
    # `convergence` is written last: where it covers every row, so do the others.
    covered = max(tables["convergence"].column("rows").to_pylist(), default=0)
    return tables if covered == rows > 0 else aggregate(store, progress)


def _merged(store: RunStore, progress: Callable[[int, int], None] | None) -> Partial:
    commits = store.commits()
    if not any(commit.rows for commit in commits.values()):
        quarantined = sum(len(commit.quarantined) for commit in commits.values())
        raise UsageError(
            f"{store.place} has 0 explained rows in {len(commits)} committed chunks ({quarantined} rows quarantined)",
            expected="at least one explained row",
            remedy="look at the reasons in RUN/quarantine" if quarantined else "run jobs.explain on it first",
        )

    def partials() -> Iterator[Partial]:
        for done, index in enumerate(sorted(commits), start=1):
            yield partial(store.read_attributions(index, COLUMNS))
            if progress is not None:
                progress(done, len(commits))

    return reduce(merge, partials())
