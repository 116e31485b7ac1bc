"""What is predicted, and how often, since an earlier run: how the shares of classes, or labels, have moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ig_worker.insight.compare.statistics import mcnemar
from ig_worker.insight.findings.finding import DOUBT, DRIFT, Finding
from ig_worker.insight.findings.paired import Paired, ShareChange, said
from ig_worker.insight.findings.significance import (
    SURE,
    false_discovery_rates,
    paired_difference,
    share_difference,
)
from ig_worker.insight.format import percent, points


@dataclass(frozen=True)
class _Moved:
    """A part of the change of one output's share: by texts in both runs, or by others that came for those that left."""

    output: int
    by_flips: bool
    change: ShareChange
    p: float

    @property
    def size(self) -> float:
        found = abs(self.change.flips if self.by_flips else self.change.came + self.change.left)
        return round(found, 9)  # of two classes one loses what the other gains

    def interval(self) -> tuple[float, float, float]:
        change = self.change
        if self.by_flips:
            return paired_difference(change.both, change.gained, change.lost, change.neither)
        now, before = _other_texts(change)
        return share_difference(now[1], now[0], before[1], before[0])


def mix_findings(both: Paired) -> list[Finding]:
    """One finding where what is predicted has moved beyond chance, by flips or by other texts; else none.

    The share of an output has moved by (flips to it - flips from it) / n and by the texts that came and left. Flips are
    tested by McNemar's exact test, other texts by Fisher's, and all are adjusted for their number.
    """
    changes = both.mix()
    parts = [part for k, change in enumerate(changes) for part in _parts(k, change)]
    rates = false_discovery_rates(np.array([part.p for part in parts]))
    sure = [(part, float(q)) for part, q in zip(parts, rates, strict=True) if q <= SURE]
    if not sure:
        return []
    part, q = max(sure, key=lambda one: (one[0].size, one[0].change.now - one[0].change.before))
    return [_finding(both, changes, part, q)]


def _parts(output: int, change: ShareChange) -> list[_Moved]:
    found = [_Moved(output, True, change, mcnemar(change.lost, change.gained))]
    (n, k), (m, e) = _other_texts(change)
    if change.arrived.texts + change.gone.texts and n and m:
        found.append(_Moved(output, False, change, float(stats.fisher_exact([[k, n - k], [e, m - e]])[1])))
    return found


def _other_texts(change: ShareChange) -> tuple[tuple[int, int], tuple[int, int]]:
    """(texts, true) of those that came and of those that left; where there are none, of those in both runs."""
    now = change.arrived if change.arrived.texts else change.pairs_before
    before = change.gone if change.gone.texts else change.pairs_now
    return (now.texts, now.true), (before.texts, before.true)


def _finding(both: Paired, changes: list[ShareChange], part: _Moved, q: float) -> Finding:
    name, change = both.now.name(part.output), part.change
    effect, low, high = part.interval()
    whose = "of the texts in both runs" if part.by_flips else "of texts that came less those that left"
    moved = sum(abs(one.now - one.before) for one in changes) / 2 * len(both.now)
    was, is_ = said(both.before)[both.there], said(both.now)[both.here]
    flipped = (was != is_).any(axis=1)
    return Finding(
        kind=DRIFT,
        subject="predictions",
        title=f'"{name}" is predicted {"more" if change.now > change.before else "less"} often',
        sentence=(
            f'"{name}" was predicted of {percent(change.before)} of the texts and is of {percent(change.now)}: '
            f"{points(change.flips)} by {change.gained:,} texts that have become it and {change.lost:,} that no longer "
            f"are, {points(change.came + change.left)} by texts that came and left ({whose} {points(effect)}, 95% "
            f"interval {points(low)} to {points(high)}). In all {flipped.sum():,} of {len(flipped):,} predictions "
            f"have changed."
        ),
        cost=DOUBT * moved,
        effect=effect,
        low=low,
        high=high,
        measure=f'share of "{name}" {whose}',
        q=q,
        arithmetic=[
            *(_line(both.now.name(k), one) for k, one in enumerate(changes)),
            f"tested {'by flips' if part.by_flips else 'by other texts'}: p = {part.p:.3g}, q = {q:.3g}",
            f"cost: half the sum of all changes, {moved:.1f} texts, of which nobody knows whether they are right, "
            f"x {DOUBT}",
        ],
        ids=both.now.ids(both.here[flipped]),
    )


def _line(name: str, change: ShareChange) -> str:
    return (
        f"{name}: {percent(change.before)} before, {percent(change.now)} now, {points(change.now - change.before)} = "
        f"{change.gained:,} flips to it less {change.lost:,} from it, of {change.pairs:,}, {points(change.flips)}; "
        f"came {points(change.came)}; left {points(change.left)}"
    )
