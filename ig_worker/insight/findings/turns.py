"""Which phrases turn the push of their last word, and which turn the labels only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.leans import View
from ig_worker.insight.findings.phrases import Phrases, Pushes, welch
from ig_worker.insight.findings.within_output import beyond_output

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TURNS = 0.25  # of the push elsewhere, that the push in the phrase has in the other direction at least
_KEEPS = 0.5  # of the push elsewhere, that the phrase leaves at least
_PROMISES = 0.05  # by which the word elsewhere is above the rate of all texts
MATERIAL = 0.1  # by which the rate falls in the phrase
_LEAST_Z = 2.0  # of that fall, in the half that chooses
_LEAST_TESTED = 10  # texts of a kind, in each half where halves are told apart


@dataclass(frozen=True)
class Rates:
    """Labelled texts of each half, and those of them with the class, int64 [2, phrases].

    `inside` have the phrase, `elsewhere` have its last word and not the phrase.
    """

    inside: Ints
    inside_hits: Ints
    elsewhere: Ints
    elsewhere_hits: Ints

    @property
    def fall(self) -> Floats:
        """How much less often texts with the phrase have the class, [2, phrases]."""
        return np.asarray(_rate(self.elsewhere_hits, self.elsewhere) - _rate(self.inside_hits, self.inside))


@dataclass(frozen=True)
class Turn:
    """A phrase that was tested.

    Attributes:
        number: of it among the phrases.
        view: what its pushes are read for.
        pushes: of all phrases.
        p: chance of it.
        strength: t of the difference of the pushes.
        side: +1 where the word elsewhere pushes towards the class of the view, −1 where away from it.
        rates: of the class that it pushes to.
        excess: texts without that class beyond others of which the model says the same, in the half that tests.
    """

    number: int
    view: View
    pushes: Pushes
    p: float
    strength: float = 0.0
    side: int = 1
    rates: Rates | None = None
    excess: float = 0.0


def of_pushes(view: View, found: Pushes) -> list[Turn]:
    """All phrases that are tested for turning the push of their last word; p is 1 where it turns too little."""
    inside, elsewhere = found.inside, found.elsewhere
    strong = np.abs(elsewhere.mean) >= found.typical
    chosen = np.flatnonzero(strong & (inside.n >= _LEAST_TESTED) & (elsewhere.n >= _LEAST_TESTED))
    side = np.sign(elsewhere.mean)
    difference, low, high, p = welch(inside, elsewhere)
    p = np.maximum(np.maximum(p, inside.beyond_zero(-side)), elsewhere.beyond_zero(side))
    p[-side * inside.mean < _TURNS * side * elsewhere.mean] = 1.0
    strength = np.abs(difference) / np.maximum(high - low, 1e-12)
    return [Turn(i, view, found, float(p[i]), float(strength[i])) for i in chosen.tolist()]


def of_labels(corpus: Corpus, view: View, found: Pushes, phrases: Phrases, half: Bools) -> list[Turn]:
    """Phrases that turn the labels, and not the push, in one half; and how sure the other half is of the labels."""
    turns: list[Turn] = []
    for side in (1, -1):
        stays = np.flatnonzero(_push_stays(found, side))
        if not len(stays):
            continue
        event = view.label if side > 0 else view.known & ~view.label
        rates = _rates(phrases, stays, view.known, event, half)
        chosen = stays[_label_turns(rates, float(event.sum() / view.known.sum()))[stays]]
        p, excess = _tested(corpus, phrases, chosen, view, event, half)
        turns += [
            Turn(i, view, found, chance, side=side, rates=rates, excess=more)
            for i, chance, more in zip(chosen.tolist(), p, excess, strict=True)
        ]
    return turns


def _label_turns(rates: Rates, base: float) -> Bools:
    """In the half that chooses, [phrases]."""
    n, m = rates.inside[0], rates.elsewhere[0]
    enough = (np.minimum(rates.inside, rates.elsewhere) >= _LEAST_TESTED).all(axis=0)
    promised, fall = _rate(rates.elsewhere_hits[0], m) - base, rates.fall[0]
    pooled = (rates.inside_hits[0] + rates.elsewhere_hits[0]) / np.maximum(n + m, 1)
    error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)))
    clear = fall >= np.maximum(_LEAST_Z * error, MATERIAL)
    return np.asarray(enough & clear & (promised >= _PROMISES) & (fall >= promised / 2))


def _push_stays(found: Pushes, side: int) -> Bools:
    """[phrases]"""
    inside, elsewhere = side * found.inside.mean, side * found.elsewhere.mean
    strong = (elsewhere >= found.typical) & (elsewhere >= 2 * found.elsewhere.error)
    kept = (inside - 2 * found.inside.error >= _KEEPS * elsewhere) & (side * found.whole.mean >= _KEEPS * elsewhere)
    return np.asarray(strong & kept & (found.inside.n >= _LEAST_TESTED))


def _rates(phrases: Phrases, chosen: Ints, known: Bools, event: Bools, half: Bools) -> Rates:
    """Of the chosen phrases; 0 of others."""
    size = len(phrases.term)
    of_phrase, of_word = np.zeros(size, bool), np.zeros(int(phrases.word.max()) + 1, bool)
    of_phrase[chosen], of_word[phrases.word[chosen]] = True, True
    whole = phrases.whole.of(of_phrase[phrases.whole.number])
    words = phrases.words.of(np.append(of_word, False)[np.minimum(phrases.words.number, len(of_word))])

    def counted(texts: Bools) -> tuple[Ints, Ints]:
        with_phrase = np.bincount(whole.number[texts[whole.text]], minlength=size)
        with_word = np.bincount(words.number[texts[words.text]], minlength=len(of_word))
        return with_phrase, np.where(of_phrase, with_word[phrases.word] - with_phrase, 0)

    masks = [which & side for side in (~half, half) for which in (known, event)]
    (n0, m0), (k0, e0), (n1, m1), (k1, e1) = (counted(mask) for mask in masks)
    return Rates(np.stack([n0, n1]), np.stack([k0, k1]), np.stack([m0, m1]), np.stack([e0, e1]))


def _tested(
    corpus: Corpus, phrases: Phrases, chosen: Ints, view: View, event: Bools, half: Bools
) -> tuple[list[float], list[float]]:
    """Of each phrase, against the texts that have its last word elsewhere; as `within_output.beyond_output`."""
    with_phrase = corpus.present[:, phrases.term[chosen]].tocsc()
    with_word = corpus.present[:, phrases.word[chosen]].tocsc()
    found_p, found_excess = [], []
    for i in range(len(chosen)):
        rows = with_word.indices[with_word.indptr[i] : with_word.indptr[i + 1]]
        rows = np.sort(rows[(view.known & half)[rows]])
        said = view.probability[rows]
        parts = min(max(len(rows) // 50, 2), 20)
        stratum = np.searchsorted(np.quantile(said, np.arange(1, parts) / parts), said).astype(np.int64)
        holds = sparse.csr_matrix(with_phrase[:, [i]])[rows]
        p, excess = beyond_output(holds, ~event[rows], np.ones(len(rows), bool), stratum)
        found_p.append(float(p[0]))
        found_excess.append(float(excess[0]))
    return found_p, found_excess


def _rate(hits: Ints, sizes: Ints) -> Floats:
    return np.asarray(hits / np.maximum(sizes, 1))
