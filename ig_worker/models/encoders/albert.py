"""ALBERT (Lan et al. 2019, arXiv:1909.11942): factorised embeddings, and blocks that share their weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.encoders.bert import SIZES, tables
from ig_worker.models.encoders.bert import embed as embed_words
from ig_worker.models.encoders.electra import OWN_WIDTH, embedding_width
from ig_worker.models.encoders.encoder import Encoder, Parts, activated, dense, post_norm_block, two_layer_head, whole
from ig_worker.models.inputs import ModelInput
from ig_worker.models.keys import fixed, harmless, honoured
from ig_worker.models.layers import NetworkShape, Tensor, Weights

_LAYERS = {
    "query": "attention/query",
    "key": "attention/key",
    "value": "attention/value",
    "mix": "attention/dense",
    "attention_norm": "attention/LayerNorm",
    "widen": "ffn",
    "narrow": "ffn_output",
    "output_norm": "full_layer_layer_norm",
}


def _further(config: Mapping[str, Any]) -> dict[str, Any]:
    groups, blocks = whole(config, "num_hidden_groups"), whole(config, "num_hidden_layers")
    if groups > blocks:
        raise ModelError(
            f"the model's config.json has num_hidden_groups {groups!r}",
            expected=f"1 to {blocks}, the number of blocks",
        )
    return embedding_width(config) | {"own": groups}


def _group(shape: NetworkShape, k: int) -> int:
    """The group of block k."""
    return int(k / (shape.blocks / shape.own))


def _owner(shape: NetworkShape, k: int) -> int:
    """The first block of the group that block k is of."""
    return next(first for first in range(k + 1) if _group(shape, first) == _group(shape, k))


def _embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """BERT's embeddings, of a width of their own, and projected to that of the blocks."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds

    return apply(w, "embeddings/project", embed_words(w, shape, text))


def _weights(shape: NetworkShape) -> Parts:
    parts = tables(shape) | dense(
        "embeddings/project", "encoder/embedding_hidden_mapping_in", shape.word_width, shape.hidden
    )
    for first in sorted({_owner(shape, k) for k in range(shape.blocks)}):
        group = f"encoder/albert_layer_groups_._{_group(shape, first)}/albert_layers_._0"
        parts |= post_norm_block(first, shape, {name: f"{group}/{path}" for name, path in _LAYERS.items()})
    return parts | two_layer_head(shape, "pooler", "classifier")


ALBERT = Encoder(
    name="albert",
    title="ALBERT",
    classes="Albert",
    prefix="albert",
    tokenizer="SentencePiece",
    sizes=SIZES,
    activation="hidden_act",
    epsilon="layer_norm_eps",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob"),
    keys=OWN_WIDTH
    | honoured("which blocks share their weights", "num_hidden_groups")
    | fixed("each of its blocks would be several", (None, 1), "inner_group_num")
    | harmless("a leftover that nothing reads", "net_structure_type", "gap_size", "num_memory_blocks")
    | harmless("a leftover that nothing reads", "down_scale_factor"),
    usual={"embedding_size": 128, "num_hidden_groups": 1},
    further=_further,
    weights=_weights,
    owner=_owner,
    leftovers=r"predictions\..+|sop_classifier\..+",
    embed=_embed,
    logits=partial(activated, activation="tanh"),
    adaptive_evaluations=20.0,
)  # fmt: skip
