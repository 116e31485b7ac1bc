"""The truth in float64: the network's own pure functions with their weights cast once, and a rule's plain sum.

What a test may ask of float32 follows from it: to be no further from the truth than alibi is, times two, plus rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import relative_l1
from ig_worker.explain.problems import Problem, batch
from ig_worker.explain.rules import Rule
from ig_worker.explain.targets import Scalar
from ig_worker.models.inputs import ModelInput

if TYPE_CHECKING:
    from ig_worker.models.network import SplitNetwork

Float64 = npt.NDArray[np.float64]

# What float32 (a unit of 6e-8) costs in the attributions of networks of a few blocks, as relative L1: logits of 10 and
# more are off by some units, and so is their exponential. Measured: at most 1.3e-5.
ROUNDING = 3e-5
# Of a probability, and so of F(x) − F(x'): a unit, through logits of 10 and more. Measured: 1.1e-6.
ROUNDING_OF_PROBABILITY = 5e-6


@dataclass(frozen=True)
class Truth:
    """Integrated gradients of one problem at a rule, in float64."""

    probabilities: Float64  # [classes], at the input
    baseline_probabilities: Float64  # [classes]
    attributions: Float64  # [tokens]
    hidden: Float64  # [tokens, hidden]
    scalar: Scalar

    @property
    def target(self) -> int:
        return self.scalar.target

    @property
    def delta(self) -> float:
        change = self.probabilities - self.baseline_probabilities
        return float(self.attributions.sum() - self.scalar.weights(len(change)) @ change)


def true_network(classifier: Any, layer: str) -> SplitNetwork:
    """A classifier cut at `layer`, in float64."""
    from ig_worker.models.layers import layer_depth
    from ig_worker.models.network import split
    from ig_worker.models.runtime import tf

    weights = {name: tf.cast(value, tf.float64) for name, value in classifier.weights.items()}
    return split(weights, classifier.shape, layer_depth(layer, classifier.shape.blocks))


class TruthEngine:
    """Integrated gradients of a classifier cut at `layer`, in float64."""

    def __init__(self, classifier: Any, layer: str) -> None:
        from ig_worker.models.runtime import tf

        network = true_network(classifier, layer)
        ids, points = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None, None], tf.float64)

        def ends(text: ModelInput, base: Any) -> tuple[Any, ...]:
            h, h0 = network.below(text), network.below(text._replace(ids=base))
            return h, h0, network.above(h, text.mask), network.above(h0, text.mask)

        def slopes(points: Any, mask: Any, weights: Any) -> Any:
            points = tf.ensure_shape(points, [None, None, classifier.shape.hidden])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(points)
                outputs = network.above(points, mask)
            return tape.gradient(outputs, points, output_gradients=tf.ones_like(outputs) * weights)

        self._ends = tf.function(ends, [ModelInput.every(ids), ids], autograph=False)
        self._slopes = tf.function(slopes, [points, ids, tf.TensorSpec([None], tf.float64)], autograph=False)

    def explain(self, rule: Rule, problems: Sequence[Problem], targets: Iterable[int | Scalar]) -> list[Truth]:
        """The truth of each problem for its class, or its scalar, in `targets`."""
        scalars = [one if isinstance(one, Scalar) else Scalar(one) for one in targets]
        return [self._explain(rule, *pair) for pair in zip(problems, scalars, strict=True)]

    def _explain(self, rule: Rule, problem: Problem, scalar: Scalar) -> Truth:
        text, base = batch([problem], 1, problem.tokens)
        h, h0, at_input, at_baseline = (tensor.numpy() for tensor in self._ends(text, base))
        points = h0 + rule.nodes[:, None, None] * (h - h0)
        gradient = self._slopes(
            points, np.repeat(text.mask, len(points), axis=0), scalar.weights(at_input.shape[1])
        ).numpy()
        hidden = (h - h0)[0] * np.einsum("s,std->td", rule.weights, gradient)
        return Truth(at_input[0], at_baseline[0], hidden.sum(axis=1), hidden, scalar)


def assert_no_further(ours: npt.ArrayLike, theirs: npt.ArrayLike, truth: npt.ArrayLike) -> None:
    """Attributions are no further from the truth than alibi's, times two, plus rounding."""
    assert relative_l1(ours, truth) <= 2 * relative_l1(theirs, truth) + ROUNDING
