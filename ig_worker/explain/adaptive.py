"""The adaptive engine: product integration with as many nodes as each text needs, to a tolerance.

How many nodes a text starts with, and what bounds its error by the same evaluations, is for the `Calibration` to say:
a run's own, or what networks have in common. Where the bound is too large, a second rule gets as many nodes as are
missing; where no number will do, the path is cut in two and completeness is held on each part.

Problems that share a path share its ends, and forward passes at nodes as far as they have equally many. Each has its
own errors, its own limit, and its own second rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from threading import Event
from typing import Any

import numpy as np

from ig_worker.explain.calibration import CAUTIOUS, Calibration
from ig_worker.explain.explanation import ENDS, FLOOR, STATUS_CONVERGED, STATUS_LIMIT, Explanation
from ig_worker.explain.integrals import Integral, integrals, open_paths
from ig_worker.explain.lanes import Lanes, StoppedError
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.paths import PathPrograms
from ig_worker.explain.problems import Problem
from ig_worker.explain.product import MOST, ROUNDING, STRAIGHT
from ig_worker.explain.progress import Progress, Todo
from ig_worker.explain.refine import HALF_NODES, Halve, Panel, Retry, refinement
from ig_worker.explain.sections import Section
from ig_worker.explain.sharing import PathGroup, group_paths, nodes_together
from ig_worker.models.network import SplitNetwork


class AdaptiveEngine:
    """Integrated gradients to a tolerance.

    Args:
        network: the classifier, cut at the layer.
        tolerance: estimated relative L1 error of a text's attributions at which it is done.
        max_evaluations: of one text and one target, the forward pass at its end included, as if nothing were shared.
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
        groups = group_paths(problems, self._shape)
        every = [([problems[i] for path in group.paths for i in path], group) for group in groups]
        for group, found in zip(groups, self._lanes.map(_Lane.explain, every), strict=True):
            results.update(zip((i for path in group.paths for i in path), found, strict=True))
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

    def explain(self, texts: tuple[Sequence[Problem], PathGroup]) -> list[Explanation]:
        """Explain a group's problems; results come in their order."""
        problems, group = texts
        paths = Progress.of_all(open_paths(self._programs, problems, group.length))
        self._run(paths, group)
        return [self._result(path) for path in paths]

    def _run(self, paths: list[Progress], group: PathGroup) -> None:
        most = int(self._most - ENDS)
        first = [min(self._calibration.first(path.ends.shown, self._tolerance), most) for path in paths]
        todo = [Todo(i, path.ends.row, 0.0, 1.0, first[i], None) for i, path in enumerate(paths)]
        while todo:
            if self._stop.is_set():
                raise StoppedError
            self._integrate(paths, self._together(paths, todo), group)
            todo = self._next(paths, sorted({item.path for item in todo}))

    def _together(self, paths: list[Progress], todo: list[Todo]) -> list[Todo]:
        """The same with as many nodes as suit all that have the same panel of the same path to integrate."""
        given, place = [], attrgetter("place")
        for _, waiting in groupby(sorted(todo, key=place), key=place):
            items = list(waiting)
            left = [min(int(self._most - paths[item.path].planned), MOST) for item in items]
            limits = [max(item.n, most) if item.alone else item.n for item, most in zip(items, left, strict=True)]
            nodes = nodes_together([item.n for item in items], limits)
            given += [replace(item, n=n) for item, n in zip(items, nodes, strict=True)]
        return given

    def _integrate(self, paths: list[Progress], todo: list[Todo], group: PathGroup) -> None:
        """Integrate panels, those with equally many nodes and targets together."""
        place = attrgetter("n", "whole", "place")
        places = [list(items) for _, items in groupby(sorted(todo, key=place), key=place)]
        alike = lambda items: (items[0].n, items[0].whole, len(items))  # noqa: E731
        for (n, whole, _), same in groupby(sorted(places, key=alike), key=alike):
            batch = list(same)
            sections = [self._section(paths, items) for items in batch]
            tokens = [paths[items[0].path].ends.problem.tokens for items in batch]
            spread = self._calibration.spread if whole else STRAIGHT
            found = integrals(self._programs, sections, n, spread, group, tokens)
            for item, integral in zip((item for items in batch for item in items), found, strict=True):
                self._enter(paths[item.path], item, integral)

    def _section(self, paths: list[Progress], items: list[Todo]) -> Section:
        """Of items that have one panel of one path."""
        first, z = items[0], paths[items[0].path].z
        weights = np.stack([paths[item.path].ends.weights for item in items])
        return Section(first.row, weights, first.low, first.high, z[first.low], z[first.high])

    def _enter(self, path: Progress, item: Todo, found: Integral) -> None:
        change = path.change(item.low, item.high)
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

    def _next(self, paths: list[Progress], touched: list[int]) -> list[Todo]:
        todo: list[Todo] = []
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
                todo.append(Todo(i, path.ends.row, panel.low, panel.high, step.n, step.panel))
            elif isinstance(step, Halve):
                cuts.append((i, step.panel))
            else:
                path.limited = True
        return todo + self._cut(paths, cuts)

    def _cut(self, paths: list[Progress], cuts: list[tuple[int, int]]) -> list[Todo]:
        if not cuts:
            return []
        panels = [paths[i].panels[number] for i, number in cuts]
        middles = [(panel.low + panel.high) / 2 for panel in panels]
        self._visit([paths[i] for i, _ in cuts], middles)
        todo: list[Todo] = []
        for (i, number), panel, middle in zip(cuts, panels, middles, strict=True):
            path = paths[i]
            path.planned += 0.5
            del path.panels[number]
            del path.hidden[number : number + 1]
            todo += [
                Todo(i, path.ends.row, panel.low, middle, HALF_NODES, None),
                Todo(i, path.ends.row, middle, panel.high, HALF_NODES, None),
            ]
        return todo

    def _visit(self, paths: Sequence[Progress], alphas: Sequence[float]) -> None:
        """Encode a point of each of some paths, where another target of the text has not had it encoded already."""
        asking: dict[tuple[int, float], list[Progress]] = {}
        for path, alpha in zip(paths, alphas, strict=True):
            if alpha not in path.z:
                asking.setdefault((path.ends.row, alpha), []).append(path)
        if not asking:
            return
        z = self._programs.vectors([row for row, _ in asking], [alpha for _, alpha in asking])
        outputs = self._programs.probabilities(z)
        for ((_, alpha), sharing), vector, at in zip(asking.items(), z, outputs, strict=True):
            sharing[0].z[alpha], sharing[0].outputs[alpha] = vector, at
            for path in sharing:
                path.spent += 0.5 / len(sharing)

    def _result(self, path: Progress) -> Explanation:
        attributions = path.attributions.astype(np.float32)
        change, ends = path.change(), path.ends
        extra: dict[str, Any] = {"hidden": np.sum(path.hidden, axis=0)} if self._keep_hidden else {}
        return Explanation(
            probabilities=ends.at_input.astype(np.float32),
            target=ends.scalar.target,
            contrast=ends.scalar.contrast,
            target_probability=ends.f1,
            baseline_probability=ends.f0,
            attributions=attributions,
            delta=float(attributions.sum(dtype=np.float64) - change),
            # What is done is within the tolerance as surely as was promised, whatever else is said of it.
            error_estimate=path.estimate if path.limited else min(path.estimate, self._tolerance),
            evaluations=path.spent,
            status=STATUS_LIMIT if path.limited else STATUS_CONVERGED,
            **extra,
        )
