"""The fused engine: integrated gradients at fixed rules, as one stream of full, fixed-shape batches.

Evaluations of many problems of one padded length share a batch. The device keeps the two ends of every path, makes
the points between them, differentiates, and gives back one number per token, so that memory depends neither on the
number of nodes nor on the number of problems.

    a[i] = Σ_d (h[i,d] − h'[i,d]) · Σ_s w_s ∂F/∂h[i,d] at h' + α_s (h − h')      (Sundararajan et al. 2017)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import Explanation, Float32, Int32
from ig_worker.explain.memory import Memory
from ig_worker.explain.packing import BatchShape, evaluation_batches, group_by_length
from ig_worker.explain.problems import Problem, at_fixed_rule, batch, chosen_classes, scalars
from ig_worker.explain.rules import Rule
from ig_worker.models.inputs import ModelInput
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import tf


class FusedEngine:
    """Integrated gradients of a split network with a fixed rule.

    The path is in float32; the weighted sum over nodes in float64, then float32, as alibi does.

    Args:
        network: the classifier, cut at the layer.
        rule: nodes and weights.
        shape: how batches are cut.
        keep_hidden: also give the attributions of every hidden unit; they come from the device unsummed.
    """

    def __init__(
        self, network: SplitNetwork, rule: Rule, shape: BatchShape | None = None, *, keep_hidden: bool = False
    ) -> None:
        self._keep_hidden = keep_hidden
        self._network = network
        self._rule = rule
        self._shape = shape or BatchShape()
        self._memory = Memory()
        self._compiled: dict[tuple[int, int], tuple[Any, Any]] = {}  # programs by rows and padded length

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        """Explain problems; results come in their order."""
        results: list[Explanation | None] = [None] * len(problems)
        for group in group_by_length([problem.tokens for problem in problems], self._shape):
            members = [problems[i] for i in group.members]
            found = self._memory.fit(partial(self._explain_members, members, group.length), group.rows, group.length)
            for position, result in zip(group.members, found, strict=True):
                results[position] = result
        return [result for result in results if result is not None]

    def _explain_members(self, problems: Sequence[Problem], length: int, rows: int) -> list[Explanation]:
        """Explain problems of one padded length, `rows` of them at a time and in batches of as many evaluations."""
        parts = (problems[i : i + rows] for i in range(0, len(problems), rows))
        return [found for part in parts for found in self._explain_group(part, length, rows)]

    def _explain_group(self, problems: Sequence[Problem], length: int, rows: int) -> list[Explanation]:
        text, base = tf.nest.map_structure(tf.constant, batch(problems, rows, length))
        ends, contributions = self._programs(rows, length)
        starts, steps, at_input, at_baseline = ends(text, base)
        at_input, at_baseline = at_input.numpy(), at_baseline.numpy()
        targets = chosen_classes(problems, at_input)
        sums = self._integrate(
            rows, targets, lambda *part: contributions(starts, steps, text.mask, *map(tf.constant, part)).numpy()
        )
        return at_fixed_rule(problems, targets, at_input, at_baseline, sums, len(self._rule.nodes))

    def _integrate(
        self, rows: int, targets: Int32, contributions: Callable[[Int32, Int32, Float32], Float32]
    ) -> npt.NDArray[np.float64]:
        """Σ_s w_s Σ_d (h − h') ∂F/∂h, float64 [problems, tokens]; not summed over d where that is kept."""
        alphas = self._rule.nodes.astype(np.float32)
        sums: npt.NDArray[np.float64] | None = None
        for part in evaluation_batches(len(targets), len(alphas), rows):
            values = contributions(targets[part.problem], part.problem, alphas[part.node])[: part.used]
            if sums is None:
                sums = np.zeros((len(targets), *values.shape[1:]))
            weights = self._rule.weights[part.node[: part.used]].reshape(-1, *[1] * (values.ndim - 1))
            np.add.at(sums, part.problem[: part.used], weights * values)
        assert sums is not None  # a group has a member and a rule has a node
        return sums

    def _programs(self, rows: int, length: int) -> tuple[Any, Any]:
        """The programs `_ends` and `_contributions` for batches of texts of padded `length`, traced once each."""
        if (rows, length) not in self._compiled:
            tokens = tf.TensorSpec([rows, length], tf.int32)
            ends = tf.function(self._ends, autograph=False).get_concrete_function(ModelInput.every(tokens), tokens)
            parts = [tf.TensorSpec(part.shape, tf.float32) for part in ends.structured_outputs[0]]
            row, alpha = tf.TensorSpec([rows], tf.int32), tf.TensorSpec([rows], tf.float32)
            contributions = tf.function(self._contributions, autograph=False)
            self._compiled[rows, length] = (
                ends,
                contributions.get_concrete_function(parts, parts, tokens, row, row, alpha),
            )
        return self._compiled[rows, length]

    def _ends(self, text: ModelInput, base: Any) -> tuple[Any, Any, Any, Any]:
        """Where the paths start, how far they go, and the class probabilities at both ends."""
        network, mask = self._network, text.mask
        inputs, baselines = network.below(text), network.below(text._replace(ids=base))
        at_input, at_baseline = network.project(inputs), network.project(baselines)
        steps = [b - a for a, b in zip(at_baseline, at_input, strict=True)]
        if self._keep_hidden:  # then the gradient of h itself is wanted
            at_baseline, steps = at_baseline[:1], steps[:1]
        return (
            list(at_baseline),
            steps,
            network.readout(network.encode(at_input, mask)),
            network.above(baselines, mask),
        )

    def _contributions(self, starts: Any, steps: Any, mask: Any, target: Any, problem: Any, alpha: Any) -> Any:
        """Σ_d (h − h') ∂F/∂h at one point of each path, float32 [rows, tokens], or unsummed with the hidden axis.

        The layer's output and the next block's projections of it are affine in α. So none of their products is computed
        at a node, and by the chain rule each gives its share of the sum, its own step times its own gradient.
        """
        ahead = [tf.gather(step, problem) for step in steps]
        points = [
            tf.gather(start, problem) + alpha[:, None, None] * step for start, step in zip(starts, ahead, strict=True)
        ]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            parts = self._network.project(points[0]) if self._keep_hidden else points
            probabilities = self._network.readout(self._network.encode(parts, tf.gather(mask, problem)))
            chosen = scalars(probabilities, target)
        gradients = tape.gradient(chosen, points)
        if self._keep_hidden:
            return gradients[0] * ahead[0]
        return tf.add_n([tf.reduce_sum(g * step, axis=-1) for g, step in zip(gradients, ahead, strict=True)])
