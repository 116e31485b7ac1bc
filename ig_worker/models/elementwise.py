"""What goes on between a network's matrix products, with gradients by hand and few passes over memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ig_worker.models.layers import Tensor, Weights
from ig_worker.models.runtime import has_gpu, one_pass, tf

_FUSE_FROM = 768  # columns; in narrower tensors compiling costs more than the passes that it saves


def _gelu_value(x: Tensor) -> Tensor:
    return (0.5 * x) * (1.0 + tf.math.erf(x * 2**-0.5))


def _gelu_gradient(x: Tensor, upstream: Tensor) -> Tensor:
    density = tf.exp(-0.5 * tf.square(x)) * (2.0 * math.pi) ** -0.5
    return upstream * (0.5 + 0.5 * tf.math.erf(x * 2**-0.5) + x * density)


_gelu_value_fused, _gelu_gradient_fused = one_pass(_gelu_value), one_pass(_gelu_gradient)


@tf.custom_gradient
def gelu(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """x Φ(x), where Φ is the normal distribution's (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    The widest tensor of a network goes through here. TensorFlow's own takes a dozen passes over it, most of them for
    the gradient, which together cost as much as the matrix product before.
    """
    if x.shape[-1] < _FUSE_FROM:
        return _gelu_value(x), lambda upstream: _gelu_gradient(x, upstream)
    return _gelu_value_fused(x), lambda upstream: _gelu_gradient_fused(x, upstream)


@tf.custom_gradient
def softmax(logits: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Softmax over the last axis, whose gradient stays exact where one class has nearly all the probability.

    The gradient is p_j (u_j − Σ_k p_k u_k) for the upstream u. Near 1 − p = 1e-5 float32 loses a part in a hundred of
    that difference. It does not change when the same number is taken from every u, here that of the likeliest class:
    then the sum holds small terms only.
    """
    p = tf.nn.softmax(logits, axis=-1)

    def gradient(upstream: Tensor) -> Tensor:
        likeliest = tf.argmax(p, axis=-1)
        u = upstream - tf.gather(upstream, likeliest, axis=-1, batch_dims=p.shape.rank - 1)[..., None]
        return p * (u - tf.reduce_sum(p * u, axis=-1, keepdims=True))

    return p, gradient


@tf.custom_gradient
def sigmoid(logits: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The sigmoid p of each logit. Its gradient is p (1 − p); 1 − p, as the sigmoid of −x, keeps its digits."""
    p = tf.nn.sigmoid(logits)
    return p, lambda upstream: upstream * p * tf.nn.sigmoid(-logits)


@tf.custom_gradient
def sigmoids(logit: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """[1 − p, p] of a logit's sigmoid p, over the last axis, which has one entry. Its gradient is ± p (1 − p)."""
    pair = tf.concat([tf.nn.sigmoid(-logit), tf.nn.sigmoid(logit)], axis=-1)

    def gradient(upstream: Tensor) -> Tensor:
        return (upstream[..., 1:] - upstream[..., :1]) * tf.reduce_prod(pair, axis=-1, keepdims=True)

    return pair, gradient


def normalise(w: Weights, name: str, parts: Sequence[Tensor], epsilon: float) -> Tensor:
    """Layer normalisation of the sum of `parts` over the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    gamma = tf.convert_to_tensor(w[f"{name}/gamma"])
    beta = tf.convert_to_tensor(w[f"{name}/beta"]) if f"{name}/beta" in w else tf.zeros_like(gamma)
    wide = gamma.shape[0] >= _FUSE_FROM
    value, slope = (_norm_value_fused, _norm_gradient_fused) if wide else (_norm_value, _norm_gradient)

    @tf.custom_gradient
    def standard(*rows: Tensor) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
        return value(rows, gamma, beta, epsilon), lambda upstream: [slope(rows, gamma, epsilon, upstream)] * len(rows)

    rows = [tf.reshape(part, [-1, gamma.shape[0]]) for part in parts]
    return tf.reshape(standard(*rows), size(parts[0]))


def _norm_value(parts: Sequence[Tensor], gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    normal, _, _ = _standardised(parts, gamma, epsilon)
    return normal * gamma + beta


def _norm_gradient(parts: Sequence[Tensor], gamma: Tensor, epsilon: float, upstream: Tensor) -> Tensor:
    """The textbook's; the recorded one takes twice as many passes over the tensor."""
    normal, scale, mean = _standardised(parts, gamma, epsilon)
    g = upstream * gamma
    return (g - mean(g) - normal * mean(g * normal)) * scale


def _standardised(
    parts: Sequence[Tensor], gamma: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """The sum of `parts` with mean 0 and variance 1 in every row, what it was multiplied with, and the mean itself."""

    def mean(x: Tensor) -> Tensor:
        if has_gpu():  # where a product may be rounded to TF32
            return tf.reduce_mean(x, axis=-1, keepdims=True)
        # A CPU adds up a row one number after the other, but multiplies with a vector many at once.
        return tf.matmul(x, tf.ones_like(gamma)[:, None]) / tf.cast(tf.size(gamma), x.dtype)

    x = sum(parts[1:], parts[0])
    centred = x - mean(x)
    scale = tf.math.rsqrt(mean(tf.square(centred)) + epsilon)
    return centred * scale, scale, mean


_norm_value_fused, _norm_gradient_fused = one_pass(_norm_value), one_pass(_norm_gradient)


ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {  # of the names in `layers.ACTIVATIONS`
    "gelu": gelu,
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "tanh": tf.math.tanh,
    "silu": tf.nn.silu,
}


def size(x: Tensor) -> list[Any]:
    """Sizes of `x`: numbers where the graph knows them, so that it can plan, and tensors elsewhere."""
    dynamic = tf.shape(x)
    return [dynamic[i] if known is None else known for i, known in enumerate(x.shape)]
