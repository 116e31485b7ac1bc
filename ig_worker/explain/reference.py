"""The reference engine: alibi's IntegratedGradients, called as its documentation does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ig_worker.explain.explanation import Explanation
from ig_worker.explain.packing import BatchShape, Group, group_by_length
from ig_worker.explain.problems import Problem, at_fixed_rule, batch, chosen
from ig_worker.explain.targets import weighted, weights_of
from ig_worker.models import network
from ig_worker.models.classifier import Classifier
from ig_worker.models.inputs import ModelInput
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
        shape: how texts are grouped; alibi holds the whole path of a group in memory.
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
            Scalars(self._model),
            layer=lambda model: model.network.layer(layer),
            method=method,
            n_steps=n_steps,
            internal_batch_size=internal_batch_size,
        )
        # alibi's trapezoid weights sum to (n - 1) / n.
        self._scale = n_steps / (n_steps - 1) if method == "riemann_trapezoid" else 1.0
        self._nodes = n_steps
        self._keep_hidden = keep_hidden
        self._shape = shape or BatchShape(batch_tokens=1024, longest=classifier.shape.longest)

    def explain(self, problems: Sequence[Problem]) -> list[Explanation]:
        """Explain problems; results come in their order."""
        results: dict[int, Explanation] = {}
        for group in group_by_length([problem.tokens for problem in problems], self._shape):
            members = [problems[i] for i in group.members]
            results.update(zip(group.members, self._explain_group(group, members), strict=True))
        return [results[i] for i in range(len(problems))]

    def _explain_group(self, group: Group, problems: list[Problem]) -> list[Explanation]:
        # Texts of a group are padded to one length and masked there, which is how alibi's tutorials batch them.
        # All but the ids is handed on as it is, and so the same at the baseline and on the way.
        text, base = batch(problems, len(problems), group.length)
        ids, kwargs = text.ids, {name: tf.constant(value) for name, value in text._asdict().items() if name != "ids"}
        at_input = self._model(ids, **kwargs).numpy()
        at_baseline = self._model(base, **kwargs).numpy()
        scalars = chosen(problems, at_input)
        weights = tf.constant(weights_of(scalars, at_input.shape[1]))
        ones = np.ones(len(problems), np.int32)  # of a lone output alibi takes class 1 as it is; without, it fails
        explained = self._alibi.explain(ids, forward_kwargs={**kwargs, "weights": weights}, baselines=base, target=ones)
        sums = np.asarray(explained.attributions[0]) * self._scale  # [problems, tokens, hidden]
        if not self._keep_hidden:
            sums = sums.sum(axis=2)
        each = zip(problems, scalars, at_input, at_baseline, sums, strict=True)
        return [at_fixed_rule(*one, self._nodes + 1.0) for one in each]  # and both ends


class Scalars(tf.keras.Model):
    """What is explained of each text, float32 [texts, 1], of a Keras model `network` that gives outputs.

    Each text has weights of its own, float32 [texts, classes]: what alibi takes along for each text and all the way.
    """

    def __init__(self, network: tf.keras.Model) -> None:
        super().__init__()
        self.network = network

    @property
    def output_shape(self) -> tuple[None, int]:
        """What alibi asks for: Keras knows none of a model that batches of several sizes have gone through."""
        return None, 1

    def call(self, ids: Any, weights: Any, training: bool = False, **further: Any) -> Any:
        return weighted(self.network(ids, **further, training=training), weights)[:, None]


class _Layer(tf.keras.layers.Layer):
    """A pure function as a Keras layer, in place of whose output alibi puts its own numbers."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def call(self, *inputs: Any) -> Any:
        return self._function(*inputs)


class _KerasShell(tf.keras.Model):
    """The functions of `models.network` as a Keras model, of which alibi explains `Scalars`: it gives probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        w, shape = classifier.weights, classifier.shape
        self.embeddings = _Layer(lambda *fields: network.embed(w, shape, ModelInput(*fields)))
        self.blocks = [_Layer(partial(network.block, w, shape, k)) for k in range(shape.blocks)]
        self._surroundings = partial(network.surroundings, w, shape)
        self._logits = lambda h, mask: network.logits(w, shape, network.head_input(w, shape, h, mask))

    def layer(self, name: str) -> _Layer:
        """The layer that `name` says: ``embeddings`` or ``block:K``."""
        return [self.embeddings, *self.blocks][layer_depth(name, len(self.blocks))]

    def call(self, ids: Any, mask: Any, types: Any, positions: Any, training: bool = False) -> Any:
        h, around = self.embeddings(ids, mask, types, positions), self._surroundings(mask)
        for block in self.blocks:
            h = block(h, around)
        logits = self._logits(h, mask)
        # Not network.probabilities: alibi's users have the plain ones.
        if logits.shape[-1] == 1:
            return tf.concat([tf.nn.sigmoid(-logits), tf.nn.sigmoid(logits)], axis=-1)
        return tf.nn.softmax(logits, axis=-1)
