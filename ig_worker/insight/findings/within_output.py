"""Whether groups of texts have a class more often than others of which the model says the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ig_worker.insight.findings.significance import deviates, stratified_p

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_WORTH_A_TEST = 1.0  # standard normal deviate; below it the exact test says nothing, and p is taken to be 1


def beyond_output(holds: sparse.csr_matrix, event: Bools, texts: Bools, stratum: Ints) -> tuple[Floats, Floats]:
    """Of many groups at once, exactly within strata of what the model says.

    Args:
        holds: which texts are in each group, 1 or 0, [all texts, groups].
        event: which texts have the class, [all texts].
        texts: those that are looked at, [all texts].
        stratum: number of what the model says, [all texts].

    Returns:
        Chance of as many events (`significance.stratified_p`), and events beyond what the other texts of the same
        strata would have had, both [groups].
    """
    rows = np.flatnonzero(texts)
    onehot = np.zeros((len(rows), int(stratum.max(initial=0)) + 1))
    onehot[np.arange(len(rows)), stratum[rows]] = 1
    of_event = onehot * event[rows, None]
    inside, struck = holds[rows].T @ onehot, holds[rows].T @ of_event  # [groups, strata]
    sizes, events = onehot.sum(axis=0), of_event.sum(axis=0)
    hits = struck.sum(axis=1)
    z, _ = deviates(hits, inside, events, sizes)
    rest = (events - struck) / np.maximum(sizes - inside, 1)
    full = sizes == inside  # nobody to compare with
    excess = hits - np.where(full, struck, inside * rest).sum(axis=1)
    p = np.ones(len(z))
    whole = [values.astype(np.int64) for values in (inside, events, sizes)]
    for i in np.flatnonzero(z > _WORTH_A_TEST).tolist():
        p[i] = stratified_p(int(hits[i]), whole[0][i], whole[1], whole[2])
    return p, excess
