"""The forward pass of all encoders' classifiers as pure functions over a dictionary of weights.

Symbols: h is a layer's output, float32 [batch, tokens, hidden]; mask is int32 [batch, tokens], 1 for tokens that are
attended to; w is a dictionary of weights by their names in `weights`. Blocks are those of Vaswani et al. 2017
(arXiv:1706.03762); where an encoder differs is in its file in `models.encoders`. Conformance with transformers is
tested layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ig_worker.models.elementwise import gelu, normalise, sigmoids, size, softmax
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import NetworkShape, Tensor, Weights
from ig_worker.models.runtime import tf
from ig_worker.models.weights import AFFINE

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "tanh": tf.math.tanh,
    "silu": tf.nn.silu,
}


def embed(w: Weights, shape: NetworkShape, ids: Tensor) -> Tensor:
    """Output of the embeddings layer, float32 [batch, tokens, hidden], of token ids, int32 [batch, tokens]."""
    return ENCODERS[shape.architecture].embed(w, shape, ids)


def words_at_positions(w: Weights, ids: Tensor) -> Tensor:
    """The embeddings of token ids, int32 [batch, tokens], and of their positions from 0, added."""
    return tf.gather(w["embeddings/word"], ids) + w["embeddings/position"][: size(ids)[1]]


def blocks(w: Weights, shape: NetworkShape, h: Tensor, mask: Tensor, start: int, stop: int) -> Tensor:
    """`h` after the transformer blocks from `start` up to, but without, `stop`."""
    bias = attention_bias(mask, h.dtype)
    for k in range(start, stop):
        h = block(w, shape, k, h, bias)
    return h


def block(w: Weights, shape: NetworkShape, k: int, h: Tensor, bias: Tensor) -> Tensor:
    """Output of block k for its input `h`."""
    return attend(w, shape, k, (h, *projections(w, shape, k, h)), bias)


def projections(w: Weights, shape: NetworkShape, k: int, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of block k, each float32 [batch, tokens, hidden]: affine in `h`.

    Queries come divided by the root of a head's width, as attention has them: cheaper done to their weights.
    """
    scaled = {f"{k}/query/{part}": tf.cast(w[f"{k}/query/{part}"], h.dtype) * _scale(shape) for part in AFFINE}
    dtype = w[f"{k}/query/kernel"].dtype
    return _dense(scaled, f"{k}/query", h, dtype), _dense(w, f"{k}/key", h), _dense(w, f"{k}/value", h)


def attend(w: Weights, shape: NetworkShape, k: int, parts: Sequence[Tensor], bias: Tensor) -> Tensor:
    """Output of block k from its input and the `projections` of it."""
    h, *projected = parts
    query, key, value = (_heads(shape, part) for part in projected)
    dtype = w[f"{k}/mix/kernel"].dtype
    context = _attention(query, key, value, bias, dtype)
    context = tf.transpose(context, [0, 2, 1, 3])  # [batch, tokens, heads, hidden / heads]
    return _feed_forward(w, shape, k, tf.reshape(context, size(h)), h)


def _attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dtype: Any) -> Tensor:
    """softmax(Q Kᵀ + bias) V, float32 [batch, heads, tokens, hidden / heads] (Vaswani et al. 2017, arXiv:1706.03762).

    On the way back the softmax asks for Σ_t P̄_st P_st of each row s, which is C̄_s · C_s and much narrower (Dao et al.
    2022, arXiv:2205.14135, section 3.1).
    """

    @tf.custom_gradient
    def attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
        p = tf.nn.softmax(_product(q, k, dtype, transpose_b=True) + bias, axis=-1)
        c = _product(p, v, dtype)

        def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
            along = tf.reduce_sum(upstream * c, axis=-1, keepdims=True)
            of_scores = p * (_product(upstream, v, dtype, transpose_b=True) - along)
            return (
                _product(of_scores, k, dtype),
                _product(of_scores, q, dtype, transpose_a=True),
                _product(p, upstream, dtype, transpose_a=True),
            )

        return c, gradient

    return attention(query, key, value)


