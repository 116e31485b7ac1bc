"""A tiny network of each kind that is explained: configuration and weights, from numbers alone.

Needs neither TensorFlow nor torch: a process with either makes the same network of them.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.models.encoders import ENCODERS
from ig_worker.models.layers import NetworkShape
from ig_worker.models.shape import read_shape
from ig_worker.models.weights import weight_parts
from tests.models.checkpoints import State, pytorch_names, write_safetensors

GOLDEN = Path(__file__).parent / "golden"
TOKENS = 40  # so many that distances share buckets, and that some are out of a local window
_BERT = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 48, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
_DEBERTA = _BERT | {
    "model_type": "deberta-v2", "type_vocab_size": 0, "relative_attention": True, "max_relative_positions": 32,
    "position_buckets": 8, "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
}  # fmt: skip
_MODERN = {key: value for key, value in _BERT.items() if key not in ("hidden_act", "layer_norm_eps")} | {
    "model_type": "modernbert", "pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 2,
    "norm_eps": 1e-5,
}  # fmt: skip

# The keys of config.json by the name of the kind; further kinds of one encoder take other paths through its file.
KINDS: dict[str, dict[str, Any]] = {
    "distilbert": {
        "model_type": "distilbert", "vocab_size": 50, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24,
        "max_position_embeddings": 48, "activation": "gelu",
    },
    "bert": _BERT | {"model_type": "bert", "type_vocab_size": 2},
    "roberta": _BERT | {"model_type": "roberta", "type_vocab_size": 1, "pad_token_id": 1},
    "roberta-padding-3": _BERT | {"model_type": "roberta", "type_vocab_size": 1, "pad_token_id": 3},
    "xlm-roberta": _BERT | {"model_type": "xlm-roberta", "type_vocab_size": 1, "pad_token_id": 1},
    "camembert": _BERT | {"model_type": "camembert", "type_vocab_size": 1, "pad_token_id": 1},
    "electra": _BERT | {"model_type": "electra", "type_vocab_size": 2, "embedding_size": 8},
    "electra-of-one-width": _BERT | {"model_type": "electra", "type_vocab_size": 2, "embedding_size": 16},
    "albert": _BERT | {"model_type": "albert", "type_vocab_size": 2, "embedding_size": 8, "hidden_act": "gelu_new"},
    "albert-two-groups": _BERT
    | {"model_type": "albert", "type_vocab_size": 2, "embedding_size": 8, "num_hidden_groups": 2},
    "mpnet": _BERT | {"model_type": "mpnet"},
    "deberta-v3": _DEBERTA,
    "deberta-v2-largest": _DEBERTA
    | {
        "type_vocab_size": 2, "share_att_key": False, "norm_rel_ebd": "none", "position_biased_input": True,
        "conv_kernel_size": 3, "conv_act": "gelu", "position_buckets": -1, "pos_att_type": "c2p|p2c",
    },
    "deberta-narrow": _DEBERTA | {"embedding_size": 8},
    "deberta-c2p": _DEBERTA | {"pos_att_type": ["c2p"], "position_buckets": -1, "max_relative_positions": -1},
    "deberta-absolute": _DEBERTA
    | {"relative_attention": False, "pos_att_type": None, "norm_rel_ebd": "none", "position_biased_input": True},
    "modernbert": _MODERN,
    "modernbert-mean": _MODERN
    | {
        "classifier_pooling": "mean", "norm_bias": True, "attention_bias": True, "mlp_bias": True,
        "classifier_bias": True, "classifier_activation": "silu", "local_rope_theta": None,
    },
}  # fmt: skip


def shape_of(kind: str, logits: int = 3) -> NetworkShape:
    """The sizes of a kind's network."""
    return read_shape(config_of(kind, logits))


def config_of(kind: str, logits: int = 3) -> dict[str, Any]:
    """The content of a kind's config.json."""
    config = KINDS[kind]
    title = ENCODERS[config["model_type"]].classes
    names = {str(i): f"class {i}" for i in range(logits)}
    return config | {"architectures": [f"{title}ForSequenceClassification"], "id2label": names}


def state_of(shape: NetworkShape, seed: int = 0) -> State:
    """Its weights by PyTorch's names, as PyTorch has them. Large ones, since errors show on sharp networks."""
    names, state = pytorch_names(shape), {}
    for weight, part in weight_parts(shape).items():
        rng = np.random.default_rng([seed, zlib.crc32(names[weight].encode())])  # whatever order they are said in
        values = rng.random(part.shape) - 0.5  # in [-0.5, 0.5): such numbers are the same on every machine
        scale = 0.6 if weight.endswith(("gamma", "beta", "bias")) else 1.5
        values = (values * scale + weight.endswith("gamma")).astype(np.float32)
        state[names[weight]] = np.ascontiguousarray(values.T if part.path.endswith("kernel") else values)
    return state


def save_kind(directory: Path, kind: str, logits: int = 3, **config: Any) -> Path:
    """Write config.json and model.safetensors of a kind's network, without a tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    content = config_of(kind, logits) | config
    (directory / "config.json").write_text(json.dumps(content))
    write_safetensors(directory / "model.safetensors", state_of(read_shape(content)), {"format": "pt"})
    return directory


def texts(shape: NetworkShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, mask and token types of two texts, int32 [2, TOKENS]; of the second, a part is padding, and has its id."""
    ids = np.random.default_rng(1).integers(5, shape.vocabulary, (2, TOKENS)).astype(np.int32)
    mask = np.ones_like(ids)
    mask[1, TOKENS - 11 :] = 0
    ids[mask == 0] = shape.padding
    types = np.zeros_like(ids)
    if shape.types > 1:
        types[:, TOKENS // 2 :] = 1
    return ids, mask, types
