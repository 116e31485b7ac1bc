"""Labels of the data that seem wrong, by confident learning (`confident`), and a list of them for annotators.

The probabilities have to be of texts that the model was not trained on, which no file of a run can tell: a model that
has learnt a wrong label by heart finds it right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ig_worker.insight.findings.confident import Suspects, suspects
from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.finding import LABEL_ERROR, Finding
from ig_worker.insight.findings.significance import SURE, false_discovery_rates, wilson
from ig_worker.insight.format import percent, probability
from ig_worker.schema import LABELS, VALUES

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Accused:
    """Texts whose label seems wrong in one way.

    Attributes:
        given, seems: names of what the data say, and of what seems to be so.
        rows: numbers of the texts in the corpus, the surest first.
        own, other: probability of what is given, and of what seems so, of each of `rows`, float64.
        output: number of the output that speaks for what seems so; sign: -1 where that has to speak against it.
        found: the figures.
        q: false discovery rate at which the model tells the two apart, of all pairs with any suspects.
        pairs: of classes with any suspects.
        predicted: texts predicted as what seems so, and the given labels that their probabilities let expect of them.
        of_class: texts of the given label that the model is sure of, and those of them that are of another class.
    """

    given: str
    seems: str
    rows: Ints
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    output: int
    sign: int
    found: Suspects
    q: float
    pairs: int
    predicted: tuple[int, float]
    of_class: tuple[int, int]


def accused(corpus: Corpus) -> list[Accused]:
    """All texts whose label seems wrong, by what is given and what seems so; those first of which there are most.

    Of several labels each is a question of its own: whether it is missing, and whether it is one too many.
    """
    if corpus.outputs == VALUES or not corpus.labelled.any():
        return []
    if corpus.outputs == LABELS:
        questions = [_of_one_label(corpus, number) for number in range(corpus.probability.shape[1])]
    else:
        questions = [_of_classes(corpus)]
    answers = [(question, found) for question in questions for found in suspects(question.probability, question.label)]
    rates = false_discovery_rates(np.array([found.p for _, found in answers]))
    kept = [
        question.accused(found, float(q), answers)
        for (question, found), q in zip(answers, rates, strict=True)
        if q <= SURE
    ]
    return sorted(kept, key=lambda one: (-len(one.rows), one.given, one.seems))


@dataclass(frozen=True)
class _Question:
    """Which of some classes a text is of: of the labelled texts `rows`, [texts] and [texts, classes]."""

    rows: Ints
    label: Ints
    probability: NDArray[np.float64]
    names: Sequence[str]
    outputs: Sequence[tuple[int, int]]  # of each class, the output that speaks of it, and its sign

    def accused(self, found: Suspects, q: float, answers: Sequence[tuple[_Question, Suspects]]) -> Accused:
        at, told = found.rows, self.probability.argmax(axis=1) == found.seems
        own = [other for question, other in answers if question is self and other.given == found.given]
        return Accused(
            self.names[found.given],
            self.names[found.seems],
            self.rows[at],
            self.probability[at, found.given],
            self.probability[at, found.seems],
            *self.outputs[found.seems],
            found=found,
            q=q,
            pairs=len(answers),
            predicted=(int(told.sum()), float(self.probability[told, found.given].sum())),
            of_class=(found.sure_of_given, sum(other.sure for other in own)),
        )


def _of_classes(corpus: Corpus) -> _Question:
    rows = np.flatnonzero(corpus.labelled)
    classes = corpus.probability.shape[1]
    return _Question(
        rows,
        corpus.label[rows].astype(np.int64),
        corpus.probability[rows].astype(np.float64),
        [corpus.name(i) for i in range(classes)],
        [(i, 1) for i in range(classes)],
    )


def _of_one_label(corpus: Corpus, label: int) -> _Question:
    rows = np.flatnonzero(corpus.labelled)
    applies = corpus.probability[rows, label].astype(np.float64)
    name = corpus.name(label)
    return _Question(
        rows,
        corpus.applies[rows, label].astype(np.int64),
        np.stack([1 - applies, applies], axis=1),
        [f"not {name}", name],
        [(label, -1), (label, 1)],
    )


def label_errors(corpus: Corpus) -> list[Finding]:
    """One for each label and what it should be, with ids in the order of how sure it is; none for numbers."""
    return [_finding(corpus, one) for one in accused(corpus)]


def _finding(corpus: Corpus, one: Accused) -> Finding:
    found, listed = one.found, len(one.rows)
    given, seems = f'"{one.given}"', f'"{one.seems}"'
    share, low, high = found.share
    return Finding(
        kind=LABEL_ERROR,
        subject=f"labelled {given}, seems {seems}",
        title=f"Labels {given} that should be {seems}",
        sentence=(
            f"{listed:,} of the {found.texts:,} texts labelled {given} seem to be {seems}: of those so labelled "
            f"that the model is sure of, {percent(share)} are (95% interval {percent(low)} to {percent(high)}), so "
            f"{found.texts * share:.0f} such labels ({found.texts * low:.0f} to {found.texts * high:.0f}) are to be "
            f"expected, if the model was not trained on these texts and does not err where it is sure."
        ),
        cost=float(listed),
        effect=share,
        low=low,
        high=high,
        measure=f"share of the labels {given} that should be {seems}",
        q=one.q,
        arithmetic=_arithmetic(one),
        ids=corpus.ids(one.rows),
    )


def _arithmetic(one: Accused) -> list[str]:
    found, (predicted, expected), (sure, others) = one.found, one.predicted, one.of_class
    given, seems = f'"{one.given}"', f'"{one.seems}"'
    own, other = found.thresholds
    share, (low, high) = others / sure, wilson(others, sure)
    of_any = (
        f"of any other class than {given}: {others:,} / {sure:,} x {found.texts:,} = {found.texts * share:.1f} "
        f"({found.texts * low:.0f} to {found.texts * high:.0f})"
    )
    return [
        f"sure from the mean probability on that texts of a label have for it: {probability(own)} for {given}, "
        f"{probability(other)} for {seems}",
        f"of {found.texts:,} texts labelled {given}, {sure:,} are sure, {found.sure:,} of them to be {seems}: "
        f"{found.sure:,} / {sure:,} x {found.texts:,} = {found.texts * found.share[0]:.1f} to be expected",
        *([of_any] if others > found.sure else []),
        f"listed: those of them with the widest margin, if they are predicted {seems}: {len(one.rows):,}, with "
        f"margins from {probability(found.margin[0])} to {probability(found.margin[-1])}",
        f"of the {predicted:,} texts predicted {seems}, the probabilities let expect {expected:.0f} that are {given}",
        f"exact test that the model tells the two apart: p {_chance(found.p)}; {one.pairs} pairs with any "
        f"suspects, q {_chance(one.q)}",
    ]


def _chance(p: float) -> str:
    """``= 0.0123``; what is too small for a float is not nothing."""
    return f"= {p:.3g}" if p else "< 1e-300"
