"""Blocks that normalise behind each sum, as BERT's do (Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2018).

Symbols are those of `models.network`. What blocks read besides their input is what is added to the scores of attention,
float32 [batch or 1, heads or 1, tokens or 1, tokens]: the mask alone, unless an encoder adds something that no input
changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ig_worker.models.attention import attention, attention_bias, dense, join_heads, split_heads
from ig_worker.models.elementwise import ACTIVATION, normalise
from ig_worker.models.encoders.encoder import Blocks
from ig_worker.models.layers import AFFINE, NetworkShape, Tensor, Weights
from ig_worker.models.runtime import tf


def projections(w: Weights, shape: NetworkShape, k: int, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of block k, each float32 [batch, tokens, hidden]: affine in `h`.

    Queries come divided by the root of a head's width, as attention has them: cheaper done to their weights.
    """
    scaled = {f"{k}/query/{part}": tf.cast(w[f"{k}/query/{part}"], h.dtype) * _scale(shape) for part in AFFINE}
    dtype = w[f"{k}/query/kernel"].dtype
    return dense(scaled, f"{k}/query", h, dtype), dense(w, f"{k}/key", h), dense(w, f"{k}/value", h)


def attend(w: Weights, shape: NetworkShape, k: int, parts: Sequence[Tensor], bias: Tensor) -> Tensor:
    """Output of block k from its input and the `projections` of it."""
    h, *projected = parts
    query, key, value = (split_heads(shape, part) for part in projected)
    context = attention(query, key, value, bias, w[f"{k}/mix/kernel"].dtype)
    return feed_forward(w, shape, k, join_heads(shape, context), h)


def first_row(w: Weights, shape: NetworkShape, k: int, h: Tensor, bias: Tensor) -> Tensor:
    """The first row of the output of block k, float32 [batch, hidden], without keys or values of any row.

    With one query q a head's scores are q · (W_k h_t + b_k) = (W_k' q) · h_t + a constant, to which softmax is blind,
    and its context is W_v (Σ_t p_t h_t) + b_v. So no product of all tokens with a weight matrix is left.
    """
    first, width = h[:, 0], shape.hidden // shape.heads
    query = tf.reshape(dense(w, f"{k}/query", first), [-1, shape.heads, width]) * _scale(shape)
    key, value = (tf.reshape(w[f"{k}/{name}/kernel"], [-1, shape.heads, width]) for name in ("key", "value"))
    turned = tf.einsum("bnd,hnd->bnh", query, key)
    weights = tf.nn.softmax(tf.matmul(turned, h, transpose_b=True) + bias[:, :, 0], axis=-1)  # [batch, heads, tokens]
    context = tf.einsum("bnh,hnd->bnd", tf.matmul(weights, h), value)
    context = tf.reshape(context, [-1, shape.hidden]) + w[f"{k}/value/bias"]
    return feed_forward(w, shape, k, context, first)


def feed_forward(w: Weights, shape: NetworkShape, k: int, context: Tensor, h: Tensor) -> Tensor:
    """What follows a block's attention: each row by itself."""
    after = normalise(w, f"{k}/attention_norm", [dense(w, f"{k}/mix", context), h], shape.epsilon)
    wide = ACTIVATION[shape.activation](dense(w, f"{k}/widen", after))
    return normalise(w, f"{k}/output_norm", [dense(w, f"{k}/narrow", wide), after], shape.epsilon)


def _scale(shape: NetworkShape) -> float:
    return 1.0 / float(shape.hidden // shape.heads) ** 0.5


def mask_alone(w: Weights, shape: NetworkShape, mask: Tensor, dtype: Any) -> Tensor:
    """What is added to scores where nothing but the mask is."""
    return attention_bias(mask, dtype)


POST_NORM = Blocks(mask_alone, projections, attend, first_row)
