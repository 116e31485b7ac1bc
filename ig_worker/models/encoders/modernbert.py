"""ModernBERT (Warner et al. 2024, arXiv:2412.13663).

Blocks normalise before each part, have no biases, turn queries and keys by their positions (Su et al. 2021,
arXiv:2104.09864), and gate the units between their two dense layers (GeGLU: Shazeer 2020, arXiv:2002.05202). Attention
goes to near tokens only, but for every third block. transformers has no TensorFlow network of it, so at the start of a
run it is not held against another: golden files of transformers' PyTorch network are, in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ig_worker.models.encoders.bert import SIZES
from ig_worker.models.encoders.encoder import Blocks, Encoder, Parts, dense, flag, norm, number, one_of, table, whole
from ig_worker.models.inputs import ModelInput
from ig_worker.models.keys import fixed, harmless, honoured
from ig_worker.models.layers import ACTIVATIONS, NetworkShape, Tensor, Weights


@dataclass(frozen=True)
class _Own:
    """What only ModernBERT has."""

    every: int  # how many blocks from one with global attention to the next
    window: int  # tokens to one side that local attention reaches
    global_base: float  # of the angles, where attention is global
    local_base: float
    pooling: str  # what the head reads: the first token, or the mean of all
    norm_bias: bool
    attention_bias: bool
    layer_bias: bool  # of feed-forward layers
    head_bias: bool  # of the head's hidden layer
    head_activation: str


class _Around(NamedTuple):
    """What blocks read besides their input, for global and for local attention."""

    biases: tuple[Tensor, Tensor]  # [batch, 1, 1, tokens] and [batch, 1, tokens, tokens]
    turns: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]  # cosines and sines, each [tokens, width of a head]


def _further(config: Mapping[str, Any]) -> dict[str, Any]:
    base = number(config, "global_rope_theta")
    own = _Own(
        every=whole(config, "global_attn_every_n_layers"),
        window=whole(config, "local_attention") // 2,
        global_base=base,
        local_base=base if config["local_rope_theta"] is None else number(config, "local_rope_theta"),
        pooling=one_of(config, "classifier_pooling", ("cls", "mean")),
        norm_bias=flag(config, "norm_bias"),
        attention_bias=flag(config, "attention_bias"),
        layer_bias=flag(config, "mlp_bias"),
        head_bias=flag(config, "classifier_bias"),
        head_activation=one_of(config, "classifier_activation", ACTIVATIONS),
    )
    return {"own": own}


def _embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """Words, normalised: where they stand is up to attention."""
    from ig_worker.models.elementwise import normalise  # TensorFlow: seconds
    from ig_worker.models.runtime import tf

    return normalise(w, "embeddings/norm", [tf.gather(w["embeddings/word"], text.ids)], shape.epsilon)


def turns(tokens: int, width: int, base: float) -> npt.NDArray[np.float32]:
    """Cosines and sines of the angles that pairs of a head's units are turned by, float32 [2, tokens, width].

    Unit i and unit i + width / 2 are a pair; its angle at position p is p · base^(−2i / width).
    """
    speeds = 1.0 / np.float32(base) ** (np.arange(0, width, 2, dtype=np.float32) / np.float32(width))
    angles = np.arange(tokens, dtype=np.float32)[:, None] * speeds
    angles = np.concatenate([angles, angles], axis=1)
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def _surroundings(w: Weights, shape: NetworkShape, mask: Tensor, dtype: Any) -> _Around:
    from ig_worker.models.attention import FAR, attention_bias  # TensorFlow: seconds
    from ig_worker.models.runtime import tf

    own, tokens = shape.own, tf.shape(mask)[1]
    place = tf.range(tokens)
    far = tf.cast(tf.abs(place[:, None] - place) > own.window, dtype) * FAR
    everywhere = attention_bias(mask, dtype)

    def table(base: float) -> tuple[Tensor, Tensor]:
        both = turns(shape.longest, shape.hidden // shape.heads, base)
        cosines, sines = tf.unstack(tf.cast(tf.constant(both)[:, :tokens], dtype))
        return cosines, sines

    return _Around((everywhere, everywhere - far), (table(own.global_base), table(own.local_base)))


def _is_local(shape: NetworkShape, k: int) -> int:
    """1 where the attention of block k is local, 0 where it is global."""
    return int(k % shape.own.every != 0)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys, [batch, heads, tokens, width], turned by their positions."""
    from ig_worker.models.runtime import tf

    first, second = tf.split(x, 2, axis=-1)
    return x * turn[0] + tf.concat([-second, first], axis=-1) * turn[1]