def first_row(w: Weights, shape: NetworkShape, k: int, h: Tensor, bias: Tensor) -> Tensor:
    """The first row of the output of block k, float32 [batch, hidden], without keys or values of any row.

    With one query q a head's scores are q · (W_k h_t + b_k) = (W_k' q) · h_t + a constant, to which softmax is blind,
    and its context is W_v (Σ_t p_t h_t) + b_v. So no product of all tokens with a weight matrix is left.
    """
    first, width = h[:, 0], shape.hidden // shape.heads
    query = tf.reshape(_dense(w, f"{k}/query", first), [-1, shape.heads, width]) * _scale(shape)
    key, value = (tf.reshape(w[f"{k}/{name}/kernel"], [-1, shape.heads, width]) for name in ("key", "value"))
    turned = tf.einsum("bnd,hnd->bnh", query, key)
    attention = tf.nn.softmax(tf.matmul(turned, h, transpose_b=True) + bias[:, :, 0], axis=-1)  # [batch, heads, tokens]
    context = tf.einsum("bnh,hnd->bnd", tf.matmul(attention, h), value)
    context = tf.reshape(context, [-1, shape.hidden]) + w[f"{k}/value/bias"]
    return _feed_forward(w, shape, k, context, first)


def _feed_forward(w: Weights, shape: NetworkShape, k: int, context: Tensor, h: Tensor) -> Tensor:
    """What follows a block's attention: each row by itself."""
    after = normalise(w, f"{k}/attention_norm", [_dense(w, f"{k}/mix", context), h], shape.epsilon)
    wide = _ACTIVATIONS[shape.activation](_dense(w, f"{k}/widen", after))
    return normalise(w, f"{k}/output_norm", [_dense(w, f"{k}/narrow", wide), after], shape.epsilon)


