"""Which rows of a chunk are looked at once more, such as by the audit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def audit_positions(ids: Sequence[str], share: float) -> list[int]:
    """Positions of the rows to audit: by a hash of the id, so that the choice does not depend on chunking or time."""
    limit = int(share * 2**64)
    digests = (hashlib.sha256(id.encode()).digest() for id in ids)
    return [position for position, digest in enumerate(digests) if int.from_bytes(digest[:8], "big") < limit]
