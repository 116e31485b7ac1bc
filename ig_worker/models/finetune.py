"""Training a classifier by a recipe: from a data set to a directory with network, tokenizer and metrics."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ig_worker.data.access import follow_umask
from ig_worker.data.sources import DataSpec, Documents
from ig_worker.errors import StorageError
from ig_worker.models.checkpoint import OnStep, Progress, Scratch
from ig_worker.models.encoders import counting_of
from ig_worker.models.examples import Examples, class_names, read_examples, tokenize
from ig_worker.models.files import ModelFiles
from ig_worker.models.layers import NetworkShape
from ig_worker.models.recipes import Recipe, count_steps, refuse_pairs
from ig_worker.models.resources import Needs, available_memory, check_disk, check_memory, free_disk, training_needs

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from ig_worker.models.build import Untrained
    from ig_worker.models.tokenize import TextEncoder

SEED = 20
CHECKPOINT_S = 60.0
_PARTS = 10  # of the training, whose mean losses metrics.json lists


@dataclass(frozen=True)
class Metrics:
    """What metrics.json beside the model says."""

    recipe: str
    dataset: str
    base: str | None
    pair_column: str | None  # of second texts, where each row has two
    train_rows: int
    test_rows: int
    text_style: str
    max_length: int
    batch_rows: int
    learning_rate: float
    epochs: int  # begun
    steps: int
    seed: int
    precision: str
    train_loss: float  # mean over the last tenth of the steps
    train_losses: list[float]  # means over tenths of the training
    test_loss: float
    test_accuracy: float
    parameters: int
    trained_parameters: int
    seconds: float  # of training steps, those before an interruption included


def finetune(
    recipe: Recipe,
    spec: DataSpec,
    out: str,
    *,
    tokenizer: str | None = None,
    seed: int = SEED,
    checkpoint_s: float = CHECKPOINT_S,
    on_step: OnStep = lambda *_: None,
) -> Metrics:
    """Train a classifier and write it, its tokenizer and its metrics to the directory `out`.

    A training that was stopped goes on from its last checkpoint when it is called again with the same arguments.

    Args:
        recipe: encoder, sizes and schedule.
        spec: the data set. Its train split is learnt from and its test split judged on; a file without splits gives
            one row in ten, chosen by its place, to the test. With `pair_column`, rows of two texts.
        out: a directory that does not exist yet.
        tokenizer: directory of a tokenizer to use; otherwise the encoder's own, or a vocabulary that is learnt from
            the training texts.
        seed: of initial weights, order and dropout.
        checkpoint_s: a checkpoint is written after each epoch and after so many seconds.
        on_step: told of every step.

    Raises:
        UsageError, DataError, ModelError, StorageError: before anything is trained.
        RunMismatchError: a training with other settings was begun for `out`.
    """
    scratch = Scratch(_check_out(out))
    if spec.pair_column:
        refuse_pairs(recipe)
    train, test, documents = read_examples(spec)
    data = _Data(train, test, documents, class_names(train, documents.class_names), spec.pair_column or None)
    steps = count_steps(recipe, len(train))
    from ig_worker.models.build import find_base, find_tokenizer, mixed_precision, planned_shape
    from ig_worker.models.read_tokenizer import refuse_token_types
    from ig_worker.models.runtime import tf
    from ig_worker.models.tokenize import TextEncoder

    base = find_base(recipe.base, recipe) if recipe.base else None
    if base:
        base.tell_notes()
    shape = planned_shape(recipe, base)
    _check_resources(training_needs(shape, recipe, len(train)), recipe, scratch)
    tf.keras.utils.set_random_seed(seed)
    pieces = find_tokenizer(recipe, base, tokenizer, train.all_texts)
    encoder = TextEncoder(pieces, recipe.text_style, recipe.max_length, counting_of(shape))
    if data.pair_column:
        refuse_token_types(encoder.pair_template.most, shape.types)
    with mixed_precision() as precision:
        scratch.begin(_settings(recipe, base, pieces, documents, steps, seed, precision))
        plan = _Plan(recipe, steps, seed, precision, checkpoint_s, on_step)
        metrics = _learn(plan, data, base, encoder, shape, scratch)
    scratch.finish()
    return metrics


@dataclass(frozen=True)
class _Data:
    train: Examples
    test: Examples
    documents: Documents
    classes: tuple[str, ...]
    pair_column: str | None


@dataclass(frozen=True)
class _Plan:
    recipe: Recipe
    steps: int
    seed: int
    precision: str
    checkpoint_s: float
    on_step: OnStep


def _learn(
    plan: _Plan, data: _Data, base: ModelFiles | None, encoder: TextEncoder, shape: NetworkShape, scratch: Scratch
) -> Metrics:
    """Train, judge, and leave the whole directory in `scratch`."""
    from ig_worker.models.build import build
    from ig_worker.models.features import head_task
    from ig_worker.models.training import end_to_end_task, judge, train

    network = build(plan.recipe, base, encoder.tokenizer, data.classes)
    rows = tokenize(encoder, data.train, shape)
    task = head_task(network, rows, scratch, plan.on_step) if plan.recipe.head else end_to_end_task(network, rows)
    progress = train(task, plan.recipe, plan.steps, plan.seed, scratch, plan.checkpoint_s, plan.on_step)
    judged = judge(network.classifier, tokenize(encoder, data.test, shape), plan.on_step)
    metrics = _metrics(plan, data, network, progress, judged)
    _save(network, encoder.tokenizer, metrics, scratch)
    return metrics


def _metrics(plan: _Plan, data: _Data, network: Untrained, progress: Progress, judged: tuple[float, float]) -> Metrics:
    recipe, losses = plan.recipe, np.array(progress.losses)
    return Metrics(
        recipe=recipe.name,
        dataset=data.documents.name,
        base=recipe.base,
        pair_column=data.pair_column,
        train_rows=len(data.train),
        test_rows=len(data.test),
        text_style=recipe.text_style,
        max_length=recipe.max_length,
        batch_rows=recipe.batch_rows,
        learning_rate=recipe.learning_rate,
        epochs=math.ceil(plan.steps / math.ceil(len(data.train) / recipe.batch_rows)),
        steps=plan.steps,
        seed=plan.seed,
        precision=plan.precision,
        train_loss=float(losses[-max(1, plan.steps // 10) :].mean()),
        train_losses=[round(float(part.mean()), 4) for part in np.array_split(losses, _PARTS) if len(part)],
        test_loss=judged[0],
        test_accuracy=judged[1],
        parameters=int(network.classifier.count_params()),
        trained_parameters=int(network.trained.count_params()),
        seconds=progress.seconds,
    )


def _check_out(out: str) -> Path:
    try:
        path = Path(out).expanduser().absolute()
        Scratch(path).folder.exists()  # its name is longer; what cannot be a name raises
        if path.exists():
            raise StorageError(
                f"--out {out} exists", expected="a new directory", remedy="give another name or remove it"
            )
        parent = next(parent for parent in path.parents if parent.exists())
    except (OSError, RuntimeError) as error:  # too long a name, ~nobody
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"--out {out} cannot be made ({reason})", expected="a new directory") from error
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        reason = "writable" if parent.is_dir() else "a directory"
        raise StorageError(f"--out {out} cannot be made ({parent} is not {reason})", expected="a writable place")
    return path


def _check_resources(needs: Needs, recipe: Recipe, scratch: Scratch) -> None:
    from ig_worker.models.runtime import tf

    if not tf.config.list_physical_devices("GPU"):  # there, the network is not in this machine's own memory
        check_memory(needs, available_memory(), recipe)
    check_disk(needs, free_disk(scratch.folder.parent), scratch.bytes_used(), scratch.folder)


def _settings(
    recipe: Recipe, base: ModelFiles | None, tokenizer: Any, documents: Documents, steps: int, seed: int, precision: str
) -> dict[str, Any]:
    """All that a resumed training must have in common with its beginning."""
    vocabulary = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return (
        asdict(recipe)
        | {
            "base": base.weights_digest[:16] if base else None,  # wherever it lies
            "tokenizer": hashlib.sha256(vocabulary.encode()).hexdigest(),
            "dataset": f"{documents.name} {documents.digest[:16]}",
            "steps": steps,
            "seed": seed,
            "precision": precision,
        }
    )


def _save(network: Untrained, tokenizer: Any, metrics: Metrics, scratch: Scratch) -> None:
    shutil.rmtree(scratch.model, ignore_errors=True)
    network.save(scratch.model)
    tokenizer.chat_template = None  # its names would be paths of files to write, and no classifier has a chat
    tokenizer.save_pretrained(scratch.model)
    (scratch.model / "metrics.json").write_text(json.dumps(asdict(metrics), indent=2, sort_keys=True) + "\n")
    follow_umask(scratch.model)  # safetensors writes for its owner only
