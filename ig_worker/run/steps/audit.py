"""The audit of a run: its table, and whether it is within what `--max-audit-error` allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ig_worker import schema
from ig_worker.explain.precision import concrete
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.recompute import AGREEMENT
from ig_worker.run.store.run_store import RunStore

_SHARE = b"ig_worker.audit_share"  # in the metadata of audit.parquet
# Relative L1 between the two engines at one fixed rule: ten times what conformance is held to.
_FIXED_LIMIT = 1e-3


@dataclass(frozen=True)
class Beyond:
    """The audited row that is furthest beyond its limit."""

    id: str
    chunk: int
    column: str  # of the audit's table
    value: float
    limit: float

    def times(self) -> float:
        """How many times the limit the value is."""
        return math.inf if math.isnan(self.value) or not self.limit else self.value / self.limit

    def line(self, place: str) -> str:
        """What is wrong, for a person; `place` is that of the audit's table."""
        against = "alibi" if self.column == "relative_l1" else "the refined reference"
        return (
            f"the audit is beyond its limit: row {self.id} of chunk {self.chunk:05d} differs by a relative L1 of "
            f"{self.value:.2e} from {against}; expected at most {self.limit:g} (--max-audit-error); its results are "
            f"written, but do not use the run before you know why: see {place}, and try the row with "
            "--engine alibi --method gausslegendre"
        )


def read_audit(store: RunStore, fingerprint: str, share: float) -> pa.Table | None:
    """The audit of this share of this run, or None where it has not been made."""
    table = store.aggregates.read("audit")
    metadata = {} if table is None else table.schema.metadata or {}
    fits = metadata.get(schema.META_FINGERPRINT) == fingerprint.encode() and metadata.get(_SHARE) == str(share).encode()
    return table if fits else None


def write_audit(store: RunStore, fingerprint: str, share: float, records: list[dict[str, Any]]) -> None:
    """Write what `read_audit` reads; `records` are of `schema.AUDIT`."""
    records = sorted(records, key=lambda record: (record["chunk"], record["id"]))
    metadata = {**schema.with_metadata(schema.AUDIT, fingerprint=fingerprint).metadata, _SHARE: str(share).encode()}
    store.aggregates.write("audit", pa.Table.from_pylist(records, schema=schema.AUDIT.with_metadata(metadata)))


def worst_beyond(audit: pa.Table, config: ExplainConfig) -> Beyond | None:
    """The row of an audit that is furthest beyond what `config` allows, as a multiple of it; None: none is.

    By default the engines may differ by 1e-3 at the fixed rule that they share, both in float32. What an
    adaptive run wrote may differ from the refined reference by the tolerance, or by the rounding of `--precision`, or,
    where `--max-evaluations` came first, by what the run itself says of that row.
    """
    rounding = AGREEMENT[concrete(config.precision)]
    limits = {"relative_l1": _FIXED_LIMIT, "refined_relative_l1": max(config.tolerance, rounding)}
    found = []
    for row in audit.to_pylist():
        for column, limit in limits.items():
            if config.max_audit_error is not None:
                limit = config.max_audit_error
            elif column == "refined_relative_l1":
                limit = max(limit, row["error_estimate"] or 0.0)
            if row[column] is not None and not row[column] <= limit:  # nan is beyond any
                found.append(Beyond(row["id"], row["chunk"], column, row[column], limit))
    return max(found, key=Beyond.times, default=None)
