"""ELECTRA's discriminator (Clark et al. 2020, arXiv:2003.10555): BERT with embeddings of a width of their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ig_worker.models.encoders.bert import SIZES, encoder_weights
from ig_worker.models.encoders.bert import embed as embed_words
from ig_worker.models.encoders.encoder import Encoder, Parts, activated, dense, two_layer_head, whole
from ig_worker.models.inputs import ModelInput
from ig_worker.models.keys import harmless, honoured
from ig_worker.models.layers import NetworkShape, Tensor, Weights

OWN_WIDTH = honoured("shape.read_shape: sizes, which the tensors have to have", "embedding_size")


def embedding_width(config: Mapping[str, Any]) -> dict[str, Any]:
    """The width of the word embeddings; raises ModelError where it is none."""
    return {"embedding": whole(config, "embedding_size")}


def _embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """BERT's embeddings, projected to the width of the blocks where theirs is another."""
    from ig_worker.models.attention import dense as apply  # TensorFlow: seconds

    h = embed_words(w, shape, text)
    return h if shape.word_width == shape.hidden else apply(w, "embeddings/project", h)


def _weights(shape: NetworkShape) -> Parts:
    parts = encoder_weights(shape) | two_layer_head(shape, "classifier/dense", "classifier/out_proj")
    if shape.word_width == shape.hidden:
        return parts
    return parts | dense("embeddings/project", "embeddings_project", shape.word_width, shape.hidden)


ELECTRA = Encoder(
    name="electra",
    title="ELECTRA",
    classes="Electra",
    prefix="electra",
    tokenizer="WordPiece",
    sizes=SIZES,
    activation="hidden_act",
    epsilon="layer_norm_eps",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    keys=OWN_WIDTH
    | harmless(
        "only other heads read it",
        "summary_type", "summary_use_proj", "summary_activation", "summary_last_dropout",
    ),
    usual={"embedding_size": 128},
    further=embedding_width,
    weights=_weights,
    leftovers=r"(discriminator|generator)_predictions\..+|generator_lm_head\..+",
    embed=_embed,
    logits=partial(activated, activation="gelu"),
    adaptive_evaluations=20.0,
)  # fmt: skip
