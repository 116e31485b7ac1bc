"""Small choices about a run: which chunks are due, which rows are audited, when too many are quarantined. All pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence


def missing_chunks(chunks: int, committed: Iterable[int]) -> list[int]:
    """Chunks that have no committed result, in order: what a run, new or resumed, has to do."""
    done = set(committed)
    return [index for index in range(chunks) if index not in done]


def audit_positions(ids: Sequence[str], share: float) -> list[int]:
    """Positions of the rows to audit: by a hash of the id, so that the choice does not depend on chunking or time."""
    limit = int(share * 2**64)
    digests = (hashlib.sha256(id.encode()).digest() for id in ids)
    return [position for position, digest in enumerate(digests) if int.from_bytes(digest[:8], "big") < limit]


def over_budget(quarantined: int, rows: int, budget: str) -> bool:
    """Whether more rows are quarantined than `--max-quarantined` allows: a number, or a share such as 5%."""
    if budget.endswith("%"):
        return quarantined > float(budget[:-1]) / 100 * rows
    return quarantined > int(budget)
