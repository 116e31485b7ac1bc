"""Quantiles that can be merged: counts of values in buckets of logarithmic width, negative and positive ones apart.

Masson, Rim and Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees"
(https://arxiv.org/abs/1908.10693), without its bound on the number of buckets. A value is told to `ACCURACY` of itself,
and 0 where it is below `SMALLEST`.
"""

from __future__ import annotations

import numpy as np

ACCURACY = 0.01  # relative
SMALLEST = 1e-9  # absolute values below are 0
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LIMIT = 2**15 - 1


def buckets(values: np.ndarray) -> np.ndarray:
    """The bucket of each value, int16: 0 for 0, in the order of the values."""
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        number = np.ceil(np.log(size / SMALLEST) / np.log(_GAMMA)) + 1
    number = np.where(size < SMALLEST, 0, np.clip(number, 1, _LIMIT))
    return (np.sign(values) * number).astype(np.int16)


def middle(bucket: np.ndarray) -> np.ndarray:
    """The value that stands for each bucket: at most `ACCURACY` from all that are in it, relative to them."""
    number = np.abs(bucket.astype(np.float64))
    value = SMALLEST * np.power(_GAMMA, number - 1) * 2 / (1 + _GAMMA)
    return np.where(bucket == 0, 0.0, np.sign(bucket) * value)


def quantiles(group: np.ndarray, bucket: np.ndarray, count: np.ndarray, groups: int, wanted: list[float]) -> np.ndarray:
    """Quantiles of several groups of values.

    Args:
        group: number of the group that a bucket belongs to, [entries], each group has at least one.
        bucket: [entries].
        count: of values in it, [entries].
        groups: their number.
        wanted: 0 to 1 each; the value of rank floor(q (n − 1)) among the n sorted ones is told.

    Returns:
        float64 [groups, wanted].
    """
    order = np.lexsort((bucket, group))
    sorted_buckets, upto = middle(bucket[order]), np.cumsum(count[order])
    size = np.bincount(group, weights=count, minlength=groups)
    before = np.cumsum(size) - size
    rank = before[:, None] + np.floor(np.array(wanted) * (size[:, None] - 1))
    return np.asarray(sorted_buckets[np.searchsorted(upto, rank, side="right")], np.float64)
