"""Labels that are missed where another one applies, of models that give several labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import SLICE, Finding
from ig_worker.insight.findings.significance import SURE, false_discovery_rates, share_difference, stratified_p
from ig_worker.insight.format import percent
from ig_worker.schema import LABELS

_LEAST_TEXTS = 10  # with both labels, and with the first one alone


@dataclass(frozen=True)
class _Pair:
    """Texts to which label `a` applies: those to which `b` does as well, and the others."""

    a: int
    b: int
    with_b: int
    missed_with_b: int
    without: int
    missed_without: int

    @property
    def p(self) -> float:
        """Chance of as many misses among those with `b`, were they dealt out among all texts with `a`."""
        texts, missed = self.with_b + self.without, self.missed_with_b + self.missed_without
        return stratified_p(self.missed_with_b, *(np.array([n]) for n in (self.with_b, missed, texts)))


def label_pairs(corpus: Corpus) -> list[Finding]:
    """Pairs of labels of which the first is missed more often where the second applies too, the costliest first.

    Every ordered pair that at least ten texts have is tested, against at least ten texts with the first label alone:
    exactly, one-sided (hypergeometric), and adjusted for the number of pairs (Benjamini and Hochberg 1995).
    """
    if corpus.outputs != LABELS:
        return []
    pairs = _pairs(corpus)
    p = np.array([pair.p for pair in pairs])
    rates = false_discovery_rates(p)
    found = [
        _finding(corpus, pairs[i], float(p[i]), float(rates[i]), len(pairs)) for i in np.flatnonzero(rates <= SURE)
    ]
    return sorted(found, key=lambda one: -one.cost)


def _pairs(corpus: Corpus) -> list[_Pair]:
    applies = (corpus.applies & corpus.labelled[:, None]).astype(np.float64)
    missed = applies * ~corpus.predicted
    together, missed_together = applies.T @ applies, missed.T @ applies  # [a, b]; texts of a on the diagonal
    found = []
    for a, b in permutations(range(applies.shape[1]), 2):
        with_b, hits = int(together[a, b]), int(missed_together[a, b])
        texts, misses = int(together[a, a]), int(missed_together[a, a])
        if with_b >= _LEAST_TEXTS and texts - with_b >= _LEAST_TEXTS and misses:
            found.append(_Pair(a, b, with_b, hits, texts - with_b, misses - hits))
    return found


def _finding(corpus: Corpus, pair: _Pair, p: float, q: float, tried: int) -> Finding:
    a, b = corpus.name(pair.a), corpus.name(pair.b)
    risen, low, high = share_difference(pair.missed_with_b, pair.with_b, pair.missed_without, pair.without)
    excess = pair.missed_with_b - pair.with_b * pair.missed_without / pair.without
    both = corpus.labelled & corpus.applies[:, pair.a] & corpus.applies[:, pair.b]
    missed = both & ~corpus.predicted[:, pair.a]
    instead = int((missed & corpus.predicted[:, pair.b]).sum())
    return Finding(
        kind=SLICE,
        subject=f'label "{a}" where "{b}" applies',
        title=f'Misses "{a}" where "{b}" applies too',
        sentence=(
            f'Of the {pair.with_b:,} texts with the labels "{a}" and "{b}", "{a}" is missed in '
            f"{percent(pair.missed_with_b / pair.with_b)}, and in {percent(pair.missed_without / pair.without)} of the "
            f'{pair.without:,} texts with "{a}" and without "{b}" (difference {percent(risen)}, 95% interval '
            f"{percent(low)} to {percent(high)}): about {excess:.0f} misses more than elsewhere."
        ),
        cost=excess,
        effect=risen,
        low=low,
        high=high,
        measure=f'share in which "{a}" is missed less that without "{b}"',
        q=q,
        arithmetic=[
            f'"{a}" is missed in {pair.missed_with_b:,} of {pair.with_b:,} texts with "{b}", in '
            f"{pair.missed_without:,} of {pair.without:,} without",
            f"{pair.missed_with_b:,} - {pair.with_b:,} x {pair.missed_without:,} / {pair.without:,} = {excess:.1f}",
            f'"{b}" is predicted in {instead:,} of the {pair.missed_with_b:,} texts where "{a}" is missed',
            f"exact test: p = {p:.3g}; {tried} pairs of labels tested, q = {q:.3g}",
        ],
        ids=corpus.ids(missed),
    )
