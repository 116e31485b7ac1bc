"""The adaptive engine: product integration with as many nodes as each text needs, to a tolerance.

How many nodes a text starts with, and what bounds its error by the same evaluations, is for the `Calibration` to say:
a run's own, or what networks have in common. Where the bound is too large, a second rule gets as many nodes as are
missing; where no number will do, the path is cut in two and completeness is held on each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from threading import Event
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.explanation import ENDS, FLOOR, STATUS_CONVERGED, STATUS_LIMIT, Explanation, Float32
from ig_worker.explain.integrals import Integral, PathEnds, integrals, open_paths
from ig_worker.explain.lanes import Lanes, StoppedError
from ig_worker.explain.packing import BatchShape, Group, group_by_length
from ig_worker.explain.paths import PathPrograms, Section
from ig_worker.explain.problems import Problem, scalar
from ig_worker.explain.product import ROUNDING, STRAIGHT, Float64
from ig_worker.explain.refine import HALF_NODES, Halve, Panel, Retry, refinement
from ig_worker.models.network import SplitNetwork


@dataclass
class _Path:
    """One problem on its way."""

    ends: PathEnds
    z: dict[float, Float32]  # z at the ends of panels, by α
    f: dict[float, float]  # F there
    spent: float = ENDS
    planned: float = ENDS  # the same without what a lack of memory costs: decisions must not depend on the machine
    panels: list[Panel] = field(default_factory=list)
    hidden: list[Float32] = field(default_factory=list)  # of each panel
    limited: bool = False

    @classmethod
    def of(cls, ends: PathEnds) -> _Path:
        return cls(ends, z={0.0: ends.z0, 1.0: ends.z1}, f={0.0: ends.f0, 1.0: ends.f1})

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
        max_evaluations: of one text, the forward pass at its end included.
        shape: how batches are cut.
        keep_hidden: also give the attributions of every hidden unit.
        programs: of the same network and `keep_hidden`, which need not be traced again.
        calibration: of the network's paths.
        lanes: groups of texts that are worked on at a time; how many does not change a bit of any result.
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
        lanes: int = 1,
    ) -> None:
        self._shape = shape or BatchShape()
        self._programs = (
            programs.shared(self._shape) if programs else PathPrograms(network, self._shape, keep_hidden=keep_hidden)
        )
        stop, every = Event(), [self._programs, *(self._programs.beside() for _ in range(lanes - 1))]
        self._lanes = Lanes(
            [_Lane(own, tolerance, max_evaluations, calibration, keep_hidden, stop) for own in every], stop
        )

    @property
    def programs(self) -> PathPrograms:
        """For another engine of the same network to share."""
        return self._programs

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        """Explain problems; results come in their order."""
        results: dict[int, Explanation] = {}
        groups = group_by_length([problem.tokens for problem in problems], self._shape)
        every = [([problems[i] for i in group.members], group) for group in groups]
        for group, found in zip(groups, self._lanes.map(_Lane.explain, every), strict=True):
            results.update(zip(group.members, found, strict=True))
        return [results[i] for i in range(len(problems))]


class _Lane:
    """Explains a group of texts at a time, by programs that no other lane uses."""

    def __init__(
        self,
        programs: PathPrograms,
        tolerance: float,
        most: int,
        calibration: Calibration,
        keep_hidden: bool,
        stop: Event,
    ) -> None:
        self._programs, self._tolerance, self._most = programs, tolerance, most
        self._calibration, self._keep_hidden, self._stop = calibration, keep_hidden, stop

    def explain(self, texts: tuple[Sequence[Problem], Group]) -> list[Explanation]:
        """Explain a group's problems; results come in their order."""
        problems, group = texts
        paths = [_Path.of(ends) for ends in open_paths(self._programs, problems, group.length)]
        self._run(paths, group)
        return [self._result(path) for path in paths]

    def _run(self, paths: list[_Path], group: Group) -> None:
        most = int(self._most - ENDS)
        first = [min(self._calibration.first(path.ends.shown, self._tolerance), most) for path in paths]
        todo = [_Todo(i, 0.0, 1.0, n, None) for i, n in enumerate(first)]
        while todo:
            if self._stop.is_set():
                raise StoppedError
            self._integrate(paths, todo, group)
            todo = self._next(paths, sorted({item.path for item in todo}))

    def _integrate(self, paths: list[_Path], todo: list[_Todo], group: Group) -> None:
        """Integrate panels, those with equally many nodes together."""
        order = sorted(todo, key=lambda item: (item.n, item.whole, item.path, item.low))
        for (n, whole), waiting in groupby(order, key=lambda item: (item.n, item.whole)):
            items = list(waiting)
            sections = [self._section(paths[item.path], item) for item in items]
            tokens = [paths[item.path].ends.problem.tokens for item in items]
            spread = self._calibration.spread if whole else STRAIGHT
            found = integrals(self._programs, sections, n, spread, group, tokens)
            for item, integral in zip(items, found, strict=True):
                self._enter(paths[item.path], item, integral)

    def _section(self, path: _Path, item: _Todo) -> Section:
        return Section(item.path, path.ends.target, item.low, item.high, path.z[item.low], path.z[item.high])

    def _enter(self, path: _Path, item: _Todo, found: Integral) -> None:
        change = path.f[item.high] - path.f[item.low]
        panel = Panel(item.low, item.high, item.n, found.values, found.series, float(found.values.sum()) - change)
        if item.whole:
            norm = max(float(np.abs(found.values).sum()), FLOOR)
            known, again = found.known(path.ends.shown, item.n, change), item.replaces is not None
            panel.bound = norm * self._calibration.bound(known, self._tolerance, again=again)
            panel.written = norm * self._calibration.estimate(known, self._tolerance)
        path.spent += found.cost
        path.planned += item.n
        hidden = [] if found.hidden is None else [found.hidden]
        if item.replaces is None:
            path.panels.append(panel)
            path.hidden += hidden
        else:
            before = path.panels[item.replaces].values
            panel.difference = float(np.abs(found.values - before).sum() + found.grid)
            path.panels[item.replaces] = panel
            path.hidden[item.replaces : item.replaces + 1] = hidden

    def _next(self, paths: list[_Path], touched: list[int]) -> list[_Todo]:
        todo: list[_Todo] = []
        cuts: list[tuple[int, int]] = []
        for i in touched:
            path = paths[i]
            if path.error <= self._tolerance:
                continue
            if not np.isfinite(path.error):  # nothing is gained by more of it
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
            path.z[middle], path.f[middle] = vector, scalar(at, path.ends.target)
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
            probabilities=path.ends.at_input.astype(np.float32),
            target=path.ends.target,
            target_probability=path.f[1.0],
            baseline_probability=path.f[0.0],
            attributions=attributions,
            delta=float(attributions.sum(dtype=np.float64) - change),
            # What is done is within the tolerance as surely as was promised, whatever else is said of it.
            error_estimate=path.estimate if path.limited else min(path.estimate, self._tolerance),
            evaluations=path.spent,
            status=STATUS_LIMIT if path.limited else STATUS_CONVERGED,
            **extra,
        )
