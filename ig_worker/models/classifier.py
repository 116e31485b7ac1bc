"""A text classifier: network, weights and tokenizer, loaded from a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.errors import ModelError
from ig_worker.models import network
from ig_worker.models.files import ModelFiles
from ig_worker.models.head import load_head_classifier
from ig_worker.models.layers import NetworkShape, layer_depth
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import tf
from ig_worker.models.tokenize import load_tokenizer


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

    def split(self, layer: str) -> SplitNetwork:
        """The network cut behind `layer`: ``embeddings`` or ``block:K``."""
        return network.split(self.weights, self.shape, layer_depth(layer, self.shape.blocks))

    def keras_layer(self, layer: str) -> Any:
        """The Keras layer whose output `layer` names."""
        depth = layer_depth(layer, self.shape.blocks)
        owner = self.keras_model if self.shape.head is None else self.keras_model.encoder
        main = getattr(owner, self.shape.architecture)
        if depth == 0:
            return main.embeddings
        encoder = main.transformer if self.shape.architecture == "distilbert" else main.encoder
        return encoder.layer[depth - 1]


def load_classifier(files: ModelFiles) -> Classifier:
    """Load network and tokenizer of a model directory.

    Raises:
        ModelError: files that do not belong together or cannot be read.
    """
    try:
        model = _load_network(files)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"the weights in {files.name} cannot be loaded ({type(error).__name__}: {error})",
            expected="weights of a classifier that fit config.json",
            remedy="write them again with save_pretrained",
        ) from error
    tokenizer = load_tokenizer(files.directory, files.shape.vocabulary)
    return wrap(files.shape, model, tokenizer)


def _load_network(files: ModelFiles) -> Any:
    from transformers import TFAutoModelForSequenceClassification

    shape = files.shape
    if shape.head is not None:
        return load_head_classifier(Path(files.directory), shape.head, shape.hidden, shape.logits)
    if is_pytorch(Path(files.directory)):
        return _from_pytorch(files)
    model, info = TFAutoModelForSequenceClassification.from_pretrained(
        files.directory, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    weightless = {layer.name for layer in model.layers if not layer.weights}  # such as dropout
    missing = sorted(set(info["missing_keys"]) - weightless)
    if missing:  # transformers would leave them random
        raise ModelError(
            f"the weights in {files.name} lack {', '.join(missing[:3])}",
            expected="a fine-tuned classifier, not a bare encoder",
            remedy="fine-tune it first, for instance with jobs.finetune",
        )
    return model


def is_pytorch(directory: Path) -> bool:
    """Whether the weights are PyTorch's, in safetensors."""
    from safetensors import safe_open

    path = directory / "model.safetensors"
    if not path.exists() or (directory / "tf_model.h5").exists():
        return False
    with safe_open(path, framework="np") as archive:
        return (archive.metadata() or {}).get("format") == "pt"


def _from_pytorch(files: ModelFiles) -> Any:
    """The TensorFlow network with PyTorch's weights; torch is not needed for it.

    transformers' own way iterates over an archive object that safetensors no longer lets it iterate over.
    """
    from safetensors.numpy import load_file
    from transformers import AutoConfig, TFAutoModelForSequenceClassification
    from transformers.modeling_tf_pytorch_utils import load_pytorch_state_dict_in_tf2_model

    config = AutoConfig.from_pretrained(files.directory, local_files_only=True, trust_remote_code=False)
    model = TFAutoModelForSequenceClassification.from_config(config)
    model(tf.zeros([1, 2], tf.int32))
    state = load_file(Path(files.directory) / "model.safetensors")
    return load_pytorch_state_dict_in_tf2_model(model, state, tf_inputs=False, allow_missing_keys=False)


def wrap(shape: NetworkShape, keras_model: Any, tokenizer: Any) -> Classifier:
    """A classifier around a transformers TensorFlow network that is already in memory."""
    if not keras_model.built or not keras_model.weights:
        keras_model(tf.zeros([1, 2], tf.int32))
    weights = network.named_weights(shape, keras_model.weights)
    broken = [name for name, value in weights.items() if not np.isfinite(tf.reduce_sum(value).numpy())]
    if broken:
        raise ModelError(
            f"the model's weights {', '.join(broken[:3])} are not finite",
            expected="numbers in every weight",
            remedy="train or download the model again",
        )
    return Classifier(shape, keras_model, weights, tokenizer)
