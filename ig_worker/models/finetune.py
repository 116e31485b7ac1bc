"""Training a classifier by a recipe."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.data.faults import FaultFinder
from ig_worker.data.sources import DataSpec, Documents, open_documents
from ig_worker.errors import DataError, StorageError, UsageError
from ig_worker.models.recipes import Recipe

SEED = 20
_ROUND_TO = 32  # lengths of batches, in tokens: a handful of shapes
_WINDOW_BATCHES = 50  # texts are sorted by length within so many batches, so that little is padding
_HOLD_OUT = 10  # without a test split, one row in so many is kept for it
_MAX_TEXT_BYTES = 500_000

OnStep = Callable[[int, int, float], None]  # step, steps, smoothed loss


@dataclass(frozen=True)
class Examples:
    """Texts with labels."""

    texts: list[str]
    labels: npt.NDArray[np.int32]  # [texts]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Metrics:
    """What metrics.json beside the model says."""

    recipe: str
    dataset: str
    train_rows: int
    test_rows: int
    epochs: int
    steps: int
    train_loss: float  # mean over the last tenth of the steps
    test_loss: float
    test_accuracy: float
    parameters: int
    seconds: float


def finetune(
    recipe: Recipe,
    spec: DataSpec,
    out: str,
    *,
    tokenizer: str | None = None,
    epochs: int | None = None,
    seed: int = SEED,
    on_step: OnStep | None = None,
) -> Metrics:
    """Train a classifier and write it, its tokenizer and its metrics to the directory `out`.

    Args:
        recipe: sizes and schedule.
        spec: the data set. Its train split is learnt from and its test split judged on; a file without splits gives
            one row in ten, chosen by its id, to the test.
        out: a directory that does not exist yet.
        tokenizer: directory of a tokenizer to use; otherwise a vocabulary is learnt from the training texts.
        epochs: times to go through the training texts; otherwise once, or more often for short data sets.
        seed: of initial weights, order and dropout.
        on_step: told of every step.

    Raises:
        UsageError, DataError, StorageError: before anything is trained.
    """
    _check_out(out)
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs is {epochs}", expected="at least 1")
    train, test, documents = read_examples(spec)
    from ig_worker.models.runtime import tf
    from ig_worker.models.tokenize import TextEncoder, load_tokenizer
    from ig_worker.models.wordpiece import train_tokenizer

    started = time.monotonic()
    tf.keras.utils.set_random_seed(seed)
    classes = _class_names(train, documents.class_names)
    pieces = (
        load_tokenizer(tokenizer, vocabulary=10**9)
        if tokenizer
        else train_tokenizer(train.texts, recipe.vocabulary, recipe.positions)
    )
    encoder = TextEncoder(pieces, "bert", recipe.max_length)
    model = _build(recipe, pieces, classes)
    steps_per_epoch = math.ceil(len(train) / recipe.batch_rows)
    epochs = epochs or max(1, math.ceil(recipe.least_steps / steps_per_epoch))
    loss = _train(model, recipe, _encode(encoder, train.texts), train.labels, epochs, seed, on_step)
    test_loss, accuracy = _judge(model, recipe, _encode(encoder, test.texts), test.labels)
    metrics = Metrics(
        recipe=recipe.name,
        dataset=documents.name,
        train_rows=len(train),
        test_rows=len(test),
        epochs=epochs,
        steps=epochs * steps_per_epoch,
        train_loss=loss,
        test_loss=test_loss,
        test_accuracy=accuracy,
        parameters=int(model.count_params()),
        seconds=time.monotonic() - started,
    )
    _save(model, pieces, metrics, out)
    return metrics


def _check_out(out: str) -> None:
    path = Path(out).expanduser()
    if path.exists():
        raise StorageError(f"--out {out} exists", expected="a new directory", remedy="give another name or remove it")
    parent = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(parent, os.W_OK):
        raise StorageError(f"--out {out} cannot be made ({parent} is not writable)", expected="a writable place")


def read_examples(spec: DataSpec) -> tuple[Examples, Examples, Documents]:
    """Training and test examples of a data set; rows without label or with a fault are left out.

    Raises:
        DataError: no labelled rows for either.
    """
    documents = open_documents(replace(spec, split="train"))
    if spec.dataset in ("demo", "imdb") or spec.dataset.endswith(".npz"):
        train, test = list(_rows(documents)), list(_rows(open_documents(replace(spec, split="test"))))
    else:
        train, test = [], []
        for number, row in enumerate(_rows(documents)):
            (test if number % _HOLD_OUT == _HOLD_OUT - 1 else train).append(row)
    if not train or not test:
        raise DataError(
            f"{documents.name} has {len(train)} labelled rows to train on and {len(test)} to test on",
            expected="some of both",
        )
    return _examples(train), _examples(test), documents


def _rows(documents: Documents) -> Iterator[tuple[str, int]]:
    finder = FaultFinder(_MAX_TEXT_BYTES)
    for batch in documents.batches():
        faults = finder.check(batch)
        pairs = zip(batch.column("text").to_pylist(), batch.column("label").to_pylist(), strict=True)
        yield from ((text, label) for i, (text, label) in enumerate(pairs) if i not in faults and label is not None)


def _examples(rows: Iterable[tuple[str, int]]) -> Examples:
    texts, labels = zip(*rows, strict=True)
    return Examples(list(texts), np.array(labels, np.int32))


def _class_names(train: Examples, named: Sequence[str]) -> tuple[str, ...]:
    highest = int(train.labels.max())
    if train.labels.min() < 0 or highest > 999 or highest < 1:
        raise DataError(
            f"training labels run from {train.labels.min()} to {highest}",
            expected="class numbers from 0, two classes or more",
        )
    return tuple(named) if len(named) > highest else tuple(str(i) for i in range(highest + 1))


def _build(recipe: Recipe, tokenizer: Any, classes: Sequence[str]) -> Any:
    from transformers import DistilBertConfig, TFDistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=recipe.positions,
        dim=recipe.hidden,
        n_layers=recipe.blocks,
        n_heads=recipe.heads,
        hidden_dim=recipe.intermediate,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
    )
    model = TFDistilBertForSequenceClassification(config)
    model(np.zeros((1, 2), np.int32))
    return model


def _encode(encoder: Any, texts: list[str]) -> list[npt.NDArray[np.int32]]:
    return [tokens.input_ids for tokens in encoder.encode(texts)]


def length_batches(lengths: Sequence[int], rows: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """A shuffled order of the texts, cut into batches of `rows` texts of similar length; every text once."""
    order = rng.permutation(len(lengths))
    window = rows * _WINDOW_BATCHES
    batches = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[np.argsort(np.asarray(lengths)[part], kind="stable")]
        batches += [part[i : i + rows] for i in range(0, len(part), rows)]
    return [batches[i] for i in rng.permutation(len(batches))]


def _pad(ids: Sequence[npt.NDArray[np.int32]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    length = -(-max(len(row) for row in ids) // _ROUND_TO) * _ROUND_TO
    padded, mask = np.zeros((len(ids), length), np.int32), np.zeros((len(ids), length), np.int32)
    for i, row in enumerate(ids):
        padded[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return padded, mask


def _train(
    model: Any,
    recipe: Recipe,
    ids: list[npt.NDArray[np.int32]],
    labels: npt.NDArray[np.int32],
    epochs: int,
    seed: int,
    on_step: OnStep | None,
) -> float:
    """Train in place; returns the mean loss of the last tenth of the steps."""
    from ig_worker.models.runtime import tf

    rng = np.random.default_rng(seed)
    steps = epochs * math.ceil(len(ids) / recipe.batch_rows)
    optimizer = tf.keras.optimizers.Adam(recipe.learning_rate, clipnorm=1.0)
    batch = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[batch, batch, tf.TensorSpec([None], tf.int32)])
    def step(ids: Any, mask: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(input_ids=ids, attention_mask=mask, training=True).logits
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    losses: list[float] = []
    for _ in range(epochs):
        for members in length_batches([len(row) for row in ids], recipe.batch_rows, rng):
            optimizer.learning_rate.assign(learning_rate(recipe, len(losses), steps))
            losses.append(float(step(*_pad([ids[i] for i in members]), labels[members])))
            if on_step:
                on_step(len(losses), steps, float(np.mean(losses[-50:])))
    return float(np.mean(losses[-max(1, steps // 10) :]))


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Learning rate: linear warm-up, then linear decay to 0."""
    warmup = max(1, round(steps * recipe.warmup_share))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    return recipe.learning_rate * (steps - step) / max(1, steps - warmup)


def _judge(
    model: Any, recipe: Recipe, ids: list[npt.NDArray[np.int32]], labels: npt.NDArray[np.int32]
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    from ig_worker.models.runtime import tf

    batch = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[batch, batch])
    def logits(ids: Any, mask: Any) -> Any:
        return model(input_ids=ids, attention_mask=mask, training=False).logits

    order = np.argsort([len(row) for row in ids], kind="stable")
    loss, right = 0.0, 0
    for start in range(0, len(order), 64):
        members = order[start : start + 64]
        values = logits(*_pad([ids[i] for i in members]))
        loss += float(tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels[members], values)))
        right += int((values.numpy().argmax(-1) == labels[members]).sum())
    return loss / len(ids), right / len(ids)


def _save(model: Any, tokenizer: Any, metrics: Metrics, out: str) -> None:
    """Write everything beside the target, then rename: the directory is there whole or not at all."""
    target = Path(out).expanduser().absolute()
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        model.save_pretrained(temporary, safe_serialization=True)
        tokenizer.save_pretrained(temporary)
        (temporary / "metrics.json").write_text(json.dumps(asdict(metrics), indent=2, sort_keys=True) + "\n")
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
