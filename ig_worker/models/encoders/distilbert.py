"""DistilBERT (Sanh et al. 2019, arXiv:1910.01108)."""

from __future__ import annotations

from ig_worker.models.encoders.encoder import Encoder
from ig_worker.models.keys import harmless
from ig_worker.models.layers import NetworkShape, Tensor, Weights


def embed(w: Weights, shape: NetworkShape, ids: Tensor) -> Tensor:
    """Words and positions, added and normalised."""
    from ig_worker.models.elementwise import normalise  # TensorFlow: seconds
    from ig_worker.models.network import words_at_positions

    return normalise(w, "embeddings/norm", [words_at_positions(w, ids)], shape.epsilon)


DISTILBERT = Encoder(
    name="distilbert",
    title="DistilBERT",
    classes="DistilBert",
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
    tables={
        "embeddings/word": ("embeddings/word_embeddings/weight", "vocabulary"),
        "embeddings/position": ("embeddings/position_embeddings/embeddings", "positions"),
    },
    dense={
        "query": "transformer/layer_._{k}/attention/q_lin",
        "key": "transformer/layer_._{k}/attention/k_lin",
        "value": "transformer/layer_._{k}/attention/v_lin",
        "mix": "transformer/layer_._{k}/attention/out_lin",
        "widen": "transformer/layer_._{k}/ffn/lin1",
        "narrow": "transformer/layer_._{k}/ffn/lin2",
    },
    norms={
        "attention_norm": "transformer/layer_._{k}/sa_layer_norm",
        "output_norm": "transformer/layer_._{k}/output_layer_norm",
    },
    head={"head/hidden": "pre_classifier", "head/logits": "classifier"},
    pretraining=r"vocab_(transform|layer_norm|projector)\..+",
    embed=embed,
    head_activation="relu",
    adaptive_evaluations=8.0,  # IMDB reviews took 8.3 at the default tolerance: this head is piecewise linear
)
