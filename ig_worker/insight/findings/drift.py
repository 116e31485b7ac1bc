"""Drift: what has changed since an earlier run over the same texts, and which of them account for it.

The changes of the accuracy and of the share of each prediction are sums over kinds of texts, `paired` has the algebra:

    accuracy now - before = (newly right - newly wrong) / n  +  came  +  left

where n texts are labelled in both runs, and of the newly right and newly wrong ones those are told apart whose label
has changed. A slice's part of it is the same difference over its own texts, divided by the same n, so that the parts
of a slice and of all other texts add up, too.

The slices are those in which texts that were right before are wrong now more often than among the others of which the
same was predicted before. They are searched on one half of the texts and tested on the other, as in `slices`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ig_worker.insight.compare.statistics import mcnemar
from ig_worker.insight.findings.conditions import Conditions, conditions
from ig_worker.insight.findings.corpus import Corpus, half_of
from ig_worker.insight.findings.drift_mix import mix_findings
from ig_worker.insight.findings.finding import DRIFT, Finding
from ig_worker.insight.findings.paired import Paired, ShareChange, paired
from ig_worker.insight.findings.significance import (
    SURE,
    false_discovery_rates,
    paired_difference,
    share_difference,
)
from ig_worker.insight.findings.slice_search import Group, Population
from ig_worker.insight.findings.slices import LEAST_SHARE, LEAST_TEXTS, Tested, search, tested_on
from ig_worker.insight.format import percent, points

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """The texts that both runs have labels for, by what has become of them, each [texts of the later run]."""

    broken: Bools  # right before, wrong now
    mended: Bools  # wrong before, right now
    was_right: Bools
    was_wrong: Bools
    relabelled: Bools  # the data now say something else

    @classmethod
    def of(cls, both: Paired) -> Outcomes:
        broken, mended = both.outcome(True, False), both.outcome(False, True)
        was_right, was_wrong = broken | both.outcome(True, True), mended | both.outcome(False, False)
        masks = (broken, mended, was_right, was_wrong, both.relabelled)
        return cls(*(np.asarray(both.spread(mask), bool) for mask in masks))


@dataclass(frozen=True)
class _Sure:
    """A slice that holds up."""

    name: str
    found: Tested
    q: float
    tried: int


def drift(before: Corpus, now: Corpus) -> list[Finding]:
    """What has changed, what costs most first: the accuracy, slices of newly wrong texts, what is predicted.

    Args:
        before: an earlier run, of a model that says the same kind of thing, with as many outputs.
        now: the run that the findings are of.
    """
    both = paired(before, now)
    if not len(both.here):
        return []
    outcomes, change = Outcomes.of(both), both.accuracy()
    search = _Search(both, outcomes)
    found = [_slice(both, outcomes, change, one) for one in search.slices(outcomes.was_right, outcomes.broken)]
    if mcnemar(change.lost, change.gained) <= SURE:
        found.append(_accuracy(both, outcomes, change, search.slices(outcomes.was_wrong, outcomes.mended)))
    return sorted([*found, *mix_findings(both)], key=lambda one: -one.cost)


class _Search:
    """Looks for slices of the texts in both runs.

    Conditions are of the texts as they are in the later run, without its confidence, which a mistake lowers.
    """

    def __init__(self, both: Paired, outcomes: Outcomes) -> None:
        self._both = both
        self._least = max(LEAST_TEXTS, int(LEAST_SHARE * outcomes.was_right.sum() / 2))
        self._known: Conditions | None = None

    @property
    def known(self) -> Conditions:
        if self._known is None:
            found = conditions(self._both.now, 2 * self._least)
            own = [i for i, name in enumerate(found.names) if name.about != "confidence"]
            self._known = Conditions([found.names[i] for i in own], found.holds[:, own])
        return self._known

    def slices(self, texts: Bools, event: Bools) -> list[_Sure]:
        """Those of some texts in which an event is more frequent than among others of the same prediction before."""
        if not event.any():
            return []
        stratum = np.asarray(self._both.spread(self._both.before.strata[self._both.there]), np.int64)
        population = Population(texts, event, stratum)
        half = half_of(self._both.now.texts.column("id").to_pylist())
        groups = search(self.known, population.less(~half), self._least)
        tested = tested_on(self.known, groups, population.less(half))
        rates = false_discovery_rates(np.array([found.p for found in tested]))
        return [
            _Sure(self._name(found.group), found, float(q), len(tested))
            for found, q in zip(tested, rates, strict=True)
            if q <= SURE
        ]

    def _name(self, group: Group) -> str:
        names = sorted((self.known.names[i] for i in group), key=lambda name: name.about not in ("word", "phrase"))
        return " and ".join(name.text for name in names)


def _accuracy(both: Paired, outcomes: Outcomes, change: ShareChange, mended: list[_Sure]) -> Finding:
    """The change of accuracy as a whole."""
    moved, low, high = paired_difference(change.both, change.gained, change.lost, change.neither)
    fell = change.gained < change.lost
    where = max(mended, key=lambda one: one.found.excess, default=None)
    return Finding(
        kind=DRIFT,
        subject="accuracy",
        title=f"Accuracy has {'fallen' if fell else 'risen'} from {percent(change.before)} to {percent(change.now)}",
        sentence=(
            f"Of {change.pairs:,} labelled texts in both runs, {change.lost:,} that were right are wrong now and "
            f"{change.gained:,} that were wrong are right: {points(moved)} (95% interval {points(low)} to "
            f"{points(high)}). The accuracy of all texts was {percent(change.before)} and is {percent(change.now)}."
            + (f" Most are mended where {where.name}." if where else "")
        ),
        cost=float(max(change.lost - change.gained, 0)),
        effect=moved,
        low=low,
        high=high,
        measure="accuracy now less before, of the texts in both runs",
        q=mcnemar(change.lost, change.gained),
        arithmetic=[*_lines_of_change(outcomes, change), *([_line_of_mended(where)] if where else [])],
        ids=both.now.ids(outcomes.broken),
    )


def _lines_of_change(outcomes: Outcomes, change: ShareChange) -> list[str]:
    n, arrived, gone = max(change.pairs, 1), change.arrived, change.gone
    lost, gained = (int((mask & outcomes.relabelled).sum()) for mask in (outcomes.broken, outcomes.mended))
    own = change.gained - gained - change.lost + lost
    was, is_ = change.all_before, change.all_now
    return [
        f"accuracy: {was.true:,} of {was.texts:,} before, {is_.true:,} of {is_.texts:,} now: "
        f"{points(change.now - change.before)}",
        f"same label: {change.gained - gained:,} newly right less {change.lost - lost:,} newly wrong, of "
        f"{change.pairs:,}: {points(own / n)}",
        f"label changed: {gained:,} newly right less {lost:,} newly wrong, of {change.pairs:,}: "
        f"{points((gained - lost) / n)}",
        f"came: {arrived.texts:,} texts, {arrived.true:,} of them right, against {change.pairs_now.true:,} of "
        f"{change.pairs:,} in both: {points(change.came)}",
        f"left: {gone.texts:,} texts, {gone.true:,} of them right, against {change.pairs_before.true:,} of "
        f"{change.pairs:,} in both: {points(change.left)}",
        f"exact test of {change.lost:,} newly wrong against {change.gained:,} newly right (McNemar): "
        f"p = {mcnemar(change.lost, change.gained):.3g}",
    ]


def _line_of_mended(where: _Sure) -> str:
    (n, k), (m, e) = where.found.inside, where.found.outside
    return (
        f"mended where {where.name}: {k:,} of {n:,} that were wrong before, {e:,} of {m:,} elsewhere, in the half that "
        f"tests; {where.tried} slices tested, q = {where.q:.3g}"
    )


def _slice(both: Paired, outcomes: Outcomes, change: ShareChange, sure: _Sure) -> Finding:
    """A slice of texts that are newly wrong."""
    found, name = sure.found, sure.name
    (n, k), (m, e) = found.left_inside, found.left_outside
    aside = found.inside[0] - n  # texts that slices before this one took
    risen, low, high = share_difference(k, n, e, m)
    inside = {key: int((found.mask & mask).sum()) for key, mask in vars(outcomes).items()}
    own = (inside["mended"] - inside["broken"]) / change.pairs
    excess = found.excess / max(found.inside[0], 1) * inside["was_right"]
    relabelled = int((found.mask & outcomes.broken & outcomes.relabelled).sum())
    return Finding(
        kind=DRIFT,
        subject=name,
        title=f"Newly wrong where {name}",
        sentence=(
            f"Of the {inside['was_right']:,} texts where {name} that were right before, {percent(k / max(n, 1))} are "
            f"wrong now, and {percent(e / max(m, 1))} of the rest (difference {percent(risen)}, 95% interval "
            f"{percent(low)} to {percent(high)}, on texts that it was not chosen by"
            f"{' and that no slice found before it has' * bool(aside)}): about {excess:.0f} newly wrong more than "
            f"elsewhere. They account for {points(own)} of a change of accuracy of "
            f"{points(change.now - change.before)}."
        ),
        cost=excess,
        effect=risen,
        low=low,
        high=high,
        measure="share newly wrong less that of the rest",
        q=sure.q,
        arithmetic=[
            f"in the half that tests: {k:,} of {n:,} texts in the slice are newly wrong, {e:,} of {m:,} outside, "
            f"without {aside:,} of the slice that slices found before it took",
            f"in both halves: {inside['broken']:,} newly wrong of {inside['was_right']:,} in the slice, "
            f"{relabelled:,} of them with another label than before",
            f"beyond what the rest of the same predictions would have had: "
            f"{found.excess:.1f} in the half that tests, {excess:.1f} in all",
            f"part of the change: {inside['mended']:,} newly right less {inside['broken']:,} newly wrong, of "
            f"{change.pairs:,}: {points(own)}; all other texts in both runs {points(change.flips - own)}, "
            f"those that came {points(change.came)}, those that left {points(change.left)}",
            f"exact test within what was predicted: p = {found.p:.3g}; {sure.tried} slices tested, q = {sure.q:.3g}",
        ],
        ids=both.now.ids(found.mask & outcomes.broken),
    )
