"""BERT (Devlin et al. 2018, arXiv:1810.04805)."""

from __future__ import annotations

from ig_worker.models.encoders.encoder import Encoder
from ig_worker.models.layers import NetworkShape, Tensor, Weights


def embed(w: Weights, shape: NetworkShape, ids: Tensor) -> Tensor:
    """Words, positions and the first token type, which a single text has throughout, added and normalised."""
    from ig_worker.models.elementwise import normalise  # TensorFlow: seconds
    from ig_worker.models.network import words_at_positions

    h = words_at_positions(w, ids) + w["embeddings/type"][0]
    return normalise(w, "embeddings/norm", [h], shape.epsilon)


BERT = Encoder(
    name="bert",
    title="BERT",
    classes="Bert",
    sizes={
        "hidden": "hidden_size",
        "blocks": "num_hidden_layers",
        "heads": "num_attention_heads",
        "intermediate": "intermediate_size",
        "types": "type_vocab_size",
        "vocabulary": "vocab_size",
        "positions": "max_position_embeddings",
    },
    activation="hidden_act",
    epsilon="layer_norm_eps",
    dropouts=("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    tables={
        "embeddings/word": ("embeddings/word_embeddings/weight", "vocabulary"),
        "embeddings/position": ("embeddings/position_embeddings/embeddings", "positions"),
        "embeddings/type": ("embeddings/token_type_embeddings/embeddings", "types"),
    },
    dense={
        "query": "encoder/layer_._{k}/attention/self/query",
        "key": "encoder/layer_._{k}/attention/self/key",
        "value": "encoder/layer_._{k}/attention/self/value",
        "mix": "encoder/layer_._{k}/attention/output/dense",
        "widen": "encoder/layer_._{k}/intermediate/dense",
        "narrow": "encoder/layer_._{k}/output/dense",
    },
    norms={
        "attention_norm": "encoder/layer_._{k}/attention/output/LayerNorm",
        "output_norm": "encoder/layer_._{k}/output/LayerNorm",
    },
    head={"head/hidden": "pooler/dense", "head/logits": "classifier"},
    pretraining=r"(mlm___|nsp___)?cls\..+",
    embed=embed,
    head_activation="tanh",
    adaptive_evaluations=40.0,  # IMDB reviews took 38.7 at the default tolerance, with six blocks
)
