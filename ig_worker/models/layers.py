"""What can be known of a network without TensorFlow: its shape, and the names of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ig_worker.errors import ModelError, UsageError

ARCHITECTURES = ("distilbert", "bert")
ACTIVATIONS = ("gelu", "gelu_new", "relu", "tanh", "silu")  # `models.network` has them
_LAYER = re.compile(r"block:(\d+)")


_MOST_CLASSES = 100_000  # whose names are made up where there are none: more than any network has
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
    intermediate: int = field(kw_only=True)  # units between the two dense layers of a block
    types: int = field(default=0, kw_only=True)  # rows of BERT's token type embeddings, of which the first is used

    @property
    def transformers_own(self) -> NetworkShape:
        """The same with transformers' head, which reads [CLS]."""
        return replace(self, head=None)

    @property
    def classes(self) -> int:
        return max(self.logits, 2)


def read_shape(config: Mapping[str, Any]) -> NetworkShape:
    """The shape in a transformers ``config.json``.

    Raises:
        ModelError: another architecture, a multi-label or regression model, or a value is missing or none that can be.
    """
    architecture = config.get("model_type")
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"the model's type is {architecture!r}",
            expected=f"one of {', '.join(ARCHITECTURES)}",
            remedy="give a BERT or DistilBERT sequence classifier",
        )
    if config.get("problem_type") not in (None, "single_label_classification"):
        raise ModelError(
            f"the model's problem_type is {config['problem_type']!r}",
            expected="a classifier with one probability distribution over its classes",
        )
    config = _with_first_names(config, architecture)
    sizes = {key: _size(config, name) for key, name in _SIZES[architecture].items()}
    if sizes["hidden"] % sizes["heads"]:
        raise ModelError(
            f"the model's config.json has {sizes['hidden']} hidden units and {sizes['heads']} heads",
            expected="a multiple of the number of heads",
        )
    activation = config.get(_ACTIVATION[architecture])
    if activation not in ACTIVATIONS:
        raise ModelError(f"the model's activation is {activation!r}", expected=f"one of {', '.join(ACTIVATIONS)}")
    labels = _labels(config)
    return NetworkShape(
        architecture=architecture,
        activation=activation,
        epsilon=1e-12 if architecture == "distilbert" else _epsilon(config.get("layer_norm_eps", 1e-12)),
        logits=len(labels),
        labels=labels if len(labels) > 1 else ("0", "1"),
        head=_flatten_head(config.get(HEAD_KEY)),
        **sizes,
    )


def _with_first_names(config: Mapping[str, Any], architecture: str) -> dict[str, Any]:
    """The configuration with each size under its first name. transformers lets the second name win."""
    named = dict(config)
    for first, second in _SECOND_NAMES.get(architecture, {}).items():
        if second in config and config.get(first, config[second]) != config[second]:
            raise ModelError(
                f"the model's config.json has {first} {config[first]!r} and {second} {config[second]!r}",
                expected=f"one number: to transformers, {second} is another name of {first}",
            )
        if second in config:
            named[first] = config[second]
    return named


def _size(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise ModelError(f"the model's config.json has {name} {value!r}", expected="a whole number of at least 1")
    return value


def _epsilon(value: Any) -> float:
    if type(value) in (int, float) and 0 <= value < 1:
        return float(value)
    raise ModelError(f"the model's config.json has layer_norm_eps {value!r}", expected="a number from 0 to 1")


_SIZES = {
    "distilbert": {
        "hidden": "dim",
        "blocks": "n_layers",
        "heads": "n_heads",
        "intermediate": "hidden_dim",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    },
    "bert": {
        "hidden": "hidden_size",
        "blocks": "num_hidden_layers",
        "heads": "num_attention_heads",
        "intermediate": "intermediate_size",
        "types": "type_vocab_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    },
}
_SECOND_NAMES = {
    "distilbert": {"dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads"},
}
_ACTIVATION = {"distilbert": "activation", "bert": "hidden_act"}


def _flatten_head(sizes: Any) -> FlattenHead | None:
    if sizes is None:
        return None
    try:
        if sizes["kind"] == "flatten":
            return FlattenHead(int(sizes["length"]), int(sizes["hidden"]), float(sizes["dropout"]))
    except (TypeError, KeyError, ValueError, OverflowError):
        pass
    raise ModelError(f"config.json has {HEAD_KEY} {sizes!r}", expected="kind flatten with length, hidden and dropout")


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names, by class number; transformers leaves them out where there are two without names."""
    count = min(_size({"num_labels": 2, **config}, "num_labels"), _MOST_CLASSES)
    named = config.get("id2label")
    if named is None:
        named = {str(i): str(i) for i in range(count)}
    try:
        numbered = {int(number): str(name) for number, name in named.items()}
    except (AttributeError, ValueError):
        numbered = {}
    if not numbered or sorted(numbered) != list(range(len(numbered))):
        raise ModelError(f"the model's config.json has id2label {named!r}", expected="a name for each class from 0")
    return tuple(numbered[i] for i in range(len(numbered)))


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