def _scale(shape: NetworkShape) -> float:
    return 1.0 / float(shape.hidden // shape.heads) ** 0.5


def head_input(w: Weights, shape: NetworkShape, h: Tensor) -> Tensor:
    """Input z of the head's activation, float32 [batch, units], from the last block's output."""
    return _dense(w, "head/hidden", h[:, 0]) if shape.head is None else flattened(w, shape.head.length, h)


def flattened(w: Weights, length: int, h: Tensor) -> Tensor:
    """Input of a flatten head's activation, float32 [batch, units], from all positions of the last block's output.

    The head gets as many positions as it was trained with; those behind the text are zero.
    """
    tokens = size(h)[1]
    if isinstance(tokens, int) and tokens >= length:
        h = h[:, :length]
    else:
        h = tf.pad(h[:, :length], [[0, 0], [0, tf.maximum(length - tokens, 0)], [0, 0]])
    return _dense(w, "head/hidden", tf.reshape(h, [-1, length * h.shape[-1]]))


def readout(w: Weights, shape: NetworkShape, z: Tensor) -> Tensor:
    """Class probabilities, float32 [batch, classes], from the input z of the head's activation, float32 [batch, units].

    A network with one logit gives the sigmoid p read as [1 - p, p].
    """
    return probabilities(logits(w, shape, z))


def logits(w: Weights, shape: NetworkShape, z: Tensor) -> Tensor:
    """What `readout` makes probabilities of, float32 [batch, logits]."""
    name = ENCODERS[shape.architecture].head_activation if shape.head is None else "relu"
    return _dense(w, "head/logits", _ACTIVATIONS[name](z))


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities from logits, float32 [batch, logits]: softmax, or [1 - p, p] of a single logit's sigmoid."""
    return sigmoids(logits) if logits.shape[-1] == 1 else softmax(logits)


def attention_bias(mask: Tensor, dtype: Any = tf.float32) -> Tensor:
    """0 where attended to, very negative elsewhere, so that the softmax is exactly 0 there: [batch, 1, 1, tokens]."""
    return (tf.cast(mask, dtype) - 1.0)[:, None, None, :] * 1e9


def _dense(w: Weights, name: str, x: Tensor, dtype: Any = None) -> Tensor:
    kernel = w[f"{name}/kernel"]
    dtype = dtype or kernel.dtype
    if x.shape.rank == 2:
        return tf.nn.bias_add(_product(x, kernel, dtype), w[f"{name}/bias"])
    # One large product of [batch * tokens, hidden] instead of a batch of small ones.
    flat = _product(tf.reshape(x, [-1, kernel.shape[0]]), kernel, dtype)
    return tf.reshape(tf.nn.bias_add(flat, w[f"{name}/bias"]), [*size(x)[:-1], kernel.shape[1]])


def _product(a: Tensor, b: Tensor, dtype: Any, **transposed: bool) -> Tensor:
    """The matrix product of `a` and `b`, in the dtype of `a`, after rounding both to `dtype`.

    So are the products of its gradient.
    """
    if dtype == a.dtype:
        return tf.matmul(a, b, **transposed)
    return tf.cast(tf.matmul(tf.cast(a, dtype), tf.cast(b, dtype), **transposed), a.dtype)


def _heads(shape: NetworkShape, x: Tensor) -> Tensor:
    x = tf.reshape(x, [*size(x)[:2], shape.heads, shape.hidden // shape.heads])
    return tf.transpose(x, [0, 2, 1, 3])  # [batch, heads, tokens, hidden / heads]


@dataclass(frozen=True)
class SplitNetwork:
    """A classifier cut at a layer, and once more where all that follows is cheap.

    All are pure TensorFlow functions that graphs can trace:

    `below(text)` gives the layer's output h, float32 [batch, tokens, hidden].
    `project(h)` gives h and the next block's projections of it, each float32 [batch, tokens, width]: all affine in h
    and each row from its own row of h, so that on a straight path they need to be known at its ends only.
    `encode(parts, mask)` goes from there to a vector z, float32 [batch, units].
    `readout(z)` gives class probabilities, float32 [batch, classes]. It is cheap: it may run a thousand times a text.
    """

    below: Callable[[ModelInput], Tensor]
    project: Callable[[Tensor], tuple[Tensor, ...]]
    encode: Callable[[Sequence[Tensor], Tensor], Tensor]
    readout: Callable[[Tensor], Tensor]

    def above(self, h: Tensor, mask: Tensor) -> Tensor:
        """Class probabilities, float32 [batch, classes], from the layer's output."""
        return self.readout(self.encode(self.project(h), mask))

    @classmethod
    def of(cls, below: Callable[[ModelInput], Tensor], above: Callable[[Tensor, Tensor], Tensor]) -> SplitNetwork:
        """A network of which nothing is known but its two halves."""
        return cls(below, lambda h: (h,), lambda parts, mask: above(parts[0], mask), lambda z: z)


def split(w: Weights, shape: NetworkShape, depth: int, dtype: Any = None) -> SplitNetwork:
    """The network cut behind the embeddings (depth 0) or behind block depth - 1, and before the head's activation.

    `dtype` is that of the factors of matrix products in `encode`'s blocks, where nearly all arithmetic is; none: that
    of the weights. The ends of a path, normalisations, softmax, the last block where one row is enough, z and what
    follows stay in the weights' own dtype, float32 (float64 where truth is looked for: see `tests.truth`).
    """
    # Of the last block [CLS] alone is read, unless the head reads all positions.
    whole = shape.blocks if shape.head is not None else shape.blocks - 1

    kernels = [f"{k}/{name}/kernel" for k in range(depth, whole) for name in ENCODERS[shape.architecture].dense]
    rounded = w if dtype is None else {**w, **{name: tf.cast(w[name], dtype) for name in kernels}}

    def below(text: ModelInput) -> Tensor:
        return blocks(w, shape, embed(w, shape, text.ids), text.mask, 0, depth)

    def project(h: Tensor) -> tuple[Tensor, ...]:
        return (h, *projections(w, shape, depth, h)) if depth < whole else (h,)

    def encode(parts: Sequence[Tensor], mask: Tensor) -> Tensor:
        h, bias = parts[0], attention_bias(mask, parts[0].dtype)
        if depth < whole:
            h = blocks(rounded, shape, attend(rounded, shape, depth, parts, bias), mask, depth + 1, whole)
        if shape.head is None and depth < shape.blocks:
            return _dense(w, "head/hidden", first_row(w, shape, whole, h, bias))
        return head_input(w, shape, h)

    return SplitNetwork(below, project, encode, lambda z: readout(w, shape, z))
