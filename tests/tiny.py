"""Tiny random networks with a tokenizer, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ig_worker.models.encoders import ENCODERS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "the a an film movie was is not very good bad great dull awful joy plot act actor scene slow end un ##ly ##ing ##s "
    "never boring but and it i ; . , ! ? ' - / < > br"
).split()
IN_TENSORFLOW = [name for name, encoder in ENCODERS.items() if encoder.tensorflow]  # whom transformers has there
SIZES = {
    "vocabulary": len(SPECIAL + WORDS),
    "positions": 64,
    "hidden": 32,
    "blocks": 3,
    "heads": 4,
    "intermediate": 64,
}


def save_tiny_model(directory: Path, architecture: str, **overrides: Any) -> Path:
    """Write a random classifier with its tokenizer; `overrides` go to transformers' configuration."""
    from ig_worker.models.runtime import tf  # isort: skip
    import transformers

    tf.keras.utils.set_random_seed(8 if architecture == "electra" else 7)  # with 7 it hardly tells texts apart
    # Weights ten times the usual size make sharp networks, on which errors show.
    encoder = ENCODERS[architecture]
    if not encoder.tensorflow:
        return _save_from_numbers(directory, architecture, overrides)
    sizes = {encoder.sizes[name]: value for name, value in SIZES.items() if name in encoder.sizes}
    sizes |= {"initializer_range": 0.2, "pad_token_id": 0}
    config = getattr(transformers, f"{encoder.classes}Config")(**(sizes | overrides))
    model = getattr(transformers, f"TF{encoder.classes}ForSequenceClassification")(config)
    model(tf.zeros([1, 2], tf.int32))
    for weight in model.weights:  # biases and normalisations start as 0 and 1, which would hide mistakes
        if weight.shape.rank == 1:
            weight.assign_add(tf.random.normal(weight.shape, stddev=0.1))
    directory.mkdir(parents=True)
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def _save_from_numbers(directory: Path, architecture: str, overrides: dict[str, Any]) -> Path:
    """The same of an encoder that transformers does not have for TensorFlow."""
    from tests.models.kinds import save_kind

    sizes = {ENCODERS[architecture].sizes[name]: value for name, value in SIZES.items() if name != "types"}
    save_kind(directory, architecture, logits=2, **(sizes | {"pad_token_id": 0} | overrides))
    save_tokenizer(directory)
    return directory


def save_tiny_head_model(directory: Path, architecture: str, length: int = 24, **overrides: Any) -> Path:
    """Write a random encoder with a head on all of `length` positions."""
    from ig_worker.models.runtime import tf  # isort: skip
    import transformers

    from ig_worker.models.head import build_head, save_head
    from ig_worker.models.layers import FlattenHead

    whole = save_tiny_model(directory.with_name(f"{directory.name}-whole"), architecture, **overrides)
    encoder = transformers.TFAutoModel.from_pretrained(whole)
    sizes = FlattenHead(length, 16, 0.1)
    head = build_head(sizes, SIZES["hidden"], 2)
    for weight in head.weights:
        weight.assign(tf.random.normal(weight.shape, stddev=0.3))
    directory.mkdir(parents=True)
    save_head(directory, encoder, head, sizes, ("bad", "good"))
    save_tokenizer(directory)
    return directory


def save_tokenizer(directory: Path, pieces: list[str] | None = None) -> None:
    """Write a BERT tokenizer with the given word pieces, or with `SPECIAL` and `WORDS`."""
    from transformers import BertTokenizerFast

    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("\n".join(pieces or SPECIAL + WORDS) + "\n")
    BertTokenizerFast(vocab_file=str(vocabulary), do_lower_case=True).save_pretrained(directory)
