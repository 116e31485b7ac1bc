"""The fused engine: integrated gradients at fixed rules, as one stream of full, fixed-shape batches.

Evaluations of many problems of one padded length share a batch. The device keeps the two ends of every path, makes
the points between them, differentiates, and gives back one number per token, so that memory depends neither on the
number of nodes nor on the number of problems. Problems that share a path share the forward pass at each point of it.

    a[i] = Σ_d (h[i,d] − h'[i,d]) · Σ_s w_s ∂F/∂h[i,d] at h' + α_s (h − h')      (Sundararajan et al. 2017)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import Explanation, Float32
from ig_worker.explain.memory import Memory
from ig_worker.explain.packing import Batch, BatchShape, evaluation_batches
from ig_worker.explain.path_functions import for_each
from ig_worker.explain.problems import Problem, at_fixed_rule, batch
from ig_worker.explain.rules import Rule
from ig_worker.explain.sharing import group_paths, share
from ig_worker.explain.targets import weights_of
from ig_worker.models.inputs import ModelInput
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import tf

_KEPT = 8  # targets that share a path where hidden units are kept: a batch brings so many gradients from the device


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
        # Programs by rows and padded length, and whether for several targets.
        self._ends_compiled: dict[tuple[int, int], Any] = {}
        self._compiled: dict[tuple[int, int, bool], Any] = {}

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        """Explain problems; results come in their order."""
        results: dict[int, Explanation] = {}
        for group in group_paths(problems, self._shape, _KEPT if self._keep_hidden else None):
            paths = [[problems[i] for i in path] for path in group.paths]
            found = self._memory.fit(partial(self._explain_paths, paths, group.length), group.rows, group.length)
            results.update(zip((i for path in group.paths for i in path), found, strict=True))
        return [results[i] for i in range(len(problems))]

    def _explain_paths(self, paths: Sequence[Sequence[Problem]], length: int, rows: int) -> list[Explanation]:
        """Explain the problems of paths of one padded length, `rows` at a time and in batches of as many evaluations.

        Args:
            paths: the problems of each, equally many.
        """
        parts = (paths[i : i + rows] for i in range(0, len(paths), rows))
        return [found for part in parts for found in self._explain_group(part, length, rows)]

    def _explain_group(self, paths: Sequence[Sequence[Problem]], length: int, rows: int) -> list[Explanation]:
        text, base = tf.nest.map_structure(tf.constant, batch([path[0] for path in paths], rows, length))
        targets = len(paths[0])
        ends, contributions = self._programs(rows, length, several=targets > 1)
        starts, steps, at_input, at_baseline = ends(text, base)
        at_input, at_baseline = at_input.numpy(), at_baseline.numpy()
        scalars = [[problem.target.of(at_input[row]) for problem in path] for row, path in enumerate(paths)]
        weights = np.stack(
            [weights_of(each, at_input.shape[1]) for each in scalars], axis=1
        )  # [targets, paths, classes]

        def integrate(part: Batch) -> Float32:
            w = weights[:, part.problem]
            alphas = self._rule.nodes.astype(np.float32)[part.node]
            given = map(tf.constant, (w if targets > 1 else w[0], part.problem, alphas))
            found: Float32 = contributions(starts, steps, text.mask, *given).numpy()
            return found if targets > 1 else found[None]

        sums = self._integrate(rows, len(paths), integrate)
        evaluations = share(len(self._rule.nodes), targets) + 1.0 / targets  # and both ends
        return [
            at_fixed_rule(problem, scalars[row][t], at_input[row], at_baseline[row], sums[t, row], evaluations)
            for row, path in enumerate(paths)
            for t, problem in enumerate(path)
        ]

    def _integrate(self, rows: int, paths: int, contributions: Callable[[Batch], Float32]) -> npt.NDArray[np.float64]:
        """Σ_s w_s Σ_d (h − h') ∂F/∂h, float64 [targets, paths, tokens]; not summed over d where that is kept."""
        sums: npt.NDArray[np.float64] | None = None
        for part in evaluation_batches(paths, len(self._rule.nodes), rows):
            values = contributions(part)[:, : part.used]
            if sums is None:
                sums = np.zeros((len(values), paths, *values.shape[2:]))
            weights = self._rule.weights[part.node[: part.used]].reshape(-1, *[1] * (values.ndim - 2))
            for target, of_target in zip(sums, values, strict=True):
                np.add.at(target, part.problem[: part.used], weights * of_target)
        assert sums is not None  # a group has a member and a rule has a node
        return sums

    def _programs(self, rows: int, length: int, *, several: bool = False) -> tuple[Any, Any]:
        """The programs `_ends` and `_contributions` for batches of texts of padded `length`, traced once each.

        Args:
            several: whether for several targets.
        """
        tokens = tf.TensorSpec([rows, length], tf.int32)
        if (rows, length) not in self._ends_compiled:
            ends = tf.function(self._ends, autograph=False).get_concrete_function(ModelInput.every(tokens), tokens)
            self._ends_compiled[rows, length] = ends
        ends = self._ends_compiled[rows, length]
        if (rows, length, several) not in self._compiled:
            starts, _, outputs, _ = ends.structured_outputs
            parts = [tf.TensorSpec(part.shape, tf.float32) for part in starts]
            row, alpha = tf.TensorSpec([rows], tf.int32), tf.TensorSpec([rows], tf.float32)
            weights = tf.TensorSpec([None, *outputs.shape] if several else outputs.shape, tf.float32)
            contributions = tf.function(self._contributions, autograph=False)
            self._compiled[rows, length, several] = contributions.get_concrete_function(
                parts, parts, tokens, weights, row, alpha
            )
        return ends, self._compiled[rows, length, several]

    def _ends(self, text: ModelInput, base: Any) -> tuple[Any, Any, Any, Any]:
        """Where the paths start, how far they go, and the network's outputs at both ends."""
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

    def _contributions(self, starts: Any, steps: Any, mask: Any, weights: Any, problem: Any, alpha: Any) -> Any:
        """Σ_d (h − h') ∂F/∂h at one point of each path, float32 [rows, tokens], or unsummed with the hidden axis.

        The layer's output and the next block's projections of it are affine in α. So none of their products is computed
        at a node, and by the chain rule each gives its share of the sum, its own step times its own gradient.

        Args:
            weights: of the scalar, float32 [rows, classes], or of several, [targets, rows, classes], as is then the
                result.
        """
        ahead = [tf.gather(step, problem) for step in steps]
        points = [
            tf.gather(start, problem) + alpha[:, None, None] * step for start, step in zip(starts, ahead, strict=True)
        ]
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(points)
            parts = self._network.project(points[0]) if self._keep_hidden else points
            outputs = self._network.readout(self._network.encode(parts, tf.gather(mask, problem)))

        def way_back(w: Any) -> Any:
            gradients = tape.gradient(outputs, points, output_gradients=w)
            if self._keep_hidden:
                return gradients[0] * ahead[0]
            return tf.add_n([tf.reduce_sum(g * step, axis=-1) for g, step in zip(gradients, ahead, strict=True)])

        return way_back(weights) if weights.shape.rank == 2 else for_each(way_back, weights, tf.float32)
