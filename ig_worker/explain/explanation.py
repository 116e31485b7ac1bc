"""What comes out of an engine, and how far two of them are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32 = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]

FLOOR = 0.01  # of attributions' L1 norm: saturated texts, whose attributions are all near 0, do not count as wrong
# Evaluations of product integration besides its nodes: a forward pass at the text. That at the baseline is shared.
ENDS = 0.5
STATUS_FIXED, STATUS_CONVERGED, STATUS_LIMIT = "fixed", "converged", "evaluation_limit"


@dataclass(frozen=True)
class Explanation:
    """Integrated gradients of one problem, or of a row, whose problems are combined.

    F is the output of class `target`, its probability where the network gives some; of a contrast it is the difference
    of two outputs, and so are `target_probability` and `baseline_probability`, which may then be below 0.
    """

    probabilities: Float32  # [classes], the network's outputs at the input
    target: int
    target_probability: float  # F(x)
    baseline_probability: float  # F(x')
    attributions: Float32  # [tokens]
    delta: float  # sum of attributions - (F(x) - F(x')), alibi's sign
    error_estimate: float | None  # relative L1 error of the attributions; None for fixed rules
    # Forward and gradient 1, forward alone 0.5; baselines that are shared 0. What targets share is split evenly.
    evaluations: float
    status: str
    hidden: Float32 | None = None  # [tokens, hidden], only where it was asked for; sums to the attributions
    contrast: int | None = None  # the class that is taken away from the target; None: none is

    @property
    def prediction(self) -> int:
        return int(self.probabilities.argmax())

    def finite(self) -> bool:
        """Whether every number is one."""
        return bool(
            np.isfinite(self.attributions).all()
            and np.isfinite(self.probabilities).all()
            and np.isfinite(self.baseline_probability)
        )


def relative_l1(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Relative L1 difference of `a` against `b`: ‖a − b‖₁ / max(‖b‖₁, FLOOR)."""
    a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.abs(a64 - b64).sum() / max(np.abs(b64).sum(), FLOOR))
