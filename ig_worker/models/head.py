"""A feed-forward head on all token positions of an encoder, as in alibi's 2021 tutorial, and the classifier of both.

The head flattens the encoder's last hidden state, float32 [batch, length, hidden], and applies dense → ReLU → dropout →
dense. It reads padding positions too, so every text has exactly `length` positions. On disk: the encoder as
save_pretrained writes it, the head in ``head.safetensors``, its sizes in config.json under ``ig_worker_head``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ig_worker.models.layers import HEAD_KEY, FlattenHead
from ig_worker.models.network_weights import HEAD_WEIGHTS
from ig_worker.models.runtime import tf

_TENSORS = ("hidden/kernel", "hidden/bias", "logits/kernel", "logits/bias")


def build_head(sizes: FlattenHead, width: int, classes: int) -> Any:
    """The head as a Keras model from float32 [batch, length, width] to logits, float32 [batch, classes]."""
    return tf.keras.Sequential(
        [
            tf.keras.layers.InputLayer(input_shape=(sizes.length, width)),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(sizes.hidden, activation="relu", name="head_hidden"),
            tf.keras.layers.Dropout(sizes.dropout),
            tf.keras.layers.Dense(classes, name="head_logits"),
        ]
    )


class HeadClassifier(tf.keras.Model):
    """Encoder and head together; called like transformers' sequence classifiers.

    Args:
        encoder: a TFBertModel or TFDistilBertModel.
        head: what `build_head` makes.
        length: positions that the head reads.
    """

    def __init__(self, encoder: Any, head: Any, length: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.length = length

    def call(self, input_ids: Any, attention_mask: Any = None, training: bool = False, **further: Any) -> Any:
        """An object with `logits`, as transformers' classifiers return; `further` goes to the encoder."""
        # The encoder is frozen: its dropout stays off even while the head is trained.
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, training=False, **further)
        states = output.last_hidden_state
        short = tf.maximum(self.length - tf.shape(states)[1], 0)
        states = tf.pad(states, [[0, 0], [0, short], [0, 0]])[:, : self.length]
        return SimpleNamespace(logits=self.head(states, training=training))


def save_head(directory: Path, encoder: Any, head: Any, sizes: FlattenHead, labels: tuple[str, ...]) -> None:
    """Write encoder and head to `directory`."""
    from safetensors.numpy import save_file

    encoder.config.id2label = dict(enumerate(labels))
    encoder.config.label2id = {name: i for i, name in enumerate(labels)}
    encoder.save_pretrained(directory, safe_serialization=True)
    path = directory / "config.json"
    config = json.loads(path.read_text()) | {HEAD_KEY: sizes.as_json()}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    values = {name: np.ascontiguousarray(weight) for name, weight in zip(_TENSORS, head.get_weights(), strict=True)}
    save_file(values, directory / HEAD_WEIGHTS)


def head_classifier(encoder: Any, values: Mapping[str, Any], sizes: FlattenHead, width: int, logits: int) -> Any:
    """The classifier of an encoder and the head whose weights, by their names in the file, are `values`."""
    head = build_head(sizes, width, logits)
    head.set_weights([values[name] for name in _TENSORS])
    encoder.trainable = False
    return HeadClassifier(encoder, head, sizes.length)
