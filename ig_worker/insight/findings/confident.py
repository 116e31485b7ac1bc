"""Confident learning: which labels seem wrong, by a model's probabilities. Pure functions over numpy arrays.

C. G. Northcutt, L. Jiang, I. L. Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70 (2021),
https://arxiv.org/abs/1911.00068. What is taken of it: thresholds and the confident joint (section 3.1), calibrated to
the counts of the labels (equation 3), and method 4 of section 3.2, prune by noise rate: of each pair of classes as many
texts as are to be expected, those of the widest margin. One thing is added: a text is listed only as what the model
finds most probable, so a low threshold of a rare class accuses nobody.

Where labels err in one direction only, they lower the threshold of the class that they are given, and not that of the
class that they should have: there the number to be expected comes out too low, up to a half where probabilities of a
class are skewed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ig_worker.insight.findings.significance import wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SURE_OF_THE_TASK = 1e-3  # chance of so much agreement with the labels up to which a model is heard at all


@dataclass(frozen=True)
class Suspects:
    """Texts of one given label that seem to be of one other class.

    Attributes:
        given, seems: classes.
        rows: the texts, the widest margin first.
        margin: probability of `seems` less that of `given`, of each of `rows`.
        sure: texts of the given label that the model is sure to be of `seems`: the cell of the confident joint.
        sure_of_given: those that it is sure of at all: the row of the confident joint.
        texts: that have the given label.
        thresholds: mean probability of the given class among the texts labelled so, and the same of `seems`.
        p: chance of the two classes being told apart so well, were labels and probabilities strangers.
    """

    given: int
    seems: int
    rows: Ints
    margin: Floats
    sure: int
    sure_of_given: int
    texts: int
    thresholds: tuple[float, float]
    p: float

    @property
    def share(self) -> tuple[float, float, float]:
        """Of the labels `given` that should be `seems`: the share, and its 95% interval.

        Wilson's, of the texts that the model is sure of: it knows how few they are, and not how wrong a model can be
        that is sure. A bootstrap of the whole would cost a thousand times as much, and would not know that either.
        """
        return (self.sure / self.sure_of_given, *wilson(self.sure, self.sure_of_given))


def thresholds(probability: Floats, label: Ints) -> Floats:
    """From which probability on a text counts as one of a class: the mean among the texts labelled so, [classes].

    Args:
        probability: [texts, classes].
        label: [texts].
    """
    counts = np.bincount(label, minlength=probability.shape[1])
    own = np.bincount(label, weights=probability[np.arange(len(label)), label], minlength=len(counts))
    return np.where(counts > 0, own / np.maximum(counts, 1), np.inf)


def surely(probability: Floats, limits: Floats) -> Ints:
    """The class that each text surely is of: the most probable one of those that reach their threshold; else -1."""
    reached = np.where(probability >= limits, probability, -1.0)
    best = reached.argmax(axis=1)
    return np.where(reached[np.arange(len(best)), best] >= 0, best, -1)


def confident_joint(label: Ints, sure: Ints, classes: int) -> Ints:
    """Texts by given label and by the class that they surely are of, [classes, classes]."""
    known = sure >= 0
    return np.bincount(label[known] * classes + sure[known], minlength=classes**2).reshape(classes, classes)


def calibrated(joint: Ints, counts: Ints) -> Floats:
    """The confident joint scaled so that each row has as many texts as have that label, [classes, classes].

    Args:
        joint: see `confident_joint`; a label of no sure text is taken to be right.
        counts: texts of each label, [classes].
    """
    rows = joint.sum(axis=1)
    filled = np.where(rows[:, None] > 0, joint, np.eye(len(counts)))
    return filled / np.maximum(rows, 1)[:, None] * counts[:, None]


def suspects(probability: Floats, label: Ints) -> list[Suspects]:
    """Those of each pair of classes that has any; none where the model does not tell the labels at all.

    Args:
        probability: of texts that the model was not trained on, [texts, classes].
        label: as given, [texts].
    """
    classes = probability.shape[1]
    predicted = probability.argmax(axis=1)
    if agreement_p(label, predicted, classes) > SURE_OF_THE_TASK:
        return []
    limits = thresholds(probability, label)
    counts = np.bincount(label, minlength=classes)
    joint = confident_joint(label, surely(probability, limits), classes)
    expected = np.rint(calibrated(joint, counts)).astype(np.int64)
    found = []
    for given, seems in zip(*np.nonzero(expected * (1 - np.eye(classes, dtype=np.int64))), strict=True):
        at = np.flatnonzero((label == given) & (predicted == seems))
        margin = probability[at, seems] - probability[at, given]
        first = np.argsort(-margin, kind="stable")[: expected[given, seems]]
        if len(first):
            found.append(
                Suspects(
                    int(given),
                    int(seems),
                    at[first],
                    margin[first],
                    sure=int(joint[given, seems]),
                    sure_of_given=int(joint[given].sum()),
                    texts=int(counts[given]),
                    thresholds=(float(limits[given]), float(limits[seems])),
                    p=told_apart_p(probability, label, int(given), int(seems)),
                )
            )
    return found


def agreement_p(label: Ints, predicted: Ints, classes: int) -> float:
    """Chance of so many predictions that are the label, or more, were labels dealt out anew.

    Exact for two classes (Fisher); else by the mean and variance of that number over all permutations (Hoeffding 1951).
    """
    n = len(label)
    given, said = np.bincount(label, minlength=classes), np.bincount(predicted, minlength=classes)
    agreed = int((label == predicted).sum())
    if classes == 2:
        both = int(((label == 1) & (predicted == 1)).sum())
        return float(stats.hypergeom.sf(both - 1, n, given[1], said[1]))
    if n < 2:
        return 1.0
    mean = float(given @ said) / n
    centred = np.eye(classes) - (said / n)[:, None] - (given / n)[None, :] + mean / n  # [label, predicted]
    variance = float(given @ centred**2 @ said) / (n - 1)
    return float(stats.norm.sf((agreed - mean) / np.sqrt(variance))) if variance > 0 else 1.0


def told_apart_p(probability: Floats, label: Ints, one: int, other: int) -> float:
    """Fisher's exact test, one-sided: among the texts of two labels, whether the more probable one is the label."""
    which = (label == one) | (label == other)
    is_other = label[which] == other
    says_other = probability[which, other] > probability[which, one]
    both = int((is_other & says_other).sum())
    return float(stats.hypergeom.sf(both - 1, len(is_other), int(is_other.sum()), int(says_other.sum())))
