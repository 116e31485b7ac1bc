"""Texts that were cut off: whether what is missing would have mattered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import DOUBT, TRUST, Finding
from ig_worker.insight.findings.significance import SURE, false_discovery_rates, share_difference, stratified_p
from ig_worker.insight.findings.slice_search import Population
from ig_worker.insight.format import percent
from ig_worker.insight.tables.faithfulness import mean_interval

Bools = NDArray[np.bool_]

_LATE = 2.0  # times its share of the tokens: what the last tenth of a text carries where its end decides
_LEAST_TOKENS = 20  # of a text: the last tenth is two of them at least
_LEAST_TEXTS = 10
_LEAST_BEYOND = 0.02  # of the attribution: less is no matter, however sure


def truncated(corpus: Corpus) -> list[Finding]:
    """A finding where texts that were cut off are wrong more often, or where their last tenth carries most.

    That a text is cut off is no fault by itself. It is one where either can be shown:

    * within what is predicted, such texts are wrong more often than whole ones (exact test), or
    * the last tenth of what was kept carries more than its share of the attribution, by a fiftieth of all of it or
      more on average over such texts (Student's t): then what came next would be expected to, too.

    Both tests are one-sided, and their p-values adjusted for each other.
    """
    cut = np.asarray(corpus.texts.column("truncated").to_numpy(zero_copy_only=False), bool)
    if cut.sum() < _LEAST_TEXTS:
        return []
    share = corpus.numbers("last_tenth")
    length = corpus.numbers("length")
    own = np.floor(length / 10) / np.maximum(length, 1)  # part of the tokens that the last tenth is
    told = cut & (length >= _LEAST_TOKENS) & ~np.isnan(share)
    end = _End(share[told] - own[told], told & (share > _LATE * own))
    worse = _Worse(corpus, cut)
    q_worse, q_end = false_discovery_rates(np.array([worse.p, end.p])).tolist()
    if min(q_worse, q_end) > SURE:
        return []
    return [_finding(corpus, cut, worse, end, q_worse, q_end)]


class _End:
    """What the last tenth of texts that were cut off carries beyond its share."""

    def __init__(self, beyond: NDArray[np.float64], late: Bools) -> None:
        self.late, self.total = late, float(beyond.sum())
        enough = len(beyond) >= _LEAST_TEXTS and beyond.std() > 0
        self.p = float(stats.ttest_1samp(beyond, _LEAST_BEYOND, alternative="greater").pvalue) if enough else 1.0
        bounds = mean_interval(beyond[:, None]) if enough else (np.zeros(1), -np.ones(1), np.ones(1))
        self.mean, self.low, self.high = (float(bound[0]) for bound in bounds)


class _Worse:
    """How much more often texts are wrong that were cut off."""

    def __init__(self, corpus: Corpus, cut: Bools) -> None:
        population = Population(corpus.labelled, corpus.wrong, corpus.strata)
        sizes, events = population.counts()
        inside, hits = population.counts(cut)
        self.p = stratified_p(int(hits.sum()), inside, events, sizes)
        self.n, self.k = int(inside.sum()), int(hits.sum())
        self.m, self.e = int(sizes.sum()) - self.n, int(events.sum()) - self.k
        self.excess = float(hits.sum() - (inside * (events - hits) / np.maximum(sizes - inside, 1)).sum())
        self.risen, self.low, self.high = share_difference(self.k, self.n, self.e, self.m)

    @property
    def shares(self) -> tuple[float, float, float, float, float]:
        """Wrong ones of those that were cut off and of the others, the difference and its interval."""
        return self.k / max(self.n, 1), self.e / max(self.m, 1), self.risen, self.low, self.high


def _finding(corpus: Corpus, cut: Bools, worse: _Worse, end: _End, q_worse: float, q_end: float) -> Finding:
    fails, decides, late = q_worse <= SURE, q_end <= SURE, int(end.late.sum())
    cost = (worse.excess if fails else 0.0) + (DOUBT * end.total if decides else 0.0)
    effect = (worse.risen, worse.low, worse.high) if fails else (end.mean, end.low, end.high)
    return Finding(
        kind=TRUST,
        subject="truncated",
        title="Texts that were cut off where it matters",
        sentence=(
            f"{cut.sum():,} texts of {len(cut):,} ({percent(cut.mean())}) were cut off"
            + (_END.format(*map(percent, (end.mean, end.low, end.high)), late) if decides else "")
            + (_WORSE.format(*map(percent, worse.shares)) if fails else "")
            + ". Raise --max-length, or read them whole with --overflow windows."
        ),
        cost=cost,
        effect=effect[0],
        low=effect[1],
        high=effect[2],
        measure=_WRONG if fails else "attribution in the last tenth beyond its share",
        q=q_worse if fails else q_end,
        arithmetic=[
            f"wrong: {worse.k:,} of {worse.n:,} that were cut off, {worse.e:,} of {worse.m:,} others; "
            f"{worse.excess:.1f} beyond what the others would have had; exact test within what is predicted: "
            f"p = {worse.p:.3g}, q = {q_worse:.3g}",
            f"last tenth beyond its share of the tokens: mean {end.mean:+.4f} ({end.low:+.4f} to {end.high:+.4f}) of "
            f"texts with {_LEAST_TOKENS} tokens or more, held against {_LEAST_BEYOND}: p = {end.p:.3g}, "
            f"q = {q_end:.3g}; {late:,} texts with more than twice their share",
            f"cost: {worse.excess:.1f} mistakes x {int(fails)} + sum of what is beyond the share, {end.total:.1f}, x "
            f"{DOUBT} x {int(decides)} = {cost:.1f}",
        ],
        ids=corpus.ids(cut if fails else end.late),
    )


_END = (
    "; the last tenth of what was kept carries {} of the attribution more than its share (95% interval {} to {}), more "
    "than twice it in {:,} texts, so what is missing may have decided"
)
_WORSE = (
    "; {} of them are wrong and {} of the others (difference {}, 95% interval {} to {}), though longer texts may also "
    "be harder by themselves"
)
_WRONG = "share that is wrong less that of whole texts"
