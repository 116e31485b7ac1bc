"""A text classifier: network, weights and tokenizer, loaded from a directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.errors import ModelError
from ig_worker.models import network
from ig_worker.models.agreement import require_agreement_once
from ig_worker.models.encoders import counting_of
from ig_worker.models.files import ModelFiles
from ig_worker.models.inputs import Counting
from ig_worker.models.layers import NetworkShape, Weights, layer_depth
from ig_worker.models.network import SplitNetwork
from ig_worker.models.network_weights import classifier_values
from ig_worker.models.runtime import tf
from ig_worker.models.tokenize import load_tokenizer
from ig_worker.models.weights import with_shared

# Without these, a text does not reach the classes. Disks and downloads that were cut off leave zeros.
_DECISIVE = ("embeddings/word", "head/hidden/kernel", "head/logits/kernel")


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier: its sizes, its weights for the functions of `models.network`, and its tokenizer."""

    shape: NetworkShape
    weights: Weights
    tokenizer: Any

    @property
    def counting(self) -> Counting:
        """How the network counts the positions of a text's tokens."""
        return counting_of(self.shape)

    def split(self, layer: str, precision: str = "float32") -> SplitNetwork:
        """The network cut behind `layer`: ``embeddings`` or ``block:K``.

        `precision` ``bfloat16`` is that of matrix products behind the layer; ``tf32`` is up to `runtime.configure`.
        """
        dtype = tf.bfloat16 if precision == "bfloat16" else None
        return network.split(self.weights, self.shape, layer_depth(layer, self.shape.blocks), dtype)


def load_classifier(files: ModelFiles) -> Classifier:
    """Load network and tokenizer of a model directory.

    Raises:
        ModelError: files that do not belong together or cannot be read, or a network of which the functions of
            `ig_worker.models.network` compute something else than transformers.
    """
    tokenizer = load_tokenizer(files.directory, files.shape.vocabulary)
    weights = as_variables(classifier_values(files.name, Path(files.directory), files.shape))
    _refuse_unsound(files.name, weights)
    weights = with_shared(weights, files.shape)
    require_agreement_once(files, weights)
    return Classifier(files.shape, weights, tokenizer)


def as_variables(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Weights on the device. Variables, since compiled programs hold those once, whatever captures them."""
    return {name: tf.Variable(numbers, trainable=False, name=name) for name, numbers in values}


def _refuse_unsound(name: str, weights: Mapping[str, Any]) -> None:
    """Raise ModelError where weights are no numbers, or zeros without which no text reaches the classes."""
    broken = [weight for weight, value in weights.items() if not np.isfinite(tf.reduce_sum(value).numpy())]
    if broken:
        raise ModelError(
            f"the model's weights {', '.join(broken[:3])} are not finite",
            expected="numbers in every weight",
            remedy="train or download the model again",
        )
    for weight in _DECISIVE:
        if not tf.reduce_any(weights[weight] != 0):
            raise ModelError(
                f"the weights {weight} of model {name} are all 0, so that every text would get the same classes",
                expected="a trained network",
                remedy="train, copy or download it once more",
            )
