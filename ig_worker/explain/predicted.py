"""Which of several labels a network predicts for a text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DEFAULT = 0.5


def is_predicted(probabilities: npt.ArrayLike, threshold: float = DEFAULT) -> npt.NDArray[np.bool_]:
    """Whether each label is predicted: its probability is the threshold or more; of any shape, in float32."""
    return np.asarray(probabilities, np.float32) >= np.float32(threshold)


def predicted_labels(probabilities: npt.ArrayLike, threshold: float = DEFAULT) -> list[int]:
    """Numbers of the labels that are predicted for one text, rising.

    Args:
        probabilities: float32 [labels].
        threshold: from which on a label is.
    """
    return [int(number) for number in np.flatnonzero(is_predicted(probabilities, threshold))]
