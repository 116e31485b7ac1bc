"""Whether the tokens that attributions rank first matter more to the model than any others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import DOUBT, TRUST, Finding
from ig_worker.insight.format import percent
from ig_worker.insight.tables.faithfulness import HEADLINES, beats
from ig_worker.run.chunk.evaluator import ATTRIBUTED

_LEAST_ROWS = 30  # of fewer, that nothing is shown says nothing
_LEAST_LOST = 2  # measures of four


def unfaithful(corpus: Corpus, table: pa.Table | None) -> list[Finding]:
    """A finding where two of the four measures of faithfulness or more are not better than for a random ranking.

    By the 95% intervals of the paired differences, over the texts that `jobs.evaluate` has taken. Its table has no
    ids, so this is said of the run as a whole and of no slice.
    """
    rows = [] if table is None else table.to_pylist()
    cells = {row["metric"]: row for row in rows if row["method"] == ATTRIBUTED and row["metric"] in HEADLINES}
    known = {name: cell for name, cell in cells.items() if cell["over_random"] is not None}
    if len(known) < len(HEADLINES) or min(cell["rows"] for cell in known.values()) < _LEAST_ROWS:
        return []
    lost = [name for name, (_, more) in HEADLINES.items() if not beats(known[name], more)]
    return [_finding(corpus, known, lost)] if len(lost) >= _LEAST_LOST else []


def _finding(corpus: Corpus, cells: dict[str, dict[str, Any]], lost: list[str]) -> Finding:
    first, (title, more) = cells[lost[0]], HEADLINES[lost[0]]
    part = len(lost) / len(HEADLINES)
    sign = 1.0 if more else -1.0
    bounds = sorted(sign * first[name] for name in ("over_random_low", "over_random_high"))
    return Finding(
        kind=TRUST,
        subject="faithfulness",
        title="Attributions no better than a random ranking",
        sentence=(
            f"By {' and '.join(HEADLINES[name][0] for name in lost)}, the tokens that attributions rank first are not "
            f"shown to matter more than any others, over {first['rows']:,} texts: {title} is better by "
            f"{sign * first['over_random']:+.3f} (95% interval {bounds[0]:+.3f} to {bounds[1]:+.3f}). Do not act on "
            f"single words of this run before another --baseline or --layer has said the same."
        ),
        cost=DOUBT * part * len(corpus),
        effect=sign * first["over_random"],
        low=bounds[0],
        high=bounds[1],
        measure=f"{title} better than a random ranking",
        arithmetic=[
            *(_line(HEADLINES[name][0], HEADLINES[name][1], cell) for name, cell in cells.items()),
            "the table of jobs.evaluate has no ids: nothing is said of slices",
            f"cost: {len(corpus):,} texts x {len(lost)} of {len(HEADLINES)} measures ({percent(part)}) x {DOUBT}",
        ],
        ids=corpus.ids(np.arange(len(corpus))),
    )


def _line(title: str, more: bool, cell: dict[str, Any]) -> str:
    return (
        f"{title} ({'more' if more else 'less'} is better): {cell['mean']:.4f}, less that of a random ranking "
        f"{cell['over_random']:+.4f} ({cell['over_random_low']:+.4f} to {cell['over_random_high']:+.4f})"
    )
