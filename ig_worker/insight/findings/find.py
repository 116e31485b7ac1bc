"""All findings of a run, ranked, and the table that they are kept in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa

from ig_worker import schema
from ig_worker.errors import UsageError
from ig_worker.insight.findings.annotation_file import annotation_file
from ig_worker.insight.findings.composition import composition
from ig_worker.insight.findings.contradictions import contradictions
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.drift import drift
from ig_worker.insight.findings.finding import SCHEMA, Finding, from_table, ranked, to_table
from ig_worker.insight.findings.gather import gather
from ig_worker.insight.findings.label_errors import label_errors
from ig_worker.insight.findings.label_pairs import label_pairs
from ig_worker.insight.findings.shortcuts import shortcuts
from ig_worker.insight.findings.slices import slices
from ig_worker.insight.findings.special_tokens import special_tokens
from ig_worker.insight.findings.trust import trust
from ig_worker.insight.findings.words_of import WordsOf, reader_of
from ig_worker.insight.tables.aggregate import current_of_others
from ig_worker.run.deadline import Deadline
from ig_worker.run.later_config import ApplyConfig
from ig_worker.run.store.run_store import RunStore

TABLE = "findings"  # in RUN/aggregates
ANNOTATION_FILE = "aggregates/label_errors.csv"
OTHERS = ("faithfulness", "shares")  # tables of other jobs that are read, where they are there
_META_ROWS = b"ig_worker.findings_rows"  # texts that they are of
_META_BEFORE = b"ig_worker.before"  # the earlier run that it was compared with, as in `compare`


def find_in(
    corpus: Corpus,
    words_of: WordsOf,
    *,
    tables: Mapping[str, pa.Table] | None = None,
    before: Corpus | None = None,
    tolerance: float | None = None,
) -> list[Finding]:
    """What is found in a run, ranked.

    Args:
        corpus: the run.
        words_of: gives the words of some of its texts in their order.
        tables: those of other jobs, see `trust.trust`; None: there are none.
        before: an earlier run to compare it with, see `drift.drift`; None: nothing is said of changes.
        tolerance: see `trust.trust`.
    """
    tables = tables or {}
    found = [
        *slices(corpus),
        *label_pairs(corpus),
        *shortcuts(corpus),
        *label_errors(corpus),
        *contradictions(corpus, words_of),
        *composition(corpus),
        *trust(corpus, tables, tolerance=tolerance),
    ]
    if "shares" in tables:
        found += special_tokens(tables["shares"], len(corpus), tuple(corpus.class_names))
    if before is not None:
        found += drift(before, corpus)
    return ranked(found)


def find(
    store: RunStore,
    progress: Callable[[int, int], None] | None = None,
    config: ApplyConfig | None = None,
    deadline: Deadline | None = None,
    before: RunStore | None = None,
) -> list[Finding]:
    """All findings of a run, written to RUN/aggregates/findings.parquet, and suspect labels to label_errors.csv.

    Args:
        store, config, deadline: see `gather.gather`.
        progress: likewise; it begins anew for the run before.
        before: an earlier run of the same kind of model, by whose ids texts are paired.

    Raises:
        UsageError: the models of the two runs say other things; and as `gather.gather`.
        RunStoppedError, RunDamagedError: as `gather.gather`.
    """
    corpus = gather(store, progress, config, deadline)
    earlier = None if before is None else gather(before, progress, config, deadline)
    if before is not None and earlier is not None:
        _check_same((before, earlier), (store, corpus))
    tables, tolerance = current_of_others(store, OTHERS), _tolerance(store)
    found = find_in(corpus, reader_of(store), tables=tables, before=earlier, tolerance=tolerance)
    store.write_text(ANNOTATION_FILE, annotation_file(corpus))
    fingerprint = str(store.manifest.existing().get("fingerprint") or "")
    metadata = dict(schema.with_metadata(SCHEMA, fingerprint=fingerprint).metadata)
    metadata[_META_ROWS] = b"%d" % len(corpus)
    if before is not None:
        metadata[_META_BEFORE] = before.place.encode()
    store.aggregates.write(TABLE, to_table(found).replace_schema_metadata(metadata))
    return found


def _check_same(before: tuple[RunStore, Corpus], now: tuple[RunStore, Corpus]) -> None:
    (was, is_) = ((corpus.outputs, corpus.probability.shape[1]) for _, corpus in (before, now))
    if was != is_:
        raise UsageError(
            f"the model of {before[0].place} gives {was[1]} {was[0]}, that of {now[0].place} {is_[1]} {is_[0]}",
            expected="two runs of one kind of model",
        )


def _tolerance(store: RunStore) -> float | None:
    """The tolerance of a run; only estimates are held against it, and a fixed rule has none."""
    found = (store.manifest.existing().get("config") or {}).get("tolerance")
    return float(found) if isinstance(found, int | float) else None


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
