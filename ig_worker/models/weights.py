"""The weights of a transformers TensorFlow classifier, under the names that `network` knows them by."""

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
_FLATTEN_HEAD = {"head/hidden": "head_hidden", "head/logits": "head_logits"}


def named_weights(shape: NetworkShape, variables: Iterable[Any]) -> dict[str, Any]:
    """The variables of a transformers TensorFlow classifier under this module's names. Nothing is copied.

    Raises:
        ModelError: a weight is missing.
    """
    table = dict(_EMBEDDINGS)
    if shape.architecture == "bert":
        table["embeddings/type"] = "embeddings/token_type_embeddings/embeddings"
    for k in range(shape.blocks):
        for name, path in DENSE[shape.architecture].items():
            table |= {f"{k}/{name}/{part}": f"{path.format(k=k)}/{part}" for part in AFFINE}
        for name, path in _NORMS[shape.architecture].items():
            table |= {f"{k}/{name}/{part}": f"{path.format(k=k)}/{part}" for part in ("gamma", "beta")}
    heads = _HEAD[shape.architecture] if shape.head is None else _FLATTEN_HEAD
    for name, path in heads.items():
        table |= {f"{name}/{part}": f"{path}/{part}" for part in AFFINE}
    by_name = {variable.name.split(":")[0]: variable for variable in variables}
    return {name: _find(by_name, path) for name, path in table.items()}


def _find(by_name: Mapping[str, Any], path: str) -> Any:
    found = [variable for name, variable in by_name.items() if name == path or name.endswith("/" + path)]
    if len(found) != 1:
        raise ModelError(
            f"the network has {len(found)} weights named {path!r}",
            expected="one, as transformers' TensorFlow BERT and DistilBERT classifiers have",
        )
    return found[0]
