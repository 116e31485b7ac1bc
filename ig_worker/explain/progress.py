"""How far the adaptive engine has come with a problem, and what it has to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ig_worker.explain.explanation import ENDS, FLOOR, Float32
from ig_worker.explain.integrals import PathEnds
from ig_worker.explain.product import ROUNDING, Float64
from ig_worker.explain.refine import Panel


@dataclass
class Progress:
    """One problem on its way."""

    ends: PathEnds
    z: dict[float, Float32]  # z at the ends of panels, by α; of all problems that share the path
    outputs: dict[float, Float32]  # the network's there, likewise
    spent: float
    # The same as if it shared nothing and memory were plenty: decisions depend neither on others nor on the machine.
    planned: float = ENDS
    panels: list[Panel] = field(default_factory=list)
    hidden: list[Float32] = field(default_factory=list)  # of each panel
    limited: bool = False

    @classmethod
    def of_all(cls, every: Sequence[PathEnds]) -> list[Progress]:
        """The paths of a group that was opened."""
        z = {ends.row: {0.0: ends.z0, 1.0: ends.z1} for ends in every}
        outputs = {ends.row: {0.0: ends.at_baseline, 1.0: ends.at_input} for ends in every}
        return [cls(ends, z[ends.row], outputs[ends.row], ends.spent) for ends in every]

    def change(self, low: float = 0.0, high: float = 1.0) -> float:
        """By how much F changes from one point of the path to another."""
        return self.ends.scalar.of(self.outputs[high]) - self.ends.scalar.of(self.outputs[low])

    @property
    def attributions(self) -> Float64:
        return np.sum([panel.values for panel in self.panels], axis=0)

    @property
    def norm(self) -> float:
        return max(float(np.abs(self.attributions).sum()), FLOOR)

    @property
    def error(self) -> float:
        """Of the relative L1 error, what decides whether the path is done."""
        return sum(panel.error for panel in self.panels) / self.norm + ROUNDING

    @property
    def estimate(self) -> float:
        """Of the relative L1 error, what is written."""
        return sum(panel.estimate for panel in self.panels) / self.norm + ROUNDING


@dataclass(frozen=True)
class Todo:
    """A panel of a path that is to be integrated."""

    path: int
    row: int  # of its text
    low: float
    high: float
    n: int
    replaces: int | None  # number of the panel; None appends

    @property
    def place(self) -> tuple[int, float, float]:
        """What targets of one text share: a panel of its path."""
        return self.row, self.low, self.high

    @property
    def whole(self) -> bool:
        return (self.low, self.high) == (0.0, 1.0)

    @property
    def alone(self) -> bool:
        """Whether it is all that its path has to do: of a path that was cut, both halves are."""
        return self.whole or self.replaces is not None
