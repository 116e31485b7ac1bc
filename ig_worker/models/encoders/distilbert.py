"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108)."""

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
from ig_worker.models.keys import harmless
from ig_worker.models.layers import NetworkShape, Tensor, Weights

_LAYERS = {
    "query": "attention/q_lin",
    "key": "attention/k_lin",
    "value": "attention/v_lin",
    "mix": "attention/out_lin",
    "attention_norm": "sa_layer_norm",
    "widen": "ffn/lin1",
    "narrow": "ffn/lin2",
    "output_norm": "output_layer_norm",
}


def embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """Words and positions, added and normalised."""
    from ig_worker.models.elementwise import normalise  # TensorFlow: seconds
    from ig_worker.models.runtime import tf

    words, positions = tf.gather(w["embeddings/word"], text.ids), tf.gather(w["embeddings/position"], text.positions)
    return normalise(w, "embeddings/norm", [words + positions], shape.epsilon)


def tables(shape: NetworkShape) -> Parts:
    """The weights of `embed`."""
    width = shape.hidden
    return {
        **table("embeddings/word", "embeddings/word_embeddings/weight", shape.vocabulary, width),
        **table("embeddings/position", "embeddings/position_embeddings/embeddings", shape.positions, width),
        **norm("embeddings/norm", "embeddings/LayerNorm", width),
    }


def _weights(shape: NetworkShape) -> Parts:
    parts = tables(shape) | post_norm_blocks(shape, "transformer/layer_._{k}", _LAYERS)
    return parts | two_layer_head(shape, "pre_classifier", "classifier")


DISTILBERT = Encoder(
    name="distilbert",
    title="DistilBERT",
    classes="DistilBert",
    prefix="distilbert",
    tokenizer="WordPiece",
    sizes={
        "hidden": "dim",
        "blocks": "n_layers",
        "heads": "n_heads",
        "intermediate": "hidden_dim",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    },
    second_names={"dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads"},
    activation="activation",
    epsilon=None,
    dropouts=("dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"),
    keys=harmless("only how positions begin before training: their embeddings are the file's", "sinusoidal_pos_embds"),
    weights=_weights,
    leftovers=r"vocab_(transform|layer_norm|projector)\..+",
    embed=embed,
    logits=partial(activated, activation="relu"),
    adaptive_evaluations=8.0,  # IMDB reviews took 8.3 at the default tolerance: this head is piecewise linear
)
