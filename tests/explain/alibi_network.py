"""alibi over transformers' own network, as its tutorials have it. `AlibiEngine` is alibi over our functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ig_worker.explain.reference import AlibiEngine, Scalars
from ig_worker.models.classifier import Classifier
from ig_worker.models.files import find_model
from ig_worker.models.layers import layer_depth
from ig_worker.models.pretrained import reference_network
from ig_worker.models.runtime import tf


class _Probabilities(tf.keras.Model):
    """alibi explains a Keras model that gives probabilities; transformers' gives an object with logits."""

    def __init__(self, transformer: Any, counted: bool) -> None:
        super().__init__()
        self.transformer = transformer
        self._counted = counted  # whether it counts positions by the ids, which a baseline must not change

    def call(self, ids: Any, mask: Any, types: Any, positions: Any, training: bool = False) -> Any:
        further = {"position_ids": positions} if self._counted else {}
        logits = self.transformer(input_ids=ids, attention_mask=mask, training=training, **further).logits
        if logits.shape[-1] == 1:
            return tf.concat([tf.nn.sigmoid(-logits), tf.nn.sigmoid(logits)], axis=-1)
        return tf.nn.softmax(logits, axis=-1)


class AlibiOverTransformers(AlibiEngine):
    """The same calls of alibi, on the network that transformers makes of the same files."""

    def __init__(self, directory: Path, classifier: Classifier, layer: str, method: str, n_steps: int) -> None:
        from alibi.explainers import IntegratedGradients

        super().__init__(classifier, layer, method, n_steps)
        network = reference_network(find_model(str(directory)), classifier.weights)
        owner = network if classifier.shape.head is None else network.encoder
        main = getattr(owner, owner.base_model_prefix)
        stack = main.encoder if hasattr(main, "encoder") else main.transformer
        projection = getattr(main, "embeddings_project", None) or getattr(stack, "embedding_hidden_mapping_in", None)
        shared = hasattr(stack, "albert_layer_groups")  # the same Keras layer for each block: alibi cannot take one
        theirs = [projection or main.embeddings, *([] if shared else stack.layer)]
        theirs = theirs[layer_depth(layer, classifier.shape.blocks)]
        self._model = _Probabilities(network, classifier.shape.unused_positions > 0)
        self._alibi = IntegratedGradients(
            Scalars(self._model), layer=lambda _: theirs, method=method, n_steps=n_steps, internal_batch_size=100
        )
