"""MPNet (Song et al. 2020, arXiv:2004.09297): RoBERTa's positions, and T5's bias by the distance of tokens."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.models.encoders.bert import SIZES
from ig_worker.models.encoders.distilbert import embed, tables
from ig_worker.models.encoders.encoder import (
    Blocks,
    Encoder,
    Parts,
    activated,
    post_norm,
    post_norm_blocks,
    table,
    two_layer_head,
)
from ig_worker.models.encoders.roberta import counting
from ig_worker.models.keys import fixed, harmless
from ig_worker.models.layers import NetworkShape, Tensor, Weights

_LAYERS = {
    "query": "attention/attn/q",
    "key": "attention/attn/k",
    "value": "attention/attn/v",
    "mix": "attention/attn/o",
    "attention_norm": "attention/LayerNorm",
    "widen": "intermediate/dense",
    "narrow": "output/dense",
    "output_norm": "output/LayerNorm",
}
# As its authors' code has them, whatever config.json says.
_PADDING = 1  # the id behind which positions begin
_BUCKETS = 32  # of distances
_FARTHEST = 128  # a distance from which on all share the last bucket


def buckets(tokens: int) -> npt.NDArray[np.int32]:
    """The bucket of each distance t − s of a key t from a query s, from −(tokens − 1) to tokens − 1, int32.

    Half of the buckets are for keys that come before; of each half, half are for one distance each, and the others
    grow with its logarithm (Raffel et al. 2020, arXiv:1910.10683, section 2.1).

    Args:
        tokens: of a text.
    """
    distance = np.arange(-(tokens - 1), tokens)
    half, behind = _BUCKETS // 2, distance > 0
    exact, far = half // 2, np.abs(distance)
    # In float32, as transformers has it: at powers of two the logarithms decide by their rounding.
    grown = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(_FARTHEST / exact))
    late = exact + (grown * np.float32(half - exact)).astype(np.int64)
    return (np.where(far < exact, far, np.minimum(late, half - 1)) + np.where(behind, half, 0)).astype(np.int32)


def _surroundings(w: Weights, shape: NetworkShape, mask: Tensor, dtype: Any) -> Tensor:
    """The mask, and what each head adds for the distance of two tokens, float32 [batch, heads, tokens, tokens]."""
    from ig_worker.models.attention import attention_bias, by_distance  # TensorFlow: seconds
    from ig_worker.models.runtime import tf

    longest = shape.longest
    known = tf.constant(buckets(longest))
    tokens = tf.shape(mask)[1]
    # [distances, heads], of the distances that a text of so many tokens has
    values = tf.gather(w["encoder/distances"], known[longest - tokens : longest - 1 + tokens])
    heads = tf.broadcast_to(tf.transpose(values)[:, None], [shape.heads, tokens, 2 * tokens - 1])
    return attention_bias(mask, dtype) + tf.cast(by_distance(heads), dtype)[None]


def _blocks() -> Blocks:
    return replace(post_norm(), surroundings=_surroundings)


def _weights(shape: NetworkShape) -> Parts:
    parts = tables(shape) | post_norm_blocks(shape, "encoder/layer_._{k}", _LAYERS)
    parts |= table("encoder/distances", "encoder/relative_attention_bias/embeddings", _BUCKETS, shape.heads)
    return parts | two_layer_head(shape, "classifier/dense", "classifier/out_proj")


MPNET = Encoder(
    name="mpnet",
    title="MPNet",
    classes="MPNet",
    prefix="mpnet",
    tokenizer="WordPiece",
    sizes={name: key for name, key in SIZES.items() if name != "types"},
    activation="hidden_act",
    epsilon="layer_norm_eps",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    keys=fixed("distances would have other buckets", (None, _BUCKETS), "relative_attention_num_buckets")
    | harmless("there are no token types", "type_vocab_size"),
    further=lambda config: {"padding": _PADDING, "unused_positions": _PADDING + 1},
    weights=_weights,
    leftovers=r"lm_head\..+|pooler\.dense\..+",
    embed=embed,
    counting=counting,
    blocks=_blocks,
    logits=partial(activated, activation="tanh"),
    adaptive_evaluations=20.0,
)
