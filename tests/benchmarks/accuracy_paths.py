"""F and its integrand anywhere on the paths of texts, for the procedures of `accuracy_rules`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.problems import Problem, batch
from ig_worker.models.inputs import ModelInput
from tests.benchmarks.accuracy_rules import Answer, Ask, Outcome, Procedure

BATCH_TOKENS = 2048


class Paths:
    """F and its integrand per token at any points of the paths of one group of texts; nothing is computed twice."""

    def __init__(self, network: Any) -> None:
        from ig_worker.models.runtime import tf

        self._tf, self._network = tf, network
        function = {"autograph": False, "reduce_retracing": True}
        tokens = tf.TensorSpec([None, None], tf.int32)
        self._ends = tf.function(
            self._ends_program, [ModelInput.every(tokens), tokens, tf.TensorSpec([None], tf.int32)], autograph=False
        )
        self._gradients = tf.function(self._gradient_program, **function)
        self._forward = tf.function(self._forward_program, **function)

    def open(self, problems: Sequence[Problem], targets: npt.NDArray[np.int32], length: int) -> npt.NDArray[np.float32]:
        """Take up texts of padded `length`; returns F at their baselines and inputs, [texts, 2]."""
        text, base = self._tf.nest.map_structure(self._tf.constant, batch(problems, len(problems), length))
        starts, steps, f0, f1 = self._ends(text, base, self._tf.constant(targets))
        self._paths = (starts, steps, text.mask)
        self._targets, self._rows = targets, max(1, BATCH_TOKENS // length)
        self._f: dict[tuple[int, float], float] = {}
        self._values: dict[tuple[int, float], npt.NDArray[np.float32]] = {}
        return np.stack([f0.numpy(), f1.numpy()], axis=1)

    def answer(self, asks: Sequence[tuple[int, Ask]]) -> list[Answer]:
        """What is asked about texts, by their numbers."""
        points = [((row, float(alpha)), ask.gradient) for row, ask in asks for alpha in ask.alphas]
        for gradient in (True, False):
            known = self._values if gradient else self._f
            new = sorted({point for point, kind in points if kind is gradient and point not in known})
            for part in (new[i : i + self._rows] for i in range(0, len(new), self._rows)):
                self._evaluate(part, gradient)
        return [
            Answer(
                f=np.array([self._f[row, float(alpha)] for alpha in ask.alphas], np.float64),
                values=np.array([self._values[row, float(alpha)] for alpha in ask.alphas], np.float64)
                if ask.gradient
                else None,
            )
            for row, ask in asks
        ]

    def _evaluate(self, points: Sequence[tuple[int, float]], gradient: bool) -> None:
        rows = np.array([row for row, _ in points], np.int32)
        alphas = np.array([alpha for _, alpha in points], np.float32)
        program = self._gradients if gradient else self._forward
        found = program(*self._paths, *map(self._tf.constant, (rows, alphas, self._targets[rows])))
        f, *values = (tensor.numpy() for tensor in found)
        self._f.update(zip(points, map(float, f), strict=True))
        if gradient:
            self._values.update(zip(points, values[0], strict=True))

    def _ends_program(self, text: ModelInput, base: Any, target: Any) -> tuple[Any, ...]:
        network, mask = self._network, text.mask
        at_input, at_baseline = (network.project(network.below(text._replace(ids=ids))) for ids in (text.ids, base))
        f1, f0 = (self._chosen(parts, mask, target) for parts in (at_input, at_baseline))
        return list(at_baseline), [b - a for a, b in zip(at_baseline, at_input, strict=True)], f0, f1

    def _chosen(self, parts: Any, mask: Any, target: Any) -> Any:
        found = self._network.readout(self._network.encode(parts, mask))
        return self._tf.gather(found, target, axis=1, batch_dims=1)

    def _points(self, starts: Any, steps: Any, rows: Any, alpha: Any) -> tuple[list[Any], list[Any]]:
        ahead = [self._tf.gather(step, rows) for step in steps]
        pairs = zip(starts, ahead, strict=True)
        return ahead, [self._tf.gather(start, rows) + alpha[:, None, None] * step for start, step in pairs]

    def _forward_program(self, starts: Any, steps: Any, mask: Any, rows: Any, alpha: Any, target: Any) -> tuple[Any]:
        _, points = self._points(starts, steps, rows, alpha)
        return (self._chosen(points, self._tf.gather(mask, rows), target),)

    def _gradient_program(
        self, starts: Any, steps: Any, mask: Any, rows: Any, alpha: Any, target: Any
    ) -> tuple[Any, Any]:
        tf = self._tf
        ahead, points = self._points(starts, steps, rows, alpha)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            f = self._chosen(points, tf.gather(mask, rows), target)
        products = zip(tape.gradient(f, points), ahead, strict=True)
        return f, tf.add_n([tf.reduce_sum(gradient * step, axis=-1) for gradient, step in products])


def together(procedures: Sequence[Procedure], paths: Paths) -> list[dict[float, Outcome]]:
    """Run one procedure for each text of a group side by side."""
    found: list[dict[float, Outcome]] = [{} for _ in procedures]
    waiting: list[tuple[int, Ask]] = [(row, next(procedure)) for row, procedure in enumerate(procedures)]
    while waiting:
        answers, asked, waiting = paths.answer(waiting), waiting, []
        for (row, _), answer in zip(asked, answers, strict=True):
            try:
                waiting.append((row, procedures[row].send(answer)))
            except StopIteration as stop:
                found[row] = stop.value
    return found
