"""BERT (Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

from functools import partial

from ig_worker.models.encoders.encoder import (
    Encoder,
    Parts,
    activated,
    norm,
    post_norm_blocks,
    table,
    two_layer_head,
)
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import NetworkShape, Tensor, Weights

SIZES = {
    "hidden": "hidden_size",
    "blocks": "num_hidden_layers",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "types": "type_vocab_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
}
LAYERS = {
    "query": "attention/self/query",
    "key": "attention/self/key",
    "value": "attention/self/value",
    "mix": "attention/output/dense",
    "attention_norm": "attention/output/LayerNorm",
    "widen": "intermediate/dense",
    "narrow": "output/dense",
    "output_norm": "output/LayerNorm",
}


def embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """Words, positions and token types, added and normalised."""
    from ig_worker.models.elementwise import normalise  # TensorFlow: seconds

    return normalise(w, "embeddings/norm", [summed(w, text)], shape.epsilon)


def summed(w: Weights, text: ModelInput) -> Tensor:
    """The embeddings of words, positions and token types, added, float32 [batch, tokens, their width]."""
    from ig_worker.models.runtime import tf

    return (
        tf.gather(w["embeddings/word"], text.ids)
        + tf.gather(w["embeddings/position"], text.positions)
        + tf.gather(w["embeddings/type"], text.types)
    )


def tables(shape: NetworkShape) -> Parts:
    """The weights of `embed`."""
    width = shape.word_width
    return {
        **table("embeddings/word", "embeddings/word_embeddings/weight", shape.vocabulary, width),
        **table("embeddings/position", "embeddings/position_embeddings/embeddings", shape.positions, width),
        **table("embeddings/type", "embeddings/token_type_embeddings/embeddings", shape.types, width),
        **norm("embeddings/norm", "embeddings/LayerNorm", width),
    }


def encoder_weights(shape: NetworkShape) -> Parts:
    """The weights of embeddings and blocks."""
    return tables(shape) | post_norm_blocks(shape, "encoder/layer_._{k}", LAYERS)


def _weights(shape: NetworkShape) -> Parts:
    return encoder_weights(shape) | two_layer_head(shape, "pooler/dense", "classifier")


BERT = Encoder(
    name="bert",
    title="BERT",
    classes="Bert",
    prefix="bert",
    tokenizer="WordPiece",
    sizes=SIZES,
    activation="hidden_act",
    epsilon="layer_norm_eps",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    weights=_weights,
    leftovers=r"(mlm___|nsp___)?cls\..+",
    embed=embed,
    logits=partial(activated, activation="tanh"),
    adaptive_evaluations=40.0,  # IMDB reviews took 38.7 at the default tolerance, with six blocks
)
