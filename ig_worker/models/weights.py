"""The weights of a classifier: the names that `network` knows them by, transformers' names, and their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.layers import NetworkShape

Tensor = Any  # TensorFlow carries no types
Weights = Mapping[str, Tensor]

# The name here -> the end of transformers' variable name. {k} is the number of the block.
_EMBEDDINGS = {
    "embeddings/word": "embeddings/word_embeddings/weight",
    "embeddings/position": "embeddings/position_embeddings/embeddings",
    "embeddings/norm/gamma": "embeddings/LayerNorm/gamma",
    "embeddings/norm/beta": "embeddings/LayerNorm/beta",
}
DENSE = {
    "distilbert": {
        "query": "transformer/layer_._{k}/attention/q_lin",
        "key": "transformer/layer_._{k}/attention/k_lin",
        "value": "transformer/layer_._{k}/attention/v_lin",
        "mix": "transformer/layer_._{k}/attention/out_lin",
        "widen": "transformer/layer_._{k}/ffn/lin1",
        "narrow": "transformer/layer_._{k}/ffn/lin2",
    },
    "bert": {
        "query": "encoder/layer_._{k}/attention/self/query",
        "key": "encoder/layer_._{k}/attention/self/key",
        "value": "encoder/layer_._{k}/attention/self/value",
        "mix": "encoder/layer_._{k}/attention/output/dense",
        "widen": "encoder/layer_._{k}/intermediate/dense",
        "narrow": "encoder/layer_._{k}/output/dense",
    },
}
_NORMS = {
    "distilbert": {
        "attention_norm": "transformer/layer_._{k}/sa_layer_norm",
        "output_norm": "transformer/layer_._{k}/output_layer_norm",
    },
    "bert": {
        "attention_norm": "encoder/layer_._{k}/attention/output/LayerNorm",
        "output_norm": "encoder/layer_._{k}/output/LayerNorm",
    },
}
_HEAD = {
    "distilbert": {"head/hidden": "pre_classifier", "head/logits": "classifier"},
    "bert": {"head/hidden": "pooler/dense", "head/logits": "classifier"},
}
AFFINE = ("kernel", "bias")
_SCALED = ("gamma", "beta")  # of a normalisation
_FLATTEN_HEAD = {"head/hidden": "head_hidden", "head/logits": "head_logits"}


def weight_paths(shape: NetworkShape) -> dict[str, str]:
    """The name here -> the end of transformers' TensorFlow name, of every weight of a network."""
    table = dict(_EMBEDDINGS)
    if shape.architecture == "bert":
        table["embeddings/type"] = "embeddings/token_type_embeddings/embeddings"
    for k in range(shape.blocks):
        for name, path in DENSE[shape.architecture].items():
            table |= {f"{k}/{name}/{part}": f"{path.format(k=k)}/{part}" for part in AFFINE}
        for name, path in _NORMS[shape.architecture].items():
            table |= {f"{k}/{name}/{part}": f"{path.format(k=k)}/{part}" for part in _SCALED}
    heads = _HEAD[shape.architecture] if shape.head is None else _FLATTEN_HEAD
    for name, path in heads.items():
        table |= {f"{name}/{part}": f"{path}/{part}" for part in AFFINE}
    return table


def weight_shapes(shape: NetworkShape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a network, by its name here; kernels are [units in, units out]."""
    width, wide = shape.hidden, shape.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings/word": (shape.vocabulary, width),
        "embeddings/position": (shape.positions, width),
    }
    if shape.architecture == "bert":
        shapes["embeddings/type"] = (shape.types, width)
    norms = ["embeddings/norm"]
    dense: dict[str, tuple[int, int]] = {}  # units in, units out
    for k in range(shape.blocks):
        norms += [f"{k}/{name}" for name in _NORMS[shape.architecture]]
        dense |= {f"{k}/{name}": (width, width) for name in DENSE[shape.architecture]}
        dense |= {f"{k}/widen": (width, wide), f"{k}/narrow": (wide, width)}
    read, units = (width, width) if shape.head is None else (shape.head.length * width, shape.head.hidden)
    dense |= {"head/hidden": (read, units), "head/logits": (units, shape.logits)}
    shapes |= {f"{name}/{part}": (width,) for name in norms for part in _SCALED}
    for name, (into, out) in dense.items():
        shapes |= {f"{name}/kernel": (into, out), f"{name}/bias": (out,)}
    return shapes


def named_weights(shape: NetworkShape, variables: Iterable[Any]) -> dict[str, Any]:
    """The variables of a transformers TensorFlow classifier under this module's names. Nothing is copied.

    Raises:
        ModelError: a weight is missing.
    """
    by_name = {variable.name.split(":")[0]: variable for variable in variables}
    return {name: find_variable(by_name, path) for name, path in weight_paths(shape).items()}


def find_variable(by_name: Mapping[str, Any], path: str) -> Any:
    """The variable whose name ends with `path`.

    Raises:
        ModelError: there is none, or there are several.
    """
    found = [variable for name, variable in by_name.items() if name == path or name.endswith("/" + path)]
    if len(found) != 1:
        raise ModelError(
            f"the network has {len(found)} weights named {path!r}",
            expected="one, as transformers' TensorFlow BERT and DistilBERT classifiers have",
        )
    return found[0]
