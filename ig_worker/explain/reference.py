"""The reference engine: alibi's IntegratedGradients, called as its documentation does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ig_worker.explain.engine import Document, Explanation, choose_targets
from ig_worker.explain.packing import BatchShape, Group, group_by_length, stack
from ig_worker.models import network
from ig_worker.models.classifier import Classifier
from ig_worker.models.layers import layer_depth
from ig_worker.models.runtime import tf


class AlibiEngine:
    """Integrated gradients by alibi, over the same functions as the other engines, in a Keras model around them.

    Args:
        classifier: the network.
        layer: ``embeddings`` or ``block:K``.
        method: the name of a fixed rule, which alibi shares.
        n_steps: its number of nodes.
        internal_batch_size: evaluations that alibi runs at once.
        shape: how documents are grouped; alibi holds the whole path of a group in memory.
        keep_hidden: also give alibi's own (tokens, hidden) arrays.
    """

    def __init__(
        self,
        classifier: Classifier,
        layer: str,
        method: str,
        n_steps: int,
        internal_batch_size: int = 100,
        shape: BatchShape | None = None,
        *,
        keep_hidden: bool = False,
    ) -> None:
        from alibi.explainers import IntegratedGradients

        logging.getLogger("alibi").setLevel(logging.ERROR)
        self._model = _KerasShell(classifier)
        self._alibi = IntegratedGradients(
            self._model,
            layer=lambda model: model.layer(layer),
            method=method,
            n_steps=n_steps,
            internal_batch_size=internal_batch_size,
        )
        # alibi's trapezoid weights sum to (n - 1) / n.
        self._scale = n_steps / (n_steps - 1) if method == "riemann_trapezoid" else 1.0
        self._nodes = n_steps
        self._keep_hidden = keep_hidden
        self._shape = shape or BatchShape(batch_tokens=1024, longest=classifier.shape.positions)

    def explain(self, documents: Sequence[Document]) -> list[Explanation]:
        """Explain documents; results come in their order."""
        results: dict[int, Explanation] = {}
        for group in group_by_length([len(document.input_ids) for document in documents], self._shape):
            members = [documents[i] for i in group.members]
            results.update(zip(group.members, self._explain_group(group, members), strict=True))
        return [results[i] for i in range(len(documents))]

    def _explain_group(self, group: Group, documents: list[Document]) -> list[Explanation]:
        # Documents of a group are padded to one length and masked there, which is how alibi's tutorials batch them.
        rows = len(documents)
        ids = stack([document.input_ids for document in documents], rows, group.length)
        base = stack([document.baseline_ids for document in documents], rows, group.length)
        mask = stack([document.attention_mask for document in documents], rows, group.length)
        kwargs = {"attention_mask": tf.constant(mask)}
        at_input = self._model(ids, **kwargs).numpy()
        at_baseline = self._model(base, **kwargs).numpy()
        targets = choose_targets(documents, at_input)
        explained = self._alibi.explain(ids, forward_kwargs=kwargs, baselines=base, target=targets)
        sums = np.asarray(explained.attributions[0]) * self._scale  # [documents, tokens, hidden]
        if not self._keep_hidden:
            sums = sums.sum(axis=2)
        return [
            Explanation.at_fixed_rule(document, int(targets[r]), at_input[r], at_baseline[r], sums[r], self._nodes)
            for r, document in enumerate(documents)
        ]


class _Layer(tf.keras.layers.Layer):
    """A pure function as a Keras layer, in place of whose output alibi puts its own numbers."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def call(self, *inputs: Any) -> Any:
        return self._function(*inputs)


class _KerasShell(tf.keras.Model):
    """The functions of `models.network` as the Keras model that alibi asks for: it gives probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        w, shape = classifier.weights, classifier.shape
        self.embeddings = _Layer(partial(network.embed, w, shape))
        self.blocks = [_Layer(partial(network.block, w, shape, k)) for k in range(shape.blocks)]
        self._logits = lambda h: network.logits(w, shape, network.head_input(w, shape, h))

    def layer(self, name: str) -> _Layer:
        """The layer that `name` says: ``embeddings`` or ``block:K``."""
        return [self.embeddings, *self.blocks][layer_depth(name, len(self.blocks))]

    def call(self, input_ids: Any, attention_mask: Any, training: bool = False) -> Any:
        h, bias = self.embeddings(input_ids), network.attention_bias(attention_mask)
        for block in self.blocks:
            h = block(h, bias)
        logits = self._logits(h)
        # Not network.probabilities: alibi's users have the plain ones.
        if logits.shape[-1] == 1:
            return tf.concat([tf.nn.sigmoid(-logits), tf.nn.sigmoid(logits)], axis=-1)
        return tf.nn.softmax(logits, axis=-1)
