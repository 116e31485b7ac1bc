"""Findings of flips: one for each word that makes predictions flip, and one for all words that do so once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import CONTRADICTION, Finding
from ig_worker.insight.findings.flips import Flip
from ig_worker.insight.format import probability
from ig_worker.schema import LABELS

_LEAST = 2  # pairs for which a word has a finding of its own
_SHOWN = 10  # pairs in the arithmetic


def flip_findings(corpus: Corpus, flips: Sequence[Flip]) -> list[Finding]:
    """Each flip is told once, by the word that most of those left differ in."""
    found, left = [], list(flips)
    while left:
        counts = Counter(word for flip in left for word in flip.words)
        word, most = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if most < _LEAST:
            break
        found.append(_finding(corpus, _name(word, [flip for flip in left if word in flip.words])))
        left = [flip for flip in left if word not in flip.words]
    return [*found, *([_finding(corpus, ("words that do so once", left))] if left else [])]


def _name(word: str, flips: Sequence[Flip]) -> tuple[str, Sequence[Flip]]:
    """What the flips have in common: the word, and where there is one, that which always stands for it."""
    always = frozenset.intersection(*(flip.across(word) for flip in flips))
    return (" for ".join(f'"{name}"' for name in [word, *sorted(always)][:2]), flips)


def _finding(corpus: Corpus, named_flips: tuple[str, Sequence[Flip]]) -> Finding:
    name, flips = named_flips
    pairs = np.array([(flip.one, flip.other) for flip in flips], np.int64)
    moved = np.abs(corpus.probability[pairs[:, 0]].astype(np.float64) - corpus.probability[pairs[:, 1]]).max(axis=1)
    mean, low, high = _mean(moved)
    texts, wrong, unknown = np.unique(pairs), *_wrong(corpus, pairs)
    interval = "" if low is None or high is None else f", 95% interval {probability(low)} to {probability(high)}"
    one = len(flips) == 1
    return Finding(
        kind=CONTRADICTION,
        subject=f"prediction flips with {name}",
        title=f"Predictions flip with {name}",
        sentence=(
            f"{len(flips):,} {'pair' if one else 'pairs'} of texts {'differs' if one else 'differ'} in one or two "
            f"words only, {name}, and the predictions differ without both being right: {len(texts):,} texts, {wrong:,} "
            f"of them known to be predicted wrongly. The probability moves by {probability(mean)} on average{interval}."
        ),
        cost=wrong + unknown / 2,
        effect=mean,
        low=low,
        high=high,
        measure="change of the probability that changes most, between the texts of a pair",
        arithmetic=[
            f"cost: {wrong:,} texts predicted wrongly, and half of {unknown:,} that have no label and stand in no pair "
            f"with one of them",
            f"mean of |probability of the one - that of the other| over {len(flips):,} pairs: {probability(mean)}, "
            f"with Student's interval as if no text were in two pairs",
            *(_line(corpus, flip) for flip in flips[:_SHOWN]),
            *([f"and {len(flips) - _SHOWN:,} pairs more"] if len(flips) > _SHOWN else []),
        ],
        ids=corpus.ids(np.array(list(dict.fromkeys(pairs.reshape(-1).tolist())), np.int64)),
    )


def _mean(moved: np.ndarray) -> tuple[float, float | None, float | None]:
    """Mean and its 95% interval, within 0 and 1; none of fewer than three values."""
    mean = float(moved.mean())
    if len(moved) < 3:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(moved) - 1) * moved.std(ddof=1)) / math.sqrt(len(moved))
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def _wrong(corpus: Corpus, pairs: np.ndarray) -> tuple[int, int]:
    """Texts that are predicted wrongly, and those without a label in pairs without such a text."""
    none_wrong = ~corpus.wrong[pairs].any(axis=1)
    unknown = np.unique(pairs[none_wrong])
    wrong = int(corpus.wrong[np.unique(pairs)].sum())
    return wrong, int((~corpus.labelled[unknown]).sum())


def _line(corpus: Corpus, flip: Flip) -> str:
    _, predicted = named(corpus)
    ids = corpus.ids(np.array([flip.one, flip.other], np.int64))
    without, instead = " ".join(flip.without) or "nothing", " ".join(flip.instead) or "nothing"
    return f'{ids[0]} {predicted(flip.one)}, {ids[1]} {predicted(flip.other)}: "{without}" / "{instead}"'


def named(corpus: Corpus) -> tuple[Callable[[int], str], Callable[[int], str]]:
    """How the label and the prediction of a text are called, where it has them."""

    def several(which: np.ndarray) -> str:
        return '"' + ", ".join(corpus.name(int(i)) for i in np.flatnonzero(which)) + '"'

    if corpus.outputs == LABELS:
        return lambda text: several(corpus.applies[text]), lambda text: several(corpus.predicted[text])
    return (
        lambda text: f'"{corpus.name(int(corpus.label[text]))}"',
        lambda text: f'"{corpus.name(int(corpus.prediction[text]))}"',
    )
