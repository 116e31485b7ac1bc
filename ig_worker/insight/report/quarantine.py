"""The rows that could not be explained."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from ig_worker.insight.format import percent
from ig_worker.insight.report.section import View


def reasons(table: pa.Table, seen: int) -> list[View]:
    """Quarantined rows by reason, the most frequent first, each with one of its rows."""
    rows = table.select(["id", "reason", "detail", "chunk", "position"]).to_pylist()
    first = {row["reason"]: row for row in reversed(rows)}
    return [
        {
            "reason": reason,
            "rows": f"{count:,}",
            "share": percent(count / seen),
            "id": first[reason]["id"],
            "place": f"chunk {first[reason]['chunk']}, row {first[reason]['position']}",
            "detail": first[reason]["detail"],
        }
        for reason, count in sorted(Counter(row["reason"] for row in rows).items(), key=lambda item: (-item[1], item))
    ]
