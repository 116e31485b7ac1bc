"""Words on which the model leans without reason, and words that tell the label and that it leaves aside.

A shortcut. Half of the texts says how often words of a given lean (`leans`) go with the class: a rising fit, less two
standard errors. The other half says how often this word does. It is a shortcut where the lean is large (twice what an
average word of the same texts carries, all in all in one direction, and that way in three texts of four), where words
of such a lean are 10 points above the rate of all texts or more, and where this word surely goes with the class less
often than they do, and is not half as far above the rate of all texts. So a network whose leans have nothing to do with
the labels has no shortcuts, only a bad fit. A word that goes with telling words is not a shortcut: as far as the texts
can say, the lean on it is justified. A word whose texts are told right all the same, by the rest of their words, is one
that costs little and is marked so.

An ignored word is the converse. Half of the texts says that the word is 10 points above the rate of all, and what lean
such words have; this word surely has less than a third of it. A word may have its rate from the company it keeps, which
the model sees. So what is tested, on the other half, is whether texts with it have the class more often than other
texts of which the model says the same.

Where the model gives a number there is no rate, and nothing is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ig_worker.insight.findings.corpus import Corpus, half_of
from ig_worker.insight.findings.finding import IGNORED, SHORTCUT, Finding
from ig_worker.insight.findings.leans import Leans, View, Words, folds_of, leans, like_words, views, words_of
from ig_worker.insight.findings.significance import SURE, false_discovery_rates, share_difference, wilson
from ig_worker.insight.findings.within_output import beyond_output
from ig_worker.insight.findings.word_marks import marks_of
from ig_worker.insight.format import percent
from ig_worker.insight.tables.evidence import minimum_documents

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MADE_UP_FOR = "made up for"  # mark of a shortcut where the rest of the texts keeps the model from mistakes
_LARGE = 2.0  # times what an average word carries
_STEADY = 0.75  # of the texts have the push in the one direction
_MATERIAL = 0.1  # above the rate of all texts
_MATERIAL_EXCESS = 0.05  # of the texts with the word, beyond what the model says of them
_NONE = 1 / 3  # of the lean that like words have
_LEAST_TESTED = 10  # texts with the word, in the half that tests


@dataclass(frozen=True)
class _Seen:
    """A view, and what there is to know of all words from there."""

    view: View
    known: Leans
    promised: Floats  # rate that words of such a lean have at least, [words]
    due: Floats  # lean that words of such a rate have at least, [words]


@dataclass(frozen=True)
class _Claim:
    """A word that was tested, by number among the words."""

    seen: _Seen
    word: int
    p: float
    kind: str
    excess: float = 0.0  # texts of the half that tests


def shortcuts(corpus: Corpus) -> list[Finding]:
    """Findings of the kinds SHORTCUT and IGNORED."""
    words = words_of(corpus, minimum_documents(len(corpus)))
    half = half_of(corpus.texts.column("id").to_pylist())
    terms = corpus.terms.take(words.term).to_pylist()
    folds = folds_of(terms)
    leaning: list[_Claim] = []
    ignored: list[_Claim] = []
    for view in views(corpus):
        known = leans(words, view, half)
        rate, size = known.rates[0], known.sizes[0].astype(np.float64)
        promised = like_words(known.lean, rate, size * (known.texts > 0), folds)
        due = like_words(rate, known.lean, size * (known.texts > 0), folds)
        seen = _Seen(view, known, promised, due)
        leaning += _leaning(seen)
        ignored += _ignored(seen, words, half)
    found = []
    for tested, tell in ((leaning, _shortcut), (ignored, _left_aside)):
        q = false_discovery_rates(np.array([claim.p for claim in tested]))
        found += [
            tell(corpus, words, claim, terms[claim.word], float(rate), len(tested))
            for claim, rate in zip(tested, q, strict=True)
            if rate <= SURE and _material(claim)
        ]
    return found


def _leaning(seen: _Seen) -> list[_Claim]:
    """All words on which the model leans, and how sure the other half is that they do not have the rate promised."""
    known, base = seen.known, seen.view.base
    n, k = known.sizes[1], known.hits[1]
    large = (known.lean >= _LARGE * known.typical) & (known.towards >= _STEADY)
    tested = np.flatnonzero(large & (seen.promised >= base + _MATERIAL) & (n >= _LEAST_TESTED))
    p = stats.binom.cdf(k[tested], n[tested], np.minimum(seen.promised[tested], 1.0))
    return [_Claim(seen, word, chance, SHORTCUT) for word, chance in zip(tested.tolist(), p.tolist(), strict=True)]


def _ignored(seen: _Seen, words: Words, half: NDArray[np.bool_]) -> list[_Claim]:
    """All words that seem ignored in one half, and how sure the other half is that the model misses something."""
    known, view = seen.known, seen.view
    enough = (known.sizes >= _LEAST_TESTED).all(axis=0)
    tells = enough & (known.rates[0] >= view.base + _MATERIAL) & (seen.due >= known.typical)
    chosen = np.flatnonzero(tells & (np.abs(known.lean) + 2 * known.error <= _NONE * seen.due))
    tests = view.known & half
    p, excess = beyond_output(words.present[:, chosen], view.label, tests, view.stratum)
    return [
        _Claim(seen, word, chance, IGNORED, more)
        for word, chance, more in zip(chosen.tolist(), p.tolist(), excess.tolist(), strict=True)
    ]


def _material(claim: _Claim) -> bool:
    """Whether a word tells little enough, or enough, in the half that tests."""
    rate, base = claim.seen.known.rates[1, claim.word], claim.seen.view.base
    if claim.kind == SHORTCUT:
        return bool(rate <= (base + claim.seen.promised[claim.word]) / 2)
    excess = claim.excess / claim.seen.known.sizes[1, claim.word]
    return bool(rate >= base + _MATERIAL and excess >= _MATERIAL_EXCESS)


def _texts_with(words: Words, word: int) -> Ints:
    return np.flatnonzero(np.asarray(words.present[:, [word]].toarray()).reshape(-1))


def _shortcut(corpus: Corpus, words: Words, claim: _Claim, term: str, q: float, tried: int) -> Finding:
    seen, view, known, word = claim.seen, claim.seen.view, claim.seen.known, claim.word
    name, promised = corpus.name(view.number), float(seen.promised[word])
    n, k = int(known.sizes[1, word]), int(known.hits[1, word])
    low, high = wilson(k, n)
    ids, mistaken = _texts_of(corpus, words, view, word)
    gap = len(ids) * (promised - k / n)
    cost = max(0.0, min(gap, mistaken[0] - mistaken[1] / max(mistaken[3], 1) * mistaken[2]))
    marks = marks_of(term, corpus)
    if cost < 0.1 * gap:
        marks.append(MADE_UP_FOR)
    lean, typical = float(known.lean[word]), float(known.typical[word])
    return Finding(
        kind=SHORTCUT,
        subject=f'word = "{term}" for {name}',
        title=f'Leans on "{term}" for {name}',
        sentence=(
            f'In texts with "{term}" this word carries {percent(lean)} of all attribution towards {name}, where an '
            f"average word carries {percent(typical)}. Words on which the model leans so much are in texts labelled "
            f'{name} {percent(promised)} of the time at least; of those with "{term}" {percent(k / n)} are (95% '
            f"interval {percent(low)} to {percent(high)}), and {percent(view.base)} of all texts. Among its "
            f"{len(ids):,} texts it promises {gap:.0f} too many."
        ),
        cost=cost,
        effect=k / n - promised,
        low=low - promised,
        high=high - promised,
        measure=f"share labelled {name} less that of words with such a lean",
        q=q,
        marks=marks,
        arithmetic=[
            f"lean: {lean:.4f} on average over {known.texts[word]:.0f} texts, standard error {known.error[word]:.4f}; "
            f"it pushes that way in {percent(float(known.towards[word]))} of them",
            f"words of such a lean, in the other half of the texts: {promised:.4f} at least (fit less two standard "
            f"errors)",
            f"in the half that tests: {k:,} of {n:,} texts with it are labelled {name}",
            f"exact test of less than {promised:.4f}: p = {claim.p:.3g}; {tried} words tested, q = {q:.3g}",
            f"said to be {name} and labelled otherwise: {mistaken[0]:,} of {mistaken[2]:,} texts with it, "
            f"{mistaken[1]:,} of {mistaken[3]:,} without; cost is what that is beyond the rest, {cost:.1f}",
        ],
        ids=ids,
    )


def _texts_of(corpus: Corpus, words: Words, view: View, word: int) -> tuple[list[str], tuple[int, int, int, int]]:
    """Labelled texts with a word, those first where it pushed towards the class against the label; and mistakes.

    Mistakes are texts that are said to have the class and have it not: with the word, without it; then all such texts.
    """
    rows = _texts_with(words, word)
    rows = rows[view.known[rows]]
    push = np.asarray(words.share[rows][:, [word]].toarray()).reshape(-1) * view.sign[rows]
    misled = (push > 0) & ~view.label[rows]
    order = np.lexsort((rows, -push, ~misled))
    false = view.known & view.predicted & ~view.label
    inside = int(false[rows].sum())
    outside = int(false.sum()) - inside
    return corpus.ids(rows[order]), (inside, outside, len(rows), int(view.known.sum()) - len(rows))


def _left_aside(corpus: Corpus, words: Words, claim: _Claim, term: str, q: float, tried: int) -> Finding:
    seen, view, known, word = claim.seen, claim.seen.view, claim.seen.known, claim.word
    name, due = corpus.name(view.number), float(seen.due[word])
    rows = _texts_with(words, word)
    rows = rows[view.known[rows]]
    n, k = int(known.sizes[1, word]), int(known.hits[1, word])
    tests = view.known & half_of(corpus.texts.column("id").to_pylist())
    m, e = int(tests.sum()) - n, int((tests & view.label).sum()) - k
    risen, low, high = share_difference(k, n, e, m)
    cost = claim.excess / n * len(rows)
    lean = float(known.lean[word])
    return Finding(
        kind=IGNORED,
        subject=f'word = "{term}" for {name}',
        title=f'Ignores "{term}", which tells {name}',
        sentence=(
            f'Of the texts with "{term}" {percent(k / n)} are labelled {name}, and {percent(e / m)} of those without '
            f"it (difference {percent(risen)}, 95% interval {percent(low)} to {percent(high)}). The model makes "
            f"{_share(lean)} of it: {percent(due)} of all attribution or more goes to words that tell as much. Among "
            f"its {len(rows):,} texts about {cost:.0f} more are {name} than among others of which the model says the "
            f"same."
        ),
        cost=cost,
        effect=risen,
        low=low,
        high=high,
        measure=f"share labelled {name} less that of the texts without it",
        q=q,
        marks=marks_of(term, corpus),
        arithmetic=[
            f"in the half that tests: {k:,} of {n:,} texts with it are labelled {name}, {e:,} of {m:,} without",
            f"in the half that chose it: {known.hits[0, word]:,} of {known.sizes[0, word]:,} texts with it",
            f"lean: {lean:.4f} on average over {known.texts[word]:.0f} texts, standard error {known.error[word]:.4f}; "
            f"words of such a rate have {due:.4f} at least (fit less two standard errors)",
            f"beyond other texts of the same probability (in equal parts): {claim.excess:.1f} in the half that tests, "
            f"{cost:.1f} in all",
            f"exact test within these parts: p = {claim.p:.3g}; {tried} words tested, q = {q:.3g}",
        ],
        ids=corpus.ids(rows),
    )


def _share(lean: float) -> str:
    return "nothing" if abs(lean) < 0.0005 else percent(abs(lean)) + " of all attribution"
