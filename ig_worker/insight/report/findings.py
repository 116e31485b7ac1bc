"""What to look at first: findings as cards, each with a small picture and a way to its texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ig_worker.insight.findings.finding import Finding
from ig_worker.insight.report.js_scripts import packed_varints
from ig_worker.insight.report.section import View
from ig_worker.insight.tables.flat_rows import first_of_texts
from ig_worker.run.store.run_store import RunStore

SHOWN = 6  # cards that are open from the start
EXAMPLES = 2  # texts of a finding that are shown in full

_NAMES = {
    "slice": "slice",
    "shortcut": "shortcut",
    "ignored": "ignored word",
    "label_error": "labels",
    "contradiction": "contradiction",
    "composition": "composition",
    "drift": "change",
    "trust": "trust",
}


def cards(findings: Sequence[Finding]) -> list[View]:
    """All findings, in their order."""
    return [
        {
            "number": found.number,
            "kind": _NAMES[found.kind],
            "title": found.title,
            "sentence": found.sentence,
            "marks": list(found.marks),
            "arithmetic": list(found.arithmetic),
            "texts": len(found.ids),
            "picture": picture(found),
        }
        for found in findings
    ]


def picture(found: Finding) -> View | None:
    """The effect and its interval on a line with 0, in hundredths of the line's width; None: there is no interval."""
    if found.low is None or found.high is None:
        return None
    ends = np.array([found.low, found.effect, found.high, 0.0])
    if not np.isfinite(ends).all() or ends.max() == ends.min():
        return None
    low, effect, high, zero = (4 + 92 * (ends - ends.min()) / (ends.max() - ends.min())).round(1).tolist()
    return {"low": low, "effect": effect, "high": high, "zero": zero, "measure": found.measure}


def named(findings: Sequence[Finding], most: int) -> Iterator[tuple[Finding, list[str]]]:
    """The texts that findings name first, `EXAMPLES` each and `most` in all, each text once."""
    seen: set[str] = set()
    for found in findings:
        new = [id for id in found.ids[:50] if id not in seen][: min(EXAMPLES, most - len(seen))]
        seen.update(new)
        if new:
            yield found, new


def rows_of(store: RunStore, findings: Sequence[Finding]) -> dict[str, str]:
    """Which of all texts each finding is about, for the explorer: by its number, differences of rising places."""
    place: dict[str, int] = {}
    for table in store.results.each(["id", "rank"]):
        for id in first_of_texts(table).column("id").to_pylist():
            place[id] = len(place)
    found = {}
    for finding in findings:
        rows = np.unique([place[id] for id in finding.ids if id in place]).astype(np.int64)
        found[str(finding.number)] = packed_varints(np.diff(rows, prepend=0))
    return found
