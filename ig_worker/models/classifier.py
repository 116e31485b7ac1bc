"""A text classifier: network, weights and tokenizer, loaded from a directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ig_worker.errors import ModelError
from ig_worker.models import network
from ig_worker.models.agreement import require_agreement
from ig_worker.models.files import ModelFiles
from ig_worker.models.layers import NetworkShape, layer_depth
from ig_worker.models.network import SplitNetwork
from ig_worker.models.pretrained import load_complete
from ig_worker.models.runtime import tf
from ig_worker.models.tokenize import load_tokenizer
from ig_worker.models.weights import named_weights

# Without these, a text does not reach the classes. Disks and downloads that were cut off leave zeros.
_DECISIVE = ("embeddings/word", "head/hidden/kernel", "head/logits/kernel")


@dataclass(frozen=True)
class Classifier:
    """A BERT or DistilBERT sequence classifier.

    `keras_model` is transformers' own network; `weights` names the same variables for the pure functions of
    `ig_worker.models.network`, so that memory holds them once.
    """

    shape: NetworkShape
    keras_model: Any
    weights: dict[str, Any]
    tokenizer: Any

    def split(self, layer: str, precision: str = "float32") -> SplitNetwork:
        """The network cut behind `layer`: ``embeddings`` or ``block:K``.

        `precision` ``bfloat16`` is that of matrix products behind the layer; ``tf32`` is up to `runtime.configure`.
        """
        dtype = tf.bfloat16 if precision == "bfloat16" else None
        return network.split(self.weights, self.shape, layer_depth(layer, self.shape.blocks), dtype)

    def keras_layer(self, layer: str) -> Any:
        """The Keras layer whose output `layer` names."""
        depth = layer_depth(layer, self.shape.blocks)
        owner = self.keras_model if self.shape.head is None else self.keras_model.encoder
        main = getattr(owner, self.shape.architecture)
        if depth == 0:
            return main.embeddings
        encoder = getattr(main, "transformer", None) or main.encoder
        return encoder.layer[depth - 1]


def load_classifier(files: ModelFiles) -> Classifier:
    """Load network and tokenizer of a model directory.

    Raises:
        ModelError: files that do not belong together or cannot be read, or a network of which the functions of
            `ig_worker.models.network` compute something else than transformers.
    """
    tokenizer = load_tokenizer(files.directory, files.shape.vocabulary)
    classifier = wrap(files.shape, load_complete(files), tokenizer)
    for name in _DECISIVE:
        if not tf.reduce_any(classifier.weights[name] != 0):
            raise ModelError(
                f"the weights {name} of model {files.name} are all 0, so that every text would get the same classes",
                expected="a trained network",
                remedy="train, copy or download it once more",
            )
    require_agreement(classifier.keras_model, classifier.weights, files.shape)
    return classifier


def wrap(shape: NetworkShape, keras_model: Any, tokenizer: Any) -> Classifier:
    """A classifier around a transformers TensorFlow network that is already in memory."""
    if not keras_model.built or not keras_model.weights:
        keras_model(tf.zeros([1, 2], tf.int32))
    weights = named_weights(shape, keras_model.weights)
    broken = [name for name, value in weights.items() if not np.isfinite(tf.reduce_sum(value).numpy())]
    if broken:
        raise ModelError(
            f"the model's weights {', '.join(broken[:3])} are not finite",
            expected="numbers in every weight",
            remedy="train or download the model again",
        )
    return Classifier(shape, keras_model, weights, tokenizer)
