"""The adaptive engine: product integration with as many nodes as each text needs, to a tolerance.

How many nodes a text starts with, and what bounds its error by the same evaluations, is for the `Calibration` to say:
a run's own, or what networks have in common. Where the bound is too large, a second rule gets as many nodes as are
missing; where no number will do, the path is cut in two and completeness is held on each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration, Ends, Known
from ig_worker.explain.explanation import FLOOR, STATUS_CONVERGED, STATUS_LIMIT, Explanation, Float32
from ig_worker.explain.packing import BatchShape, Group, group_by_length
from ig_worker.explain.paths import Integrated, PathPrograms, Section
from ig_worker.explain.problems import Problem, chosen_classes, scalar
from ig_worker.explain.product import (
    ROUNDING,
    STRAIGHT,
    Float64,
    Spread,
    error_series,
    grid_error,
)
from ig_worker.explain.refine import HALF_NODES, Halve, Panel, Retry, refinement
from ig_worker.models.network import SplitNetwork


@dataclass
class _Path:
    """One problem on its way."""

    problem: Problem
    target: int
    at_input: Float32  # class probabilities there
    at_baseline: Float32
    z: dict[float, Float32]  # z at the ends of panels, by α
    f: dict[float, float]  # F there
    spent: float = 1.0  # both ends are forward passes alone
    planned: float = 1.0  # the same without what a lack of memory costs: decisions must not depend on the machine
    panels: list[Panel] = field(default_factory=list)
    hidden: list[Float32] = field(default_factory=list)  # of each panel
    limited: bool = False

    @property
    def ends(self) -> Ends:
        return Ends(abs(self.f[1.0] - self.f[0.0]), self.problem.tokens)

    @property
    def attributions(self) -> Float64:
        return np.sum([panel.values for panel in self.panels], axis=0)

    @property
    def norm(self) -> float:
        return max(float(np.abs(self.attributions).sum()), FLOOR)

    @property
    def estimate(self) -> float:
        """Of the relative L1 error."""
        return sum(panel.error for panel in self.panels) / self.norm + ROUNDING


@dataclass(frozen=True)
class _Todo:
    """A panel of a path that is to be integrated."""

    path: int
    low: float
    high: float
    n: int
    replaces: int | None  # number of the panel; None appends

    @property
    def whole(self) -> bool:
        return (self.low, self.high) == (0.0, 1.0)


class AdaptiveEngine:
    """Integrated gradients to a tolerance.

    Args:
        network: the classifier, cut at the layer.
        tolerance: estimated relative L1 error of a text's attributions at which it is done.
        max_evaluations: of one text, both ends included.
        shape: how batches are cut.
        keep_hidden: also give the attributions of every hidden unit.
        programs: of the same network and `keep_hidden`, which need not be traced again.
        calibration: of the network's paths.
    """

    def __init__(
        self,
        network: SplitNetwork,
        tolerance: float = 0.005,
        max_evaluations: int = 64,
        shape: BatchShape | None = None,
        *,
        keep_hidden: bool = False,
        programs: PathPrograms | None = None,
        calibration: Calibration = CAUTIOUS,
    ) -> None:
        self._tolerance, self._most = tolerance, max_evaluations
        self._shape = shape or BatchShape()
        self._keep_hidden, self._calibration = keep_hidden, calibration
        self._programs = (
            programs.shared(self._shape) if programs else PathPrograms(network, self._shape, keep_hidden=keep_hidden)
        )

    @property
    def programs(self) -> PathPrograms:
        """For another engine of the same network to share."""
        return self._programs

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        """Explain problems; results come in their order."""
        results: dict[int, Explanation] = {}
        for group in group_by_length([problem.tokens for problem in problems], self._shape):
            paths = self._open(group, [problems[i] for i in group.members])
            self._run(paths, group)
            results.update(zip(group.members, map(self._result, paths), strict=True))
        return [results[i] for i in range(len(problems))]

    def _open(self, group: Group, problems: list[Problem]) -> list[_Path]:
        z1, z0 = self._programs.open(problems, group.length)
        at_input, at_baseline = self._programs.probabilities(z1), self._programs.probabilities(z0)
        targets = chosen_classes(problems, at_input)
        return [
            _Path(
                problem=problem,
                target=int(t),
                at_input=at_input[i],
                at_baseline=at_baseline[i],
                z={0.0: z0[i], 1.0: z1[i]},
                f={0.0: scalar(at_baseline[i], t), 1.0: scalar(at_input[i], t)},
            )
            for i, (problem, t) in enumerate(zip(problems, targets, strict=True))
        ]

    def _run(self, paths: list[_Path], group: Group) -> None:
        most = self._most - 1
        first = [min(self._calibration.first(path.ends, self._tolerance), most) for path in paths]
        todo = [_Todo(i, 0.0, 1.0, n, None) for i, n in enumerate(first)]
        while todo:
            self._integrate(paths, todo, group)
            todo = self._next(paths, sorted({item.path for item in todo}))

    def _integrate(self, paths: list[_Path], todo: list[_Todo], group: Group) -> None:
        """Integrate panels, those with equally many nodes together."""
        order = sorted(todo, key=lambda item: (item.n, item.whole, item.path, item.low))
        for (n, whole), items in groupby(order, key=lambda item: (item.n, item.whole)):
            spread = self._calibration.spread if whole else STRAIGHT
            waiting = list(items)
            size = max(1, group.rows // n)
            for part in (waiting[i : i + size] for i in range(0, len(waiting), size)):
                sections = [
                    Section(
                        item.path,
                        paths[item.path].target,
                        item.low,
                        item.high,
                        paths[item.path].z[item.low],
                        paths[item.path].z[item.high],
                    )
                    for item in part
                ]
                found = self._programs.integrate(sections, n, spread, group.length)
                self._enter(paths, part, found, spread)

    def _enter(self, paths: list[_Path], items: list[_Todo], found: Integrated, spread: Spread) -> None:
        series = error_series(found.contributions, found.strengths, found.signed, found.absolute, spread)
        grid = grid_error(found.contributions, found.halved)
        for i, item in enumerate(items):
            path = paths[item.path]
            values = found.contributions[i, :, : path.problem.tokens].sum(axis=0, dtype=np.float64)
            gap = float(values.sum()) - (path.f[item.high] - path.f[item.low])
            bound = float(series[i] + grid[i])
            if item.whole:
                norm = max(float(np.abs(values).sum()), FLOOR)
                known = Known(path.ends, item.n, abs(gap) / norm, bound / norm)
                bound = norm * self._calibration.bound(known, self._tolerance)
            panel = Panel(item.low, item.high, item.n, values, bound, gap)
            if item.replaces is not None:
                before = path.panels[item.replaces].values
                panel.difference = float(np.abs(values - before).sum() + grid[i])
            path.spent += found.cost
            path.planned += item.n
            hidden = None if found.hidden is None else found.hidden[i, : path.problem.tokens]
            if item.replaces is None:
                path.panels.append(panel)
                path.hidden += [] if hidden is None else [hidden]
            else:
                path.panels[item.replaces] = panel
                path.hidden[item.replaces : item.replaces + 1] = [] if hidden is None else [hidden]

    def _next(self, paths: list[_Path], touched: list[int]) -> list[_Todo]:
        todo: list[_Todo] = []
        cuts: list[tuple[int, int]] = []
        for i in touched:
            path = paths[i]
            if path.estimate <= self._tolerance:
                continue
            if not np.isfinite(path.estimate):  # nothing is gained by more of it
                path.limited = True
                continue
            goal = (self._tolerance - ROUNDING) * path.norm
            step = refinement(path.panels, goal, self._most - path.planned, self._calibration.fall)
            if isinstance(step, Retry):
                panel = path.panels[step.panel]
                todo.append(_Todo(i, panel.low, panel.high, step.n, step.panel))
            elif isinstance(step, Halve):
                cuts.append((i, step.panel))
            else:
                path.limited = True
        return todo + self._cut(paths, cuts)

    def _cut(self, paths: list[_Path], cuts: list[tuple[int, int]]) -> list[_Todo]:
        if not cuts:
            return []
        panels = [paths[i].panels[number] for i, number in cuts]
        middles = [(panel.low + panel.high) / 2 for panel in panels]
        z = self._programs.vectors([i for i, _ in cuts], middles)
        f = self._programs.probabilities(z)
        todo: list[_Todo] = []
        for (i, number), panel, middle, vector, at in zip(cuts, panels, middles, z, f, strict=True):
            path = paths[i]
            path.z[middle], path.f[middle] = vector, scalar(at, path.target)
            path.spent += 0.5
            path.planned += 0.5
            del path.panels[number]
            del path.hidden[number : number + 1]
            todo += [
                _Todo(i, panel.low, middle, HALF_NODES, None),
                _Todo(i, middle, panel.high, HALF_NODES, None),
            ]
        return todo

    def _result(self, path: _Path) -> Explanation:
        attributions = path.attributions.astype(np.float32)
        change = path.f[1.0] - path.f[0.0]
        extra: dict[str, Any] = {"hidden": np.sum(path.hidden, axis=0)} if self._keep_hidden else {}
        return Explanation(
            probabilities=path.at_input.astype(np.float32),
            target=path.target,
            target_probability=path.f[1.0],
            baseline_probability=path.f[0.0],
            attributions=attributions,
            delta=float(attributions.sum(dtype=np.float64) - change),
            error_estimate=path.estimate,
            evaluations=path.spent,
            status=STATUS_LIMIT if path.limited else STATUS_CONVERGED,
            **extra,
        )
