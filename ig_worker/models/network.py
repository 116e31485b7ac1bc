"""The forward pass of BERT and DistilBERT classifiers as pure functions over a dictionary of weights.

Symbols: h is a layer's output, float32 [batch, tokens, hidden]; mask is int32 [batch, tokens], 1 for tokens that are
attended to; w is the dictionary that `named_weights` makes. Architectures: Vaswani et al. 2017 (arXiv:1706.03762),
Devlin et al. 2018 (arXiv:1810.04805), Sanh et al. 2019 (arXiv:1910.01108). Conformance with transformers is tested
layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.layers import NetworkShape
from ig_worker.models.runtime import tf

Tensor = Any  # TensorFlow carries no types
Weights = Mapping[str, Tensor]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
    "tanh": tf.math.tanh,
    "silu": tf.nn.silu,
}

# The name here -> the end of transformers' variable name. {k} is the number of the block.
_EMBEDDINGS = {
    "embeddings/word": "embeddings/word_embeddings/weight",
    "embeddings/position": "embeddings/position_embeddings/embeddings",
    "embeddings/norm/gamma": "embeddings/LayerNorm/gamma",
    "embeddings/norm/beta": "embeddings/LayerNorm/beta",
}
_DENSE = {
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
_FLATTEN_HEAD = {"head/hidden": "head_hidden", "head/logits": "head_logits"}
_HEAD_ACTIVATION = {"distilbert": "relu", "bert": "tanh"}


def named_weights(shape: NetworkShape, variables: Iterable[Any]) -> dict[str, Any]:
    """The variables of a transformers TensorFlow classifier under this module's names. Nothing is copied.

    Raises:
        ModelError: a weight is missing.
    """
    table = dict(_EMBEDDINGS)
    if shape.architecture == "bert":
        table["embeddings/type"] = "embeddings/token_type_embeddings/embeddings"
    for k in range(shape.blocks):
        for name, path in _DENSE[shape.architecture].items():
            table |= {f"{k}/{name}/{part}": f"{path.format(k=k)}/{part}" for part in ("kernel", "bias")}
        for name, path in _NORMS[shape.architecture].items():
            table |= {f"{k}/{name}/{part}": f"{path.format(k=k)}/{part}" for part in ("gamma", "beta")}
    heads = _HEAD[shape.architecture] if shape.head is None else _FLATTEN_HEAD
    for name, path in heads.items():
        table |= {f"{name}/{part}": f"{path}/{part}" for part in ("kernel", "bias")}
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


def embed(w: Weights, shape: NetworkShape, ids: Tensor) -> Tensor:
    """Output of the embeddings layer, float32 [batch, tokens, hidden], of token ids, int32 [batch, tokens]."""
    h = tf.gather(w["embeddings/word"], ids) + w["embeddings/position"][: _size(ids)[1]]
    if shape.architecture == "bert":
        h += w["embeddings/type"][0]
    return _normalise(w, "embeddings/norm", h, shape.epsilon)


def blocks(w: Weights, shape: NetworkShape, h: Tensor, mask: Tensor, start: int, stop: int) -> Tensor:
    """`h` after the transformer blocks from `start` up to, but without, `stop`."""
    bias = attention_bias(mask)
    for k in range(start, stop):
        h = block(w, shape, k, h, h, bias)
    return h


def classify(w: Weights, shape: NetworkShape, h: Tensor, mask: Tensor, start: int) -> Tensor:
    """Class probabilities, float32 [batch, classes], from the input `h` of block `start` (or of the head).

    Only the first row, [CLS], of the last block is read, so only that row is computed there. A head that reads all
    positions gets as many as it was trained with; those behind the text are zero.
    """
    if shape.head is not None:
        h = blocks(w, shape, h, mask, start, shape.blocks)
        return flatten_head(w, shape.head.length, h)
    if start < shape.blocks:
        h = blocks(w, shape, h, mask, start, shape.blocks - 1)
        h = block(w, shape, shape.blocks - 1, h[:, :1], h, attention_bias(mask))
    return head(w, shape, h[:, 0])


def block(w: Weights, shape: NetworkShape, k: int, rows: Tensor, h: Tensor, bias: Tensor) -> Tensor:
    """Rows of the output of block k: `rows`, float32 [batch, rows, hidden], are the rows of `h` that are asked for."""
    query = _heads(shape, _dense(w, f"{k}/query", rows))
    key = _heads(shape, _dense(w, f"{k}/key", h))
    value = _heads(shape, _dense(w, f"{k}/value", h))
    scale = 1.0 / float(shape.hidden // shape.heads) ** 0.5
    attention = tf.nn.softmax(tf.matmul(query * scale, key, transpose_b=True) + bias, axis=-1)
    context = tf.transpose(tf.matmul(attention, value), [0, 2, 1, 3])  # [batch, rows, heads, hidden / heads]
    context = tf.reshape(context, _size(rows))
    after = _normalise(w, f"{k}/attention_norm", _dense(w, f"{k}/mix", context) + rows, shape.epsilon)
    wide = _ACTIVATIONS[shape.activation](_dense(w, f"{k}/widen", after))
    return _normalise(w, f"{k}/output_norm", _dense(w, f"{k}/narrow", wide) + after, shape.epsilon)


def head(w: Weights, shape: NetworkShape, c: Tensor) -> Tensor:
    """Class probabilities, float32 [batch, classes], from the [CLS] row c, float32 [batch, hidden].

    A network with one logit gives the sigmoid p read as [1 - p, p].
    """
    hidden = _ACTIVATIONS[_HEAD_ACTIVATION[shape.architecture]](_dense(w, "head/hidden", c))
    return probabilities(_dense(w, "head/logits", hidden))


def flatten_head(w: Weights, length: int, h: Tensor) -> Tensor:
    """Class probabilities, float32 [batch, classes], from all positions of the last block's output."""
    tokens = _size(h)[1]
    h = h[:, :length] if tokens >= length else tf.pad(h, [[0, 0], [0, length - tokens], [0, 0]])
    hidden = tf.nn.relu(_dense(w, "head/hidden", tf.reshape(h, [-1, length * h.shape[-1]])))
    return probabilities(_dense(w, "head/logits", hidden))


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities from logits, float32 [batch, logits]: softmax, or [1 - p, p] of a single logit's sigmoid."""
    if logits.shape[-1] == 1:
        return tf.concat([tf.nn.sigmoid(-logits), tf.nn.sigmoid(logits)], axis=-1)
    return tf.nn.softmax(logits, axis=-1)


