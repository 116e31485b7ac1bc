"""The pilot of a run: how many rows it has, and what they tell of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.explanation import Explanation
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.problems import Problem

if TYPE_CHECKING:  # TensorFlow: seconds, which what only asks for a size need not cost
    from ig_worker.models.network import SplitNetwork

LEAST_TOTAL, MOST, SHARE = 500, 400, 50


def pilot_rows(total: int) -> int:
    """How many rows the pilot of a data set of `total` rows has; 0: none."""
    return 0 if total < LEAST_TOTAL else min(MOST, total // SHARE)


class PilotEngine:
    """Explains the rows of a pilot, and finds out what the rest of the run goes by.

    Args:
        network: the classifier, cut at the layer.
        tolerance: relative L1 error of a text's attributions at which it is done.
        max_evaluations: of one text.
        shape: how batches are cut.
        risk: the share of rows that may be beyond the tolerance.
    """

    def __init__(
        self, network: SplitNetwork, tolerance: float, max_evaluations: int, shape: BatchShape, risk: float
    ) -> None:
        from ig_worker.explain.adaptive import AdaptiveEngine  # TensorFlow: seconds

        self._risk = risk
        self._engine = AdaptiveEngine(network, tolerance, max_evaluations, shape)

    def calibrate(self, problems: Sequence[Problem]) -> tuple[Calibration, list[Explanation]]:
        """What the problems tell of others, and their own explanations, in their order, which are final."""
        return replace(CAUTIOUS, rows=len(problems)), self._engine.explain(problems)
