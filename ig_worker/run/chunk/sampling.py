"""Which rows are looked at once more, such as by the audit, or first, by the pilot: by hashes of their ids."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Sequence


def audit_positions(ids: Sequence[str], share: float) -> list[int]:
    """Positions of the rows to audit: by a hash of the id, so that the choice does not depend on chunking or time."""
    limit = int(share * 2**64)
    return [position for position, id in enumerate(ids) if int.from_bytes(_digest(id)[:8], "big") < limit]


def pilot_places(rows: Iterable[tuple[str, int, int]], count: int) -> list[tuple[int, int]]:
    """Where the `count` rows with the least hashes of their ids are, in the order of the hashes.

    Neither the choice nor its order depends on how the rows are cut into chunks, nor on the order of the rows.

    Args:
        rows: (id, chunk, position within the chunk) of each row; ids differ.
        count: how many to take, as far as there are so many.
    """
    least = heapq.nsmallest(count, ((_digest(id), chunk, position) for id, chunk, position in rows))
    return [(chunk, position) for _, chunk, position in least]


def draw(id: str, count: int) -> int:
    """One of `count` numbers from 0, by the id: by other bits of its hash than those that choose rows."""
    return int.from_bytes(_digest(id)[16:24], "big") % count


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()
