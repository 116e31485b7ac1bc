"""The network that a recipe trains, from a pretrained encoder or from random weights, with its tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.errors import ModelError, UsageError
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.models.head import HeadClassifier, build_head, save_head
from ig_worker.models.layers import HEAD_KEY, NetworkShape
from ig_worker.models.pretrained import load_pretrained, read_config
from ig_worker.models.recipes import SIZES, Recipe
from ig_worker.models.runtime import gpus_multiply_bfloat16, tf
from ig_worker.models.tokenize import load_tokenizer
from ig_worker.models.wordpiece import train_tokenizer

_TYPES = 2  # token types of a network from random weights, which has them: for pairs of texts


@dataclass(frozen=True)
class Untrained:
    """A network to train."""

    classifier: Any  # Keras, called like transformers' sequence classifiers
    trained: Any  # the Keras model whose weights are trained: the classifier, or the head on a frozen encoder
    save: Callable[[Path], None]  # to a directory


def find_base(base: str, recipe: Recipe) -> ModelFiles:
    """The files of the pretrained encoder `base`, a directory or a hub name.

    Raises:
        ModelError: there is none, or it is of another architecture than the recipe's.
        UsageError: texts would be longer than it can read.
    """
    try:
        files = find_model(base, base=True)
    except ModelError as error:
        raise ModelError(
            error.what.replace("--model", "--base"), expected=error.expected, remedy=error.remedy
        ) from error
    shape = files.shape
    encoder = ENCODERS[shape.architecture]
    if not encoder.tensorflow:
        raise ModelError(
            f"--base {base} is a {encoder.title} encoder, of which transformers has no TensorFlow network to train",
            expected=f"one of {', '.join(one.title for one in ENCODERS.values() if one.tensorflow)}",
            remedy="train it by PyTorch, and give the directory that save_pretrained writes to jobs.explain",
        )
    if recipe.head is None and shape.architecture != (recipe.architecture or shape.architecture):
        raise ModelError(
            f"--base {base} is a {shape.architecture} encoder",
            expected=f"a {recipe.architecture} encoder for --recipe {recipe.name}",
            remedy=f"give --recipe {shape.architecture}, or another --base",
        )
    if recipe.max_length > shape.longest:
        raise UsageError(
            f"--max-length is {recipe.max_length}", expected=f"at most the {shape.longest} positions of {base}"
        )
    return files


def planned_shape(recipe: Recipe, base: ModelFiles | None) -> NetworkShape:
    """The encoder's sizes, before there is one; a vocabulary that is yet to be learnt counts as full."""
    if base:
        return base.shape
    return NetworkShape(
        recipe.architecture, recipe.hidden, recipe.blocks, recipe.heads, recipe.vocabulary, recipe.positions,
        "gelu", 1e-12, 2, ("0", "1"), intermediate=recipe.intermediate,
        types=_TYPES if "types" in ENCODERS[recipe.architecture].sizes else 0,
    )  # fmt: skip


def find_tokenizer(recipe: Recipe, base: ModelFiles | None, tokenizer: str | None, texts: Sequence[str]) -> Any:
    """The tokenizer that is named, or the encoder's own, or one learnt from `texts`, first and second ones.

    Raises:
        ModelError: no usable tokenizer there.
    """
    if base:
        return load_tokenizer(tokenizer or base.directory, base.shape.vocabulary)
    if tokenizer:
        return load_tokenizer(tokenizer, vocabulary=10**9)
    return train_tokenizer(texts, recipe.vocabulary, recipe.positions)


def build(recipe: Recipe, base: ModelFiles | None, tokenizer: Any, classes: Sequence[str]) -> Untrained:
    """The network, with random weights where it has no pretrained ones.

    Raises:
        ModelError: the encoder's weights cannot be loaded.
    """
    config = _labelled(_config(recipe, base, tokenizer), classes)
    if recipe.head is None:
        model = _load("ForSequenceClassification", recipe, base, config)
        return Untrained(model, model, lambda folder: model.save_pretrained(folder, safe_serialization=True))
    encoder = _load("Model", recipe, base, config)
    encoder.trainable = False
    sizes, width = recipe.head, planned_shape(recipe, base).hidden
    with _dropout_generators(recipe.exact_resume):
        head = build_head(sizes, width, len(classes))
        head(np.zeros((1, sizes.length, width), np.float32))
    return Untrained(
        HeadClassifier(encoder, head, sizes.length),
        head,
        lambda folder: save_head(folder, encoder, head, sizes, tuple(classes)),
    )


def _config(recipe: Recipe, base: ModelFiles | None, tokenizer: Any) -> Any:
    import transformers

    if base:
        config = read_config(base)
        config.__dict__.pop(HEAD_KEY, None)  # the new network has another head
        return config
    encoder = ENCODERS[recipe.architecture]
    wanted = {name: getattr(recipe, name) for name in ("positions", *SIZES)} | {"vocabulary": len(tokenizer)}
    wanted |= {"types": _TYPES} if "types" in encoder.sizes else {}
    sizes = {encoder.sizes[name]: value for name, value in wanted.items()}
    return getattr(transformers, f"{encoder.classes}Config")(**sizes, pad_token_id=tokenizer.pad_token_id)


def _labelled(config: Any, classes: Sequence[str]) -> Any:
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: i for i, name in enumerate(classes)}
    return config


def _load(kind: str, recipe: Recipe, base: ModelFiles | None, config: Any) -> Any:
    """A transformers network of `kind`, whose class names end so, with all its variables made."""
    import transformers

    with _dropout_generators(recipe.exact_resume):
        if base is None:
            model = getattr(transformers, f"TF{ENCODERS[recipe.architecture].classes}{kind}")(config)
        else:
            model = load_pretrained(getattr(transformers, f"TFAuto{kind.replace('For', 'ModelFor')}"), base, config)
        model(np.zeros((1, 2), np.int32))
    return model


@contextmanager
def _dropout_generators(wanted: bool) -> Iterator[None]:
    """Networks made within have dropout draw from generators with a state, which a checkpoint can keep.

    By default TensorFlow keeps that state where nothing can read it, and a resumed training would drop other units.
    """
    keras = tf.keras.backend.experimental
    if wanted:
        keras.enable_tf_random_generator()
    try:
        yield
    finally:
        keras.disable_tf_random_generator()


@contextmanager
def mixed_precision() -> Iterator[str]:
    """Compute in bfloat16 with float32 weights where a GPU is fast at it, in float32 elsewhere; yields which.

    Not float16: DistilBERT's attention adds -1e30 to masked scores, which float16 cannot hold, and bfloat16 needs no
    loss scaling.
    """
    precision = "bfloat16" if gpus_multiply_bfloat16() else "float32"
    if precision == "bfloat16":
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        yield precision
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
