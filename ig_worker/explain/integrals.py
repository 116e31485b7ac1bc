"""Ends of paths and integrals along them, text by text: what a pilot and the adaptive engine both do with a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ig_worker.explain.calibration import Ends, Known
from ig_worker.explain.explanation import ENDS, FLOOR, Float32
from ig_worker.explain.packing import Group
from ig_worker.explain.paths import PathPrograms
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import Float64, Spread, error_series, grid_error
from ig_worker.explain.sections import Integrated, Section
from ig_worker.explain.sharing import PathGroup, paths_of
from ig_worker.explain.targets import Scalar


@dataclass(frozen=True)
class PathEnds:
    """Both ends of a problem's path."""

    problem: Problem
    scalar: Scalar
    row: int  # of the text within the group that is open
    sharing: int  # problems of the group that have this path
    at_input: Float32  # the network's outputs there
    at_baseline: Float32
    z1: Float32  # z at the input
    z0: Float32  # z at the baseline

    @property
    def f1(self) -> float:
        """F at the input."""
        return self.scalar.of(self.at_input)

    @property
    def f0(self) -> float:
        """F at the baseline."""
        return self.scalar.of(self.at_baseline)

    @property
    def spent(self) -> float:
        """Evaluations, the problem's share of them."""
        return ENDS / self.sharing

    @property
    def shown(self) -> Ends:
        """What they show before any gradient."""
        return Ends.of(self.scalar.as_probability(self.f1), self.scalar.as_probability(self.f0), self.problem.tokens)

    @property
    def weights(self) -> Float32:
        """Of the scalar, float32 [classes]."""
        return self.scalar.weights(len(self.at_input))

    def section(self) -> Section:
        """The whole path, where its group is open."""
        return Section(self.row, self.weights[None], 0.0, 1.0, self.z0, self.z1)


@dataclass(frozen=True)
class Integral:
    """What one rule gives of one section."""

    values: Float64  # its share of the attributions, [tokens]
    series: float  # `product.error_series` and the grid's error: of its L1 error, not calibrated
    grid: float  # of them, the grid's
    cost: float  # evaluations
    hidden: Float32 | None  # [tokens, hidden]

    def known(self, ends: Ends, n: int, change: float) -> Known:
        """What it knows of its own relative error, of a path along which F changes so much."""
        norm = max(float(np.abs(self.values).sum()), FLOOR)
        return Known(ends, n, abs(float(self.values.sum()) - change) / norm, self.series / norm)


def open_paths(programs: PathPrograms, problems: Sequence[Problem], length: int) -> list[PathEnds]:
    """Take up a group of problems of padded `length`; what shares a path is encoded once. Results are in their order.

    Raises:
        UsageError: a target asks for what the network does not have.
    """
    paths = paths_of(problems)
    z1, z0 = programs.open([problems[path[0]] for path in paths], length)
    at_input, at_baseline = programs.probabilities(z1), programs.probabilities(z0)
    found = {
        i: PathEnds(
            problems[i], problems[i].target.of(at_input[row]), row, len(path),
            at_input[row], at_baseline[row], z1[row], z0[row],
        )
        for row, path in enumerate(paths)
        for i in path
    }  # fmt: skip
    return [found[i] for i in range(len(problems))]


def integrals(
    programs: PathPrograms,
    sections: Sequence[Section],
    n: int,
    spread: Spread,
    group: Group | PathGroup,
    tokens: Sequence[int],
) -> list[Integral]:
    """Integrate sections, which have equally many targets, with n nodes each.

    Args:
        group: of the texts; as many sections are integrated at a time as a batch of it holds.
        tokens: of each section's text.

    Returns:
        Of each section in turn, what each of its targets gives.
    """
    size, found = max(1, group.rows // n), []
    for i in range(0, len(sections), size):
        batch = programs.integrate(sections[i : i + size], n, spread, group.length)
        series, grid = zip(*(_errors(batch, t, spread) for t in range(len(sections[0].weights))), strict=True)
        found += [
            Integral(
                values=batch.contributions[t, row, :, :count].sum(axis=0, dtype=np.float64),
                series=float(series[t][row]),
                grid=float(grid[t][row]),
                cost=batch.cost,
                hidden=None if batch.hidden is None else batch.hidden[t, row, :count],
            )
            for row, count in enumerate(tokens[i : i + size])
            for t in range(len(series))
        ]
    return found


def _errors(batch: Integrated, t: int, spread: Spread) -> tuple[Float64, Float64]:
    """`product.error_series` and the grid's error, together and the latter alone, float64 [sections], of target t."""
    grid = grid_error(batch.contributions[t], batch.halved[t])
    found = batch.contributions[t], batch.strengths[t], batch.signed[t], batch.absolute[t]
    return error_series(*found, spread) + grid, grid
