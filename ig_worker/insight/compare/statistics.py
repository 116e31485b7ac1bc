"""How alike two explanations of one text are, and how sure a difference is. Pure functions over numpy arrays."""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

TOP = 5  # words whose overlap is counted


def by_word(values: np.ndarray, word_ids: np.ndarray) -> np.ndarray:
    """Attributions summed over the pieces of each word, float64 [words]; special tokens (id −1) are left out."""
    inside = word_ids >= 0
    if not inside.any():
        return np.zeros(0)
    return np.bincount(word_ids[inside], weights=values[inside].astype(np.float64))


def moved(a: np.ndarray, b: np.ndarray) -> float:
    """The share of attribution that has moved: ½ ‖a/‖a‖₁ − b/‖b‖₁‖₁, 0 for the same and 1 for the opposite.

    It is the total variation distance where nothing is negative. nan where either has no attribution at all.
    """
    size_a, size_b = np.abs(a).sum(), np.abs(b).sum()
    if not (size_a > 0 and size_b > 0):
        return math.nan
    return float(0.5 * np.abs(a / size_a - b / size_b).sum())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """a·b / ‖a‖‖b‖; nan where either is 0."""
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size > 0 else math.nan


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's: the correlation of the average ranks; nan where either has one value only."""
    if len(a) < 2:
        return math.nan
    ranks_a, ranks_b = stats.rankdata(a), stats.rankdata(b)
    spread = ranks_a.std() * ranks_b.std()
    if not spread > 0:
        return math.nan
    return float(((ranks_a - ranks_a.mean()) * (ranks_b - ranks_b.mean())).mean() / spread)


def top_overlap(a: np.ndarray, b: np.ndarray, k: int = TOP) -> float:
    """Part of the k positions with the largest |a| that are among those of b too, 0 to 1; nan for an empty text."""
    k = min(k, len(a))
    if not k:
        return math.nan
    first = set(np.argsort(-np.abs(a), kind="stable")[:k].tolist())
    return len(first & set(np.argsort(-np.abs(b), kind="stable")[:k].tolist())) / k


def paired_z(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Student's t of paired differences, from their number, sum and sum of squares; 0 where it has no meaning."""
    mean = total / count
    variance = np.maximum(squares - count * mean**2, 0.0) / np.maximum(count - 1, 1)
    error = np.sqrt(variance / count)
    # Float32 attributions leave differences of rounding: those are no drift.
    sound = (count > 1) & (error > 1e-9)
    return np.where(sound, mean / np.where(sound, error, 1.0), 0.0)


def two_sided(z: np.ndarray) -> np.ndarray:
    """P-values of standard normal deviates."""
    return 2 * special.ndtr(-np.abs(z))


def adjusted(p: np.ndarray) -> np.ndarray:
    """P-values adjusted for their number, so that those under q are false for a share q of them.

    Benjamini and Hochberg 1995, "Controlling the False Discovery Rate".
    """
    return stats.false_discovery_control(p) if len(p) else p


def mcnemar(worse: int, better: int) -> float:
    """Two-sided exact p-value that rows got wrong and right with equal chance: McNemar 1947, by the binomial."""
    if not worse + better:
        return 1.0
    return float(stats.binomtest(worse, worse + better).pvalue)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error with bins of equal width (Guo et al. 2017, https://arxiv.org/abs/1706.04599).

    Args:
        confidence: probability of the predicted class, [rows].
        correct: whether it is the label, [rows].
        bins: their number.
    """
    if not len(confidence):
        return math.nan
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))
