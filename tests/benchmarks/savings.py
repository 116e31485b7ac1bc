"""Each exact saving of the fused engine taken away by itself, to see what it is worth.

All variants give the same numbers up to rounding; only the arithmetic differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

# What `take_away` knows, in the words of the table. "padding" is a setting of the engine, see `speed`.
SAVINGS = {
    "rows": "last block for [CLS] only",
    "projections": "first block's queries, keys and values from the path's ends",
    "weights": "no gradients of weights",
}


def take_away(classifier: Any, without: Sequence[str]) -> Any:
    """The classifier cut at the embeddings, without the savings that are named."""
    network = classifier.split("embeddings")
    if "rows" in without:
        network = _with_all_rows(classifier, network)
    if "projections" in without:
        network = _with_projections_at_every_node(network)
    if "weights" in without:
        _take_weight_gradients(list(classifier.weights.values()))
    return network


def _with_all_rows(classifier: Any, network: Any) -> Any:
    """All rows of the last block, of which the head then reads the first."""
    from ig_worker.models.network import blocks, surroundings
    from ig_worker.models.post_norm import attend
    from ig_worker.models.runtime import tf

    w, shape = classifier.weights, classifier.shape

    def encode(parts: Any, mask: Any) -> Any:
        around = surroundings(w, shape, mask)
        h = attend(w, shape, 0, parts, around)
        h = blocks(w, shape, h, around, 1, shape.blocks)
        return tf.matmul(h[:, 0], w["head/hidden/kernel"]) + w["head/hidden/bias"]

    return dataclasses.replace(network, encode=encode)


def _with_projections_at_every_node(network: Any) -> Any:
    return dataclasses.replace(
        network, project=lambda h: (h,), encode=lambda parts, mask: network.encode(network.project(parts[0]), mask)
    )


def _take_weight_gradients(weights: Sequence[Any]) -> None:
    """Let every gradient tape of this process also give the gradients of the weights.

    Something must read them, or the graph's optimiser would leave them out again: one element of each goes, times
    1e-30, into the result.
    """
    from ig_worker.models.runtime import tf

    class Tape(tf.GradientTape):
        def __init__(self, **_: Any) -> None:
            super().__init__(watch_accessed_variables=True)

        def gradient(self, target: Any, sources: Any, **options: Any) -> Any:
            wanted, of_weights = super().gradient(target, [sources, list(weights)], **options)
            dense = [gradient for gradient in of_weights if isinstance(gradient, tf.Tensor)]
            read = 1e-30 * tf.add_n([tf.reshape(gradient, [-1])[0] for gradient in dense])
            return [gradient + read for gradient in wanted]

    tf.GradientTape = Tape
