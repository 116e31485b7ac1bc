"""Slices: texts that have something in common, and on which the model fails more than on the rest.

One half of the texts is searched (`slice_search`), and what is found there is tested on the other: exactly, within what
the model says, on the texts that no earlier slice has taken. So what a slice is said to cost is measured on texts that
had no part in choosing it, and where labels are dealt out at random no more than a share `SURE` of runs has any.

Accuracy that is low where the confidence is low is what confidence means. Such slices compete among themselves only,
and cost no more than the mistakes beyond those that the confidence has announced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ig_worker.insight.findings.conditions import Conditions, conditions
from ig_worker.insight.findings.corpus import Corpus, half_of
from ig_worker.insight.findings.finding import SLICE, Finding
from ig_worker.insight.findings.significance import (
    SURE,
    false_discovery_rates,
    share_difference,
    stratified_p,
)
from ig_worker.insight.findings.slice_search import MOST_GROUPS, Group, Population, find_groups
from ig_worker.insight.format import percent
from ig_worker.schema import CLASSES, VALUES

Bools = NDArray[np.bool_]

LEAST_TEXTS = 10  # of a slice, in the half that is searched
LEAST_SHARE = 0.002  # of the texts searched
EXPECTED = "expected"  # mark of what the confidence says already


@dataclass(frozen=True)
class Tested:
    """A slice as the texts tell that it was not chosen by."""

    group: Group
    mask: Bools  # of all texts that are in it, [texts]
    p: float
    inside: tuple[int, int]  # texts, and those that are wrong, of the half that tests
    outside: tuple[int, int]
    excess: float  # wrong texts beyond what the rest would have had, of the half that tests
    left_inside: tuple[int, int]  # as `inside` and `outside`, without the texts that earlier slices took,
    left_outside: tuple[int, int]  # which is what `p` and `excess` are of


def slices(corpus: Corpus) -> list[Finding]:
    """Those that hold up, what costs most first."""
    population = Population(corpus.labelled, corpus.wrong, corpus.strata)
    if not corpus.wrong.any():
        return []
    half = half_of(corpus.texts.column("id").to_pylist())
    least = max(LEAST_TEXTS, int(LEAST_SHARE * corpus.labelled.sum() / 2))
    known = conditions(corpus, 2 * least)
    tested = []
    for about_confidence in (False, True):
        own = [i for i, name in enumerate(known.names) if (name.about == "confidence") == about_confidence]
        part = Conditions([known.names[i] for i in own], known.holds[:, own])
        groups = search(part, population.less(~half), least, most=1 if about_confidence else MOST_GROUPS)
        tested += [(part, found) for found in tested_on(part, groups, population.less(half))]
    q = false_discovery_rates(np.array([found.p for _, found in tested]))
    return [
        _finding(corpus, part, found, float(rate), len(tested))
        for (part, found), rate in zip(tested, q, strict=True)
        if rate <= SURE
    ]


def search(part: Conditions, population: Population, least: int, most: int = MOST_GROUPS) -> list[Group]:
    """Groups of at least so many texts with more events than the rest; see `slice_search.find_groups`."""

    def fits(group: Group, condition: int) -> bool:
        """One condition of a kind is enough, but for words, and for a number from below and from above."""
        new = part.names[condition]
        if new.about in ("word", "phrase"):
            return True
        same = [part.names[i].text for i in group if part.names[i].about == new.about]
        return not any((" > " in text) == (" > " in new.text) or "=" in text + new.text for text in same)

    return find_groups(part.holds, population, least, fits, most)


def tested_on(known: Conditions, groups: Sequence[Group], population: Population) -> list[Tested]:
    """Each group on some texts, of which those are left aside that an earlier one has taken.

    Args:
        known: the conditions.
        groups: slices, in the order in which they were found.
        population: the texts that had no part in finding them.
    """
    found = []
    left = population
    for group in groups:
        mask = np.logical_and.reduce([known.mask(i) for i in group])
        sizes, events = left.counts()
        inside, hits = left.counts(mask)
        p = stratified_p(int(hits.sum()), inside, events, sizes)
        rest = np.maximum(sizes - inside, 1)
        excess = float(hits.sum() - (inside * (events - hits) / rest).sum())
        (all_inside, all_hits), (all_sizes, all_events) = population.counts(mask), population.counts()
        n, k = int(all_inside.sum()), int(all_hits.sum())
        outside = (int(all_sizes.sum()) - n, int(all_events.sum()) - k)
        own = int(inside.sum()), int(hits.sum())
        others = int(sizes.sum()) - own[0], int(events.sum()) - own[1]
        found.append(Tested(group, mask, p, (n, k), outside, excess, own, others))
        left = left.less(mask)
    return found


def _finding(corpus: Corpus, known: Conditions, found: Tested, q: float, tried: int) -> Finding:
    names = sorted((known.names[i] for i in found.group), key=lambda name: name.about not in ("word", "phrase"))
    subject = " and ".join(name.text for name in names)
    (n, k), (m, e) = found.inside, found.outside
    risen, low, high = share_difference(k, n, e, m)
    texts = int((found.mask & corpus.labelled).sum())
    wrong = int((found.mask & corpus.wrong).sum())
    excess = found.excess / max(n, 1) * texts
    expected = names[0].about == "confidence" and " < " in names[0].text
    announced = float((1 - corpus.numbers("confidence"))[found.mask & corpus.labelled].sum()) if expected else 0.0
    cost = max(wrong - announced, 0.0) if expected else excess
    what = _WHAT_FAILS[corpus.outputs == VALUES]
    return Finding(
        kind=SLICE,
        subject=subject,
        title=f"Fails more where {subject}",
        sentence=(
            f"Of the {texts:,} texts where {subject}, {percent(k / n)} {what}, and {percent(e / m)} of the rest "
            f"(difference {percent(risen)}, 95% interval {percent(low)} to {percent(high)}, on texts that it was not "
            f"chosen by): about {excess:.0f} mistakes more than elsewhere"
            + (f", {announced:.0f} of all {wrong:,} announced by the confidence." if expected else ".")
        ),
        cost=cost,
        effect=-risen,
        low=-high,
        high=-low,
        measure="accuracy less that of the rest" if corpus.outputs == CLASSES else f"share that {what}, negative",
        q=q,
        marks=[EXPECTED] if expected else [],
        arithmetic=[
            f"in the half that tests: {k:,} of {n:,} texts in the slice {what}, {e:,} of {m:,} outside",
            f"in both halves: {wrong:,} of {texts:,} in the slice",
            f"beyond what the rest of the same predictions would have had, without what earlier slices took: "
            f"{found.excess:.1f} in the half that tests, {excess:.1f} in all",
            f"exact test within what is predicted: p = {found.p:.3g}; {tried} slices tested, q = {q:.3g}",
        ],
        ids=corpus.ids(found.mask & corpus.labelled),
    )


_WHAT_FAILS = {False: "are wrong", True: "have an error among the largest tenth"}
