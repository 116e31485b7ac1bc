"""All findings of a run, ranked, and the table that they are kept in."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from ig_worker import schema
from ig_worker.insight.findings.composition import composition
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import SCHEMA, Finding, from_table, ranked, to_table
from ig_worker.insight.findings.gather import gather
from ig_worker.insight.findings.shortcuts import shortcuts
from ig_worker.insight.findings.slices import slices
from ig_worker.run.config import ApplyConfig
from ig_worker.run.deadline import Deadline
from ig_worker.run.store.run_store import RunStore

TABLE = "findings"  # in RUN/aggregates
_META_ROWS = b"ig_worker.findings_rows"  # texts that they are of


def find_in(corpus: Corpus) -> list[Finding]:
    """What is found in a run by itself, ranked."""
    return ranked(
        [
            *slices(corpus),
            *shortcuts(corpus),
            *composition(corpus),
        ]
    )


def find(
    store: RunStore,
    progress: Callable[[int, int], None] | None = None,
    config: ApplyConfig | None = None,
    deadline: Deadline | None = None,
) -> list[Finding]:
    """All findings of a run, written to RUN/aggregates/findings.parquet.

    Args:
        store, progress, config, deadline: see `gather.gather`.

    Raises:
        UsageError, RunStoppedError, RunDamagedError: as `gather.gather`.
    """
    corpus = gather(store, progress, config, deadline)
    found = find_in(corpus)
    fingerprint = str(store.manifest.existing().get("fingerprint") or "")
    metadata = schema.with_metadata(SCHEMA, fingerprint=fingerprint).metadata
    store.aggregates.write(
        TABLE, to_table(found).replace_schema_metadata({**metadata, _META_ROWS: b"%d" % len(corpus)})
    )
    return found


def current_findings(store: RunStore) -> list[Finding] | None:
    """Those that stand in RUN/aggregates, where they are of the run as it is now; else None."""
    table: pa.Table | None = store.aggregates.read(TABLE)
    if table is None or not table.schema.equals(SCHEMA):
        return None
    metadata = table.schema.metadata or {}
    rows = sum(commit.rows for commit in store.results.commits().values())
    fingerprint = str(store.manifest.existing().get("fingerprint") or "")
    if metadata.get(schema.META_FINGERPRINT) != fingerprint.encode() or metadata.get(_META_ROWS) != b"%d" % rows:
        return None
    return from_table(table)
