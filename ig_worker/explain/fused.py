"""The fused engine: integrated gradients at fixed rules, as one stream of full, fixed-shape batches.

Evaluations of many documents of one padded length share a batch. The device keeps the two ends of every path, makes
the points between them, differentiates, and gives back one number per token, so that memory depends neither on the
number of nodes nor on the number of documents.

    a[i] = Σ_d (h[i,d] − h'[i,d]) · Σ_s w_s ∂F/∂h[i,d] at h' + α_s (h − h')      (Sundararajan et al. 2017)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.engine import Document, Explanation, Float32, Int32, choose_targets
from ig_worker.explain.packing import BatchShape, Group, evaluation_batches, group_by_length, stack
from ig_worker.explain.rules import Rule
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
        self._compiled: dict[int, tuple[Any, Any]] = {}  # padded length -> programs of `_ends` and `_contributions`

    def explain(self, documents: Sequence[Document]) -> list[Explanation]:
        """Explain documents; results come in their order."""
        results: list[Explanation | None] = [None] * len(documents)
        for group in group_by_length([len(document.input_ids) for document in documents], self._shape):
            members = [documents[i] for i in group.members]
            for position, result in zip(group.members, self._explain_group(group, members), strict=True):
                results[position] = result
        return [result for result in results if result is not None]

    def _explain_group(self, group: Group, documents: list[Document]) -> list[Explanation]:
        ids = stack([document.input_ids for document in documents], group.rows, group.length)
        base = stack([document.baseline_ids for document in documents], group.rows, group.length)
        mask = stack([document.attention_mask for document in documents], group.rows, group.length)
        ends, contributions = self._programs(group.length)
        h1, h0, at_input, at_baseline = ends(tf.constant(ids), tf.constant(base), tf.constant(mask))
        at_input, at_baseline = at_input.numpy(), at_baseline.numpy()
        targets = choose_targets(documents, at_input)
        paths = (h0, h1, tf.constant(mask))
        sums = self._integrate(group, targets, lambda *rows: contributions(*paths, *map(tf.constant, rows)).numpy())
        return [
            Explanation.at_fixed_rule(
                document, int(targets[r]), at_input[r], at_baseline[r], sums[r], len(self._rule.nodes)
            )
            for r, document in enumerate(documents)
        ]

    def _integrate(
        self, group: Group, targets: Int32, contributions: Callable[[Int32, Int32, Float32], Float32]
    ) -> npt.NDArray[np.float64]:
        """Σ_s w_s Σ_d (h − h') ∂F/∂h, float64 [documents, tokens]; not summed over d where that is kept."""
        alphas = self._rule.nodes.astype(np.float32)
        sums: npt.NDArray[np.float64] | None = None
        for batch in evaluation_batches(len(group.members), len(alphas), group.rows):
            values = contributions(targets[batch.document], batch.document, alphas[batch.node])[: batch.used]
            if sums is None:
                sums = np.zeros((len(group.members), *values.shape[1:]))
            weights = self._rule.weights[batch.node[: batch.used]].reshape(-1, *[1] * (values.ndim - 1))
            np.add.at(sums, batch.document[: batch.used], weights * values)
        assert sums is not None  # a group has a member and a rule has a node
        return sums

    def _programs(self, length: int) -> tuple[Any, Any]:
        """The two programs for texts of padded `length`, traced once each."""
        if length not in self._compiled:
            rows = self._shape.rows(length)
            tokens = tf.TensorSpec([rows, length], tf.int32)
            ends = tf.function(self._ends, autograph=False).get_concrete_function(tokens, tokens, tokens)
            h = tf.TensorSpec(ends.structured_outputs[0].shape, tf.float32)
            row, alpha = tf.TensorSpec([rows], tf.int32), tf.TensorSpec([rows], tf.float32)
            contributions = tf.function(self._contributions, autograph=False)
            self._compiled[length] = ends, contributions.get_concrete_function(h, h, tokens, row, row, alpha)
        return self._compiled[length]

    def _ends(self, ids: Any, base: Any, mask: Any) -> tuple[Any, Any, Any, Any]:
        """Both ends of the paths and the class probabilities there."""
        h1, h0 = self._network.below(ids, mask), self._network.below(base, mask)
        return h1, h0, self._network.above(h1, mask), self._network.above(h0, mask)

    def _contributions(self, h0: Any, h1: Any, mask: Any, target: Any, document: Any, alpha: Any) -> Any:
        """Σ_d (h − h') ∂F/∂h at one point of each path, float32 [rows, tokens], or unsummed with the hidden axis."""
        start = tf.gather(h0, document)
        step = tf.gather(h1, document) - start
        h = start + alpha[:, None, None] * step
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(h)
            probabilities = self._network.above(h, tf.gather(mask, document))
            chosen = tf.gather(probabilities, target, axis=1, batch_dims=1)
        products = tape.gradient(chosen, h) * step
        return products if self._keep_hidden else tf.reduce_sum(products, axis=-1)
