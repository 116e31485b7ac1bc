"""The rows of a run as one row a text: what is explained of it besides its first target becomes lists in that row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ig_worker.schema import RANK

# Of each further target of a text, [targets]. `OTHER_ATTRIBUTIONS` are theirs, one after the other, [targets × tokens].
OTHERS = {
    "other_targets": "target",
    "other_contrasts": "contrast",
    "other_probabilities": "target_probability",
    "other_baselines": "baseline_probability",
    "other_errors": "error_estimate",
    "other_deltas": "delta",
}
OTHER_ATTRIBUTIONS = "other_attributions"


def by_text(rows: pa.Table) -> pa.Table:
    """Rows of `schema.attributions` with one row a text, and the columns `OTHERS` and `OTHER_ATTRIBUTIONS`."""
    ranks = rows.column(RANK).to_numpy()
    begins = np.flatnonzero(ranks == 0)
    others = rows.filter(pa.array(ranks > 0))
    counts = np.diff(np.append(begins, len(ranks))) - 1
    found = rows.take(pa.array(begins))
    for name, column in OTHERS.items():
        found = found.append_column(name, _lists(others.column(column).combine_chunks(), counts))
    attributions = others.column("attributions").combine_chunks()
    lengths = np.append(0, np.cumsum(attributions.value_lengths().to_numpy()))
    ends = np.cumsum(counts)
    tokens = lengths[ends] - lengths[ends - counts]
    return found.append_column(OTHER_ATTRIBUTIONS, _lists(pc.list_flatten(attributions), tokens))


def _lists(values: pa.Array, counts: NDArray[np.int64]) -> pa.Array:
    """Consecutive values as lists of these lengths."""
    return pa.ListArray.from_arrays(np.append(0, np.cumsum(counts)).astype(np.int32), values)