def _before(w: Weights, shape: NetworkShape, k: int, h: Tensor) -> Tensor:
    """What attention reads; the embeddings are normalised already."""
    from ig_worker.models.elementwise import normalise  # TensorFlow: seconds

    return normalise(w, f"{k}/attention_norm", [h], shape.epsilon) if k else h


def _attend(w: Weights, shape: NetworkShape, k: int, parts: Sequence[Tensor], around: _Around) -> Tensor:
    from ig_worker.models.attention import attention, join_heads, split_heads  # TensorFlow: seconds
    from ig_worker.models.attention import dense as apply
    from ig_worker.models.runtime import tf

    (h,) = parts
    local = _is_local(shape, k)
    of_heads = tf.split(apply(w, f"{k}/attention", _before(w, shape, k, h)), 3, axis=-1)
    query, key, value = (split_heads(shape, part) for part in of_heads)
    scale = 1.0 / float(shape.hidden // shape.heads) ** 0.5
    query, key = _turned(query * scale, around.turns[local]), _turned(key, around.turns[local])
    context = attention(query, key, value, around.biases[local], w[f"{k}/mix/kernel"].dtype)
    return _feed_forward(w, shape, k, join_heads(shape, context), h)


def _first_row(w: Weights, shape: NetworkShape, k: int, h: Tensor, around: _Around) -> Tensor:
    """With a single query, which is at position 0 and so not turned; keys and values are of all tokens."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.attention import split_heads
    from ig_worker.models.runtime import tf

    local, read = _is_local(shape, k), _before(w, shape, k, h)
    kernel, width = tf.convert_to_tensor(w[f"{k}/attention/kernel"]), shape.hidden
    parts = {"first/kernel": kernel[:, :width], "all/kernel": kernel[:, width:]}
    if f"{k}/attention/bias" in w:
        bias = tf.convert_to_tensor(w[f"{k}/attention/bias"])
        parts |= {"first/bias": bias[:width], "all/bias": bias[width:]}
    query = split_heads(shape, apply(parts, "first", read[:, :1])) / float(width // shape.heads) ** 0.5
    key, value = (split_heads(shape, part) for part in tf.split(apply(parts, "all", read), 2, axis=-1))
    scores = tf.matmul(query, _turned(key, around.turns[local]), transpose_b=True) + around.biases[local][:, :, :1]
    context = tf.matmul(tf.nn.softmax(scores, axis=-1), value)  # [batch, heads, 1, width of a head]
    return _feed_forward(w, shape, k, tf.reshape(context, [-1, width]), h[:, 0])


def _feed_forward(w: Weights, shape: NetworkShape, k: int, context: Tensor, h: Tensor) -> Tensor:
    """What follows a block's attention: each row by itself."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.elementwise import ACTIVATION, normalise
    from ig_worker.models.runtime import tf

    after = h + apply(w, f"{k}/mix", context)
    wide = apply(w, f"{k}/widen", normalise(w, f"{k}/output_norm", [after], shape.epsilon))
    passed, gate = tf.split(wide, 2, axis=-1)
    return after + apply(w, f"{k}/narrow", ACTIVATION[shape.activation](passed) * gate)


def _read(w: Weights, shape: NetworkShape, h: Tensor, mask: Tensor) -> Tensor:
    """The head's hidden layer before its activation, of the first token or of the mean of all, normalised."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.elementwise import normalise
    from ig_worker.models.runtime import tf

    if shape.own.pooling == "cls":
        pooled = normalise(w, "encoder/norm", [h[:, 0]], shape.epsilon)
    else:
        real = tf.cast(mask, h.dtype)[:, :, None]
        last = normalise(w, "encoder/norm", [h], shape.epsilon)
        pooled = tf.reduce_sum(last * real, axis=1) / tf.reduce_sum(real, axis=1)
    return apply(w, "head/hidden", pooled)


def _logits(w: Weights, shape: NetworkShape, z: Tensor) -> Tensor:
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.elementwise import ACTIVATION, normalise

    z = normalise(w, "head/norm", [ACTIVATION[shape.own.head_activation](z)], shape.epsilon)
    return apply(w, "head/logits", z)


def _weights(shape: NetworkShape) -> Parts:
    width, wide = shape.hidden, shape.intermediate
    own: _Own = shape.own
    parts = table("embeddings/word", "embeddings/tok_embeddings/weight", shape.vocabulary, width)
    parts |= norm("embeddings/norm", "embeddings/norm", width, beta=own.norm_bias)
    for k in range(shape.blocks):
        block = f"layers_._{k}"
        if k:
            parts |= norm(f"{k}/attention_norm", f"{block}/attn_norm", width, beta=own.norm_bias)
        parts |= dense(f"{k}/attention", f"{block}/attn/Wqkv", width, 3 * width, bias=own.attention_bias)
        parts |= dense(f"{k}/mix", f"{block}/attn/Wo", width, width, bias=own.attention_bias)
        parts |= norm(f"{k}/output_norm", f"{block}/mlp_norm", width, beta=own.norm_bias)
        parts |= dense(f"{k}/widen", f"{block}/mlp/Wi", width, 2 * wide, bias=own.layer_bias)
        parts |= dense(f"{k}/narrow", f"{block}/mlp/Wo", wide, width, bias=own.layer_bias)
    parts |= norm("encoder/norm", "final_norm", width, beta=own.norm_bias)
    parts |= dense("head/hidden", "head/dense", width, width, bias=own.head_bias)
    parts |= norm("head/norm", "head/norm", width, beta=own.norm_bias)
    return parts | dense("head/logits", "classifier", width, shape.logits)


MODERNBERT = Encoder(
    name="modernbert",
    title="ModernBERT",
    classes="ModernBert",
    prefix="model",
    tokenizer="byte-level BPE",
    sizes={name: key for name, key in SIZES.items() if name != "types"},
    activation="hidden_activation",
    epsilon="norm_eps",
    dropouts=("attention_dropout", "embedding_dropout", "mlp_dropout", "classifier_dropout"),
    keys=honoured(
        "shape.read_shape: part of the arithmetic",
        "global_attn_every_n_layers", "local_attention", "global_rope_theta", "local_rope_theta",
        "classifier_pooling", "classifier_activation", "norm_bias", "attention_bias", "mlp_bias", "classifier_bias",
    )
    | fixed("angles would be scaled", (None,), "rope_scaling")
    | harmless("only training reads it", "initializer_cutoff_factor", "deterministic_flash_attn")
    | harmless("only pretraining reads it", "decoder_bias", "sparse_prediction", "sparse_pred_ignore_index")
    | harmless("another program for the same arithmetic", "reference_compile", "repad_logits_with_grad")
    | harmless("a leftover that nothing reads", "layer_norm_eps", "position_embedding_type"),
    usual={
        "norm_eps": 1e-5, "hidden_activation": "gelu", "global_attn_every_n_layers": 3, "local_attention": 128,
        "global_rope_theta": 160000.0, "local_rope_theta": 10000.0, "classifier_pooling": "cls",
        "classifier_activation": "gelu", "norm_bias": False, "attention_bias": False, "mlp_bias": False,
        "classifier_bias": False,
    },
    further=_further,
    weights=_weights,
    leftovers=r"decoder\..+",
    tensorflow=False,
    embed=_embed,
    blocks=lambda: Blocks(_surroundings, lambda *_: (), _attend, _first_row),
    read=_read,
    reads_first=lambda shape: bool(shape.own.pooling == "cls"),
    logits=_logits,
    adaptive_evaluations=30.0,
)  # fmt: skip