def attention_bias(mask: Tensor) -> Tensor:
    """0 where attended to, very negative elsewhere, so that the softmax is exactly 0 there: [batch, 1, 1, tokens]."""
    return (tf.cast(mask, tf.float32) - 1.0)[:, None, None, :] * 1e9


def _dense(w: Weights, name: str, x: Tensor) -> Tensor:
    kernel = w[f"{name}/kernel"]
    if x.shape.rank == 2:
        return tf.matmul(x, kernel) + w[f"{name}/bias"]
    # One large product of [batch * tokens, hidden] instead of a batch of small ones.
    flat = tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel) + w[f"{name}/bias"]
    return tf.reshape(flat, [*_size(x)[:-1], kernel.shape[1]])


def _size(x: Tensor) -> list[Any]:
    """Sizes of `x`: numbers where the graph knows them, so that it can plan, and tensors elsewhere."""
    dynamic = tf.shape(x)
    return [dynamic[i] if known is None else known for i, known in enumerate(x.shape)]


def _heads(shape: NetworkShape, x: Tensor) -> Tensor:
    x = tf.reshape(x, [*_size(x)[:2], shape.heads, shape.hidden // shape.heads])
    return tf.transpose(x, [0, 2, 1, 3])  # [batch, heads, tokens, hidden / heads]


def _normalise(w: Weights, name: str, x: Tensor, epsilon: float) -> Tensor:
    """Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    centred = x - mean
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(variance + epsilon) * w[f"{name}/gamma"] + w[f"{name}/beta"]


@dataclass(frozen=True)
class SplitNetwork:
    """A classifier cut in two at a layer: what the explaining engines need to know of a network.

    `below(ids, mask)` gives the layer's output h, float32 [batch, tokens, hidden]; `above(h, mask)` gives class
    probabilities, float32 [batch, classes]. Both are pure TensorFlow functions that graphs can trace.
    """

    below: Callable[[Tensor, Tensor], Tensor]
    above: Callable[[Tensor, Tensor], Tensor]


def split(w: Weights, shape: NetworkShape, depth: int) -> SplitNetwork:
    """The network cut behind the embeddings (depth 0) or behind block depth - 1."""

    def below(ids: Tensor, mask: Tensor) -> Tensor:
        return blocks(w, shape, embed(w, shape, ids), mask, 0, depth)

    def above(h: Tensor, mask: Tensor) -> Tensor:
        return classify(w, shape, h, mask, depth)

    return SplitNetwork(below, above)
