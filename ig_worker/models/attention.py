"""Matrix products of a network, and attention, with gradients by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ig_worker.models.elementwise import size
from ig_worker.models.layers import NetworkShape, Tensor, Weights
from ig_worker.models.runtime import tf

FAR = 1e9  # below any score: its softmax is exactly 0


def dense(w: Weights, name: str, x: Tensor, dtype: Any = None) -> Tensor:
    """A dense layer without activation, with or without bias; factors are rounded to `dtype`, or the kernel's."""
    kernel = w[f"{name}/kernel"]
    dtype = dtype or kernel.dtype
    if x.shape.rank == 2:
        return _with_bias(w, name, product(x, kernel, dtype))
    # One large product of [batch * tokens, hidden] instead of a batch of small ones.
    flat = product(tf.reshape(x, [-1, kernel.shape[0]]), kernel, dtype)
    return tf.reshape(_with_bias(w, name, flat), [*size(x)[:-1], kernel.shape[1]])


def _with_bias(w: Weights, name: str, x: Tensor) -> Tensor:
    return tf.nn.bias_add(x, w[f"{name}/bias"]) if f"{name}/bias" in w else x


def product(a: Tensor, b: Tensor, dtype: Any, **transposed: bool) -> Tensor:
    """The matrix product of `a` and `b`, in the dtype of `a`, after rounding both to `dtype`.

    So are the products of its gradient.
    """
    if dtype == a.dtype:
        return tf.matmul(a, b, **transposed)
    return tf.cast(tf.matmul(tf.cast(a, dtype), tf.cast(b, dtype), **transposed), a.dtype)


def split_heads(shape: NetworkShape, x: Tensor) -> Tensor:
    """[batch, tokens, hidden] as [batch, heads, tokens, hidden / heads]."""
    x = tf.reshape(x, [*size(x)[:2], shape.heads, shape.hidden // shape.heads])
    return tf.transpose(x, [0, 2, 1, 3])


def join_heads(shape: NetworkShape, x: Tensor) -> Tensor:
    """[batch, heads, tokens, hidden / heads] as [batch, tokens, hidden]."""
    x = tf.transpose(x, [0, 2, 1, 3])
    return tf.reshape(x, [*size(x)[:2], shape.hidden])


def attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dtype: Any, further: Tensor | None = None
) -> Tensor:
    """softmax(Q Kᵀ + bias) V, float32 [batch, heads, tokens, hidden / heads] (Vaswani et al. 2017, arXiv:1706.03762).

    On the way back the softmax asks for Σ_t P̄_st P_st of each row s, which is C̄_s · C_s and much narrower (Dao et al.
    2022, arXiv:2205.14135, section 3.1).

    Args:
        query, key, value: float32 [batch, heads, tokens, hidden / heads].
        bias: added to the scores, without a gradient; any shape that fits them.
        dtype: that factors of products are rounded to.
        further: scores that depend on the input, [batch, heads, tokens, tokens], added with their gradient.
    """

    @tf.custom_gradient
    def attend(
        q: Tensor, k: Tensor, v: Tensor, *added: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
        p = tf.nn.softmax(sum(added, product(q, k, dtype, transpose_b=True)) + bias, axis=-1)
        c = product(p, v, dtype)

        def gradient(upstream: Tensor) -> tuple[Tensor, ...]:
            along = tf.reduce_sum(upstream * c, axis=-1, keepdims=True)
            of_scores = p * (product(upstream, v, dtype, transpose_b=True) - along)
            return (
                product(of_scores, k, dtype),
                product(of_scores, q, dtype, transpose_a=True),
                product(p, upstream, dtype, transpose_a=True),
                *[of_scores] * len(added),
            )

        return c, gradient

    return attend(query, key, value, *([] if further is None else [further]))


def by_distance(x: Tensor) -> Tensor:
    """What stands for the distance of each pair: [..., tokens, tokens] from [..., tokens, 2 tokens − 1].

    Row s of the result has at t what row s of `x` has for the distance t − s, from −(tokens − 1) on. With one column
    more, a row begins one place further left in each row after the other: no element is looked up (Huang et al. 2018,
    arXiv:1809.04281, section 3.4.1).
    """
    *outer, tokens, _ = size(x)
    wide = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, 1]])
    flat = tf.reshape(wide, [*outer, 2 * tokens * tokens])[..., tokens - 1 : tokens - 1 + tokens * (2 * tokens - 1)]
    return tf.reshape(flat, [*outer, tokens, 2 * tokens - 1])[..., :tokens]


def attention_bias(mask: Tensor, dtype: Any = tf.float32) -> Tensor:
    """0 where attended to, very negative elsewhere, so that the softmax is exactly 0 there: [batch, 1, 1, tokens]."""
    return (tf.cast(mask, dtype) - 1.0)[:, None, None, :] * FAR
