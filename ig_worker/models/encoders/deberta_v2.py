"""DeBERTa's second version (He et al. 2020, arXiv:2006.03654) and third (He et al. 2021, arXiv:2111.09543), mDeBERTa.

Its attention reads distances: the score of a query s and a key t is

    (q_s · k_t + q_s · K(t − s) + k_t · Q(t − s)) / √(width of a head · number of terms),

where K and Q are projections of an embedding of the distance, by the layers that project keys and queries or by layers
of their own, and distances that are far share an embedding. Any of both further terms may be missing. Else blocks are
BERT's; the largest have a convolution behind the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ig_worker.errors import ModelError
from ig_worker.models.encoders.bert import LAYERS, SIZES
from ig_worker.models.encoders.encoder import (
    Blocks,
    Encoder,
    Parts,
    Weight,
    activated,
    dense,
    flag,
    norm,
    one_of,
    post_norm_blocks,
    table,
    two_layer_head,
    whole,
)
from ig_worker.models.inputs import ModelInput
from ig_worker.models.keys import fixed, harmless, honoured
from ig_worker.models.layers import ACTIVATIONS, NetworkShape, Tensor, Weights

_C2P, _P2C = "c2p", "p2c"  # content to position: q_s · K(t − s); position to content: k_t · Q(t − s)
_LAYERS = LAYERS | {name: f"attention/self/{name}_proj" for name in ("query", "key", "value")}


@dataclass(frozen=True)
class _Own:
    """What only DeBERTa has."""

    relative: bool  # whether attention reads distances
    terms: tuple[str, ...]  # of scores, besides content to content
    buckets: int  # of distances to one side; 0: as many as there are distances
    farthest: int  # distances beyond it are taken for it
    shared: bool  # whether the layers of queries and keys project the embeddings of distances, too
    normed: bool  # whether those are normalised
    absolute: bool  # whether positions are embedded, too
    convolution: int  # width of its kernel; 0: there is none
    groups: int  # of the convolution
    convolution_activation: str

    @property
    def span(self) -> int:
        """Embeddings of distances to one side."""
        return self.buckets or self.farthest


class _Around(NamedTuple):
    """What blocks read besides their input."""

    bias: Tensor  # of the mask
    mask: Tensor  # int32 [batch, tokens]
    distances: Tensor  # embeddings of the distances from −(tokens − 1) to tokens − 1 of a key from a query


def _own(config: Mapping[str, Any]) -> _Own:
    buckets, farthest = whole(config, "position_buckets", -1), whole(config, "max_relative_positions", -1)
    norms = config["norm_rel_ebd"]
    return _Own(
        relative=flag(config, "relative_attention"),
        terms=_terms(config["pos_att_type"]),
        buckets=max(buckets, 0),
        farthest=farthest if farthest > 0 else whole(config, "max_position_embeddings"),
        shared=flag(config, "share_att_key"),
        normed=isinstance(norms, str) and "layer_norm" in [part.strip() for part in norms.lower().split("|")],
        absolute=flag(config, "position_biased_input"),
        convolution=whole(config, "conv_kernel_size", 0),
        groups=whole(config, "conv_groups"),
        convolution_activation=one_of(config, "conv_act", ACTIVATIONS),
    )


def _terms(named: Any) -> tuple[str, ...]:
    """The terms of scores that ``pos_att_type`` names."""
    terms = [part.strip() for part in named.lower().split("|")] if isinstance(named, str) else named
    terms = [] if terms is None else terms
    if not isinstance(terms, list) or not all(term in (_C2P, _P2C) for term in terms):
        raise ModelError(
            f"the model's config.json has pos_att_type {named!r}", expected=f"{_C2P}, {_P2C}, both or none"
        )
    return tuple(terms)


def _further(config: Mapping[str, Any]) -> dict[str, Any]:
    width = whole({"embedding_size": config.get("hidden_size"), **config}, "embedding_size")
    return {"own": _own(config), "embedding": width, "types": whole(config, "type_vocab_size", 0)}


def rows_of_distances(tokens: int, own: _Own) -> npt.NDArray[np.int32]:
    """The embedding of each distance t − s of a key t from a query s, from −(tokens − 1) to tokens − 1, int32.

    Near distances have one each; farther ones share them, by their logarithm.
    """
    before = np.arange(tokens - 1, -tokens, -1)  # s − t
    if own.buckets:
        middle = own.buckets // 2
        far = np.where((before < middle) & (before > -middle), middle - 1, np.abs(before))
        # In float32, as transformers has it: at whole logarithms its rounding decides.
        ratio = np.log(far.astype(np.float32) / np.float32(middle)) / np.log(np.float32((own.farthest - 1) / middle))
        late = np.ceil(ratio * np.float32(middle - 1)) + middle
        before = np.where(far <= middle, before, late * np.sign(before)).astype(np.int64)
    return np.clip(before + own.span, 0, 2 * own.span - 1).astype(np.int32)


def embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """Words, and where the network has them positions and token types; padding is 0."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.elementwise import normalise
    from ig_worker.models.runtime import tf

    h = tf.gather(w["embeddings/word"], text.ids)
    if shape.own.absolute:
        h += tf.gather(w["embeddings/position"], text.positions)
    if shape.types:
        h += tf.gather(w["embeddings/type"], text.types)
    if shape.word_width != shape.hidden:
        h = apply(w, "embeddings/project", h)
    return normalise(w, "embeddings/norm", [h], shape.epsilon) * tf.cast(text.mask, h.dtype)[:, :, None]


