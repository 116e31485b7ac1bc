"""What can be known of a network without TensorFlow: its shape, and the names of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ig_worker.errors import ModelError, UsageError

ARCHITECTURES = ("distilbert", "bert")
_LAYER = re.compile(r"block:(\d+)")


HEAD_KEY = "ig_worker_head"  # in config.json, where the head is not transformers' own


@dataclass(frozen=True)
class FlattenHead:
    """Sizes of a head that reads all token positions (see `models.head`)."""

    length: int  # positions, padding included
    hidden: int
    dropout: float

    def as_json(self) -> dict[str, Any]:
        return {"kind": "flatten", "length": self.length, "hidden": self.hidden, "dropout": self.dropout}


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a BERT or DistilBERT classifier."""

    architecture: str  # distilbert | bert
    hidden: int
    blocks: int
    heads: int
    vocabulary: int
    positions: int  # longest input, in tokens
    activation: str
    epsilon: float  # of the layer normalisations
    logits: int  # 1: a sigmoid, otherwise a softmax over that many classes
    labels: tuple[str, ...]  # class names
    head: FlattenHead | None = None  # None: transformers' own, which reads [CLS]

    @property
    def classes(self) -> int:
        return max(self.logits, 2)


def read_shape(config: Mapping[str, Any]) -> NetworkShape:
    """The shape in a transformers ``config.json``.

    Raises:
        ModelError: another architecture, a multi-label or regression model, or a value is missing.
    """
    architecture = config.get("model_type")
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"the model's type is {architecture!r}",
            expected=f"one of {', '.join(ARCHITECTURES)}",
            remedy="give a BERT or DistilBERT sequence classifier",
        )
    if config.get("problem_type") in ("multi_label_classification", "regression"):
        raise ModelError(
            f"the model's problem_type is {config['problem_type']!r}",
            expected="a classifier with one probability distribution over its classes",
        )
    names = _NAMES[architecture]
    missing = [name for name in names.values() if name not in config]
    if missing:
        raise ModelError(
            f"the model's config.json has no {', '.join(missing)}", expected="a transformers configuration"
        )
    labels = _labels(config)
    return NetworkShape(
        architecture=architecture,
        epsilon=1e-12 if architecture == "distilbert" else float(config.get("layer_norm_eps", 1e-12)),
        logits=len(labels),
        labels=labels if len(labels) > 1 else ("0", "1"),
        head=_flatten_head(config.get(HEAD_KEY)),
        **{key: config[name] for key, name in names.items()},
    )


_NAMES = {
    "distilbert": {
        "hidden": "dim",
        "blocks": "n_layers",
        "heads": "n_heads",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "activation": "activation",
    },
    "bert": {
        "hidden": "hidden_size",
        "blocks": "num_hidden_layers",
        "heads": "num_attention_heads",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
        "activation": "hidden_act",
    },
}


def _flatten_head(sizes: Any) -> FlattenHead | None:
    if sizes is None:
        return None
    try:
        if sizes["kind"] == "flatten":
            return FlattenHead(int(sizes["length"]), int(sizes["hidden"]), float(sizes["dropout"]))
    except (TypeError, KeyError, ValueError):
        pass
    raise ModelError(f"config.json has {HEAD_KEY} {sizes!r}", expected="kind flatten with length, hidden and dropout")


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names, by class number; transformers leaves them out where there are two without names."""
    named = config.get("id2label")
    if not named:
        return tuple(str(i) for i in range(int(config.get("num_labels", 2))))
    return tuple(str(name) for _, name in sorted((int(number), name) for number, name in named.items()))


def layer_depth(layer: str, blocks: int) -> int:
    """Number of transformer blocks below the output of `layer`: 0 for ``embeddings``, K + 1 for ``block:K``.

    Raises:
        UsageError: no layer of that name.
    """
    if layer == "embeddings":
        return 0
    match = _LAYER.fullmatch(layer)
    if match is None or int(match[1]) >= blocks:
        last = f"block:{blocks - 1}"
        raise UsageError(
            f"--layer is {layer!r}",
            expected=f"embeddings, or block:0 to {last}, as this model has {blocks} blocks",
        )
    return int(match[1]) + 1