def _surroundings(w: Weights, shape: NetworkShape, mask: Tensor, dtype: Any) -> _Around:
    from ig_worker.models.attention import attention_bias  # TensorFlow: seconds
    from ig_worker.models.elementwise import normalise
    from ig_worker.models.runtime import tf

    own, bias = shape.own, attention_bias(mask, dtype)
    if not own.relative:
        return _Around(bias, mask, bias)
    embeddings = tf.cast(w["encoder/distances"], dtype)
    if own.normed:
        embeddings = normalise(w, "encoder/norm", [embeddings], shape.epsilon)
    tokens = tf.shape(mask)[1]
    rows = tf.constant(rows_of_distances(shape.longest, own))[shape.longest - tokens : shape.longest - 1 + tokens]
    return _Around(bias, mask, tf.gather(embeddings, rows))


def _scale(shape: NetworkShape) -> float:
    """What queries are divided by: the root of a head's width, times the number of terms."""
    terms = len(set(shape.own.terms)) + 1
    return 1.0 / float(shape.hidden // shape.heads * terms) ** 0.5


def _project(w: Weights, shape: NetworkShape, k: int, h: Tensor) -> tuple[Tensor, ...]:
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds

    return tuple(apply(w, f"{k}/{name}", h) for name in ("query", "key", "value"))


def _projected_distances(w: Weights, shape: NetworkShape, k: int, around: _Around, term: str) -> Tensor:
    """K or Q of every distance, [heads, distances, hidden / heads]."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.attention import split_heads

    name = {_C2P: "key", _P2C: "query"}[term]
    layer = name if shape.own.shared else f"distance_{name}"
    return split_heads(shape, apply(w, f"{k}/{layer}", around.distances)[None])[0]


def _attend(w: Weights, shape: NetworkShape, k: int, parts: Sequence[Tensor], around: _Around) -> Tensor:
    from ig_worker.models.attention import attention, by_distance, join_heads, product, split_heads
    from ig_worker.models.post_norm import feed_forward
    from ig_worker.models.runtime import tf

    h, *projected = parts
    query, key, value = (split_heads(shape, part) for part in projected)
    dtype = w[f"{k}/mix/kernel"].dtype
    query *= _scale(shape)
    scores = []
    if shape.own.relative and _C2P in shape.own.terms:
        distances = _projected_distances(w, shape, k, around, _C2P)
        scores.append(by_distance(product(query, distances[None], dtype, transpose_b=True)))
    if shape.own.relative and _P2C in shape.own.terms:
        # Of a key t, the query s is at the distance s − t, and the embedding wanted is that of t − s.
        distances = tf.reverse(_projected_distances(w, shape, k, around, _P2C), [1]) * _scale(shape)
        of_keys = by_distance(product(key, distances[None], dtype, transpose_b=True))
        scores.append(tf.transpose(of_keys, [0, 1, 3, 2]))
    context = attention(query, key, value, around.bias, dtype, tf.add_n(scores) if scores else None)
    after = feed_forward(w, shape, k, join_heads(shape, context), h)
    return _convolved(w, shape, h, after, around.mask) if k == 0 and shape.own.convolution else after


def _first_row(w: Weights, shape: NetworkShape, k: int, h: Tensor, around: _Around) -> Tensor:
    """With a single query: its scores and context, and what follows, are of one row. Keys and values are of all.

    BERT's way around those does not go here: what a key adds for its distance is another vector for each.
    """
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds
    from ig_worker.models.attention import split_heads
    from ig_worker.models.post_norm import feed_forward
    from ig_worker.models.runtime import tf

    if k == 0 and shape.own.convolution:
        parts = (h, *_project(w, shape, k, h))
        return _attend(w, shape, k, parts, around)[:, 0]
    first = h[:, :1]
    query = split_heads(shape, apply(w, f"{k}/query", first)) * _scale(shape)
    key, value = (split_heads(shape, apply(w, f"{k}/{name}", h)) for name in ("key", "value"))
    tokens = tf.shape(h)[1]
    scores = tf.matmul(query, key, transpose_b=True)  # [batch, heads, 1, tokens]
    if shape.own.relative and _C2P in shape.own.terms:
        ahead = _projected_distances(w, shape, k, around, _C2P)[:, tokens - 1 :]  # t − 0
        scores += tf.matmul(query, ahead[None], transpose_b=True)
    if shape.own.relative and _P2C in shape.own.terms:
        ahead = _projected_distances(w, shape, k, around, _P2C)[:, tokens - 1 :] * _scale(shape)
        scores += tf.reduce_sum(key * ahead[None], axis=-1)[:, :, None]
    context = tf.matmul(tf.nn.softmax(scores + around.bias, axis=-1), value)  # [batch, heads, 1, hidden / heads]
    return feed_forward(w, shape, k, tf.reshape(context, [-1, shape.hidden]), first[:, 0])


def _convolved(w: Weights, shape: NetworkShape, h: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """The output of the first block with a convolution over the tokens of its input, added and normalised."""
    from ig_worker.models.elementwise import ACTIVATION, normalise  # TensorFlow: seconds
    from ig_worker.models.runtime import tf

    real = tf.cast(mask, h.dtype)[:, :, None]
    found = tf.nn.conv1d(h, w["encoder/convolution/kernel"], stride=1, padding="SAME")
    found = ACTIVATION[shape.own.convolution_activation]((found + w["encoder/convolution/bias"]) * real)
    return normalise(w, "encoder/convolution/norm", [after, found], shape.epsilon) * real


def _weights(shape: NetworkShape) -> Parts:
    own, width, words = shape.own, shape.hidden, shape.word_width
    parts = table("embeddings/word", "embeddings/word_embeddings/weight", shape.vocabulary, words)
    parts |= norm("embeddings/norm", "embeddings/LayerNorm", width)
    if own.absolute:
        parts |= table("embeddings/position", "embeddings/position_embeddings/embeddings", shape.positions, words)
    if shape.types:
        parts |= table("embeddings/type", "embeddings/token_type_embeddings/embeddings", shape.types, words)
    if words != width:
        parts |= dense("embeddings/project", "embeddings/embed_proj", words, width, bias=False)
    if own.relative:
        parts |= table("encoder/distances", "encoder/rel_embeddings.weight", 2 * own.span, width)
    if own.normed:
        parts |= norm("encoder/norm", "encoder/LayerNorm", width)
    if own.convolution:
        kernel = (own.convolution, width // own.groups, width)
        parts |= {
            "encoder/convolution/kernel": Weight("encoder/conv/conv/kernel", kernel),
            "encoder/convolution/bias": Weight("encoder/conv/conv/bias", (width,)),
        }
        parts |= norm("encoder/convolution/norm", "encoder/conv/LayerNorm", width)
    parts |= post_norm_blocks(shape, "encoder/layer_._{k}", _LAYERS)
    if own.relative and not own.shared:
        named = [("key", _C2P, "pos_proj"), ("query", _P2C, "pos_q_proj")]
        for name, path in [(name, path) for name, term, path in named if term in own.terms]:
            for k in range(shape.blocks):
                inside = f"encoder/layer_._{k}/attention/self"
                pytorch = f"{inside}/pos_{name}_proj"
                parts |= dense(f"{k}/distance_{name}", f"{inside}/{path}", width, width, pytorch=pytorch)
    return parts | two_layer_head(shape, "pooler/dense", "classifier")


DEBERTA_V2 = Encoder(
    name="deberta-v2",
    title="DeBERTa",
    classes="DebertaV2",
    prefix="deberta",
    tokenizer="SentencePiece",
    sizes={name: key for name, key in SIZES.items() if name != "types"},
    activation="hidden_act",
    epsilon="layer_norm_eps",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout", "cls_dropout"),
    keys=honoured("shape.read_shape: sizes, which the tensors have to have", "type_vocab_size", "embedding_size")
    | honoured(
        "shape.read_shape: part of the arithmetic",
        "relative_attention", "max_relative_positions", "position_buckets", "pos_att_type", "share_att_key",
        "norm_rel_ebd", "position_biased_input", "conv_kernel_size", "conv_groups", "conv_act",
    )
    | fixed("its head would have another activation", (None, "gelu"), "pooler_hidden_act")
    | fixed("its heads would be of another width", (None,), "attention_head_size")
    | harmless("the head is as wide as the blocks, which the tensors have to have", "pooler_hidden_size")
    | harmless("only pretraining reads it", "legacy"),
    usual={
        "type_vocab_size": 0, "relative_attention": False, "max_relative_positions": -1, "position_buckets": -1,
        "pos_att_type": None, "share_att_key": False, "norm_rel_ebd": "none", "position_biased_input": True,
        "conv_kernel_size": 0, "conv_groups": 1, "conv_act": "tanh", "layer_norm_eps": 1e-7,
    },
    further=_further,
    weights=_weights,
    leftovers=r"(lm_predictions|mask_predictions|cls)\..+|embeddings\.position_embeddings\..+",
    embed=embed,
    blocks=lambda: Blocks(_surroundings, _project, _attend, _first_row),
    logits=partial(activated, activation="gelu"),
    adaptive_evaluations=30.0,
)  # fmt: skip
