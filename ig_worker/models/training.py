"""The training loop: steps, schedule, checkpoints; and judging what was learnt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.errors import UsageError
from ig_worker.models.build import Untrained
from ig_worker.models.checkpoint import OnStep, Progress, Scratch
from ig_worker.models.examples import Ints, TokenRows, length_batches
from ig_worker.models.recipes import Recipe, learning_rate
from ig_worker.models.runtime import tf

_JUDGED_AT_ONCE = 64  # texts
_SMOOTHED = 50  # steps that a shown loss is the mean of


@dataclass(frozen=True)
class Task:
    """What is trained, on what."""

    model: Any  # Keras: its trainable variables are trained
    logits: Callable[..., Any]  # of inputs and `training`: [batch, classes]
    signature: tuple[Any, ...]  # of the inputs
    lengths: Sequence[int]  # of the texts, in tokens
    load: Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[Any], ...]]  # inputs of some texts
    labels: Ints  # [texts]


def end_to_end_task(network: Untrained, rows: TokenRows) -> Task:
    """Training of a whole network on texts."""

    def logits(*inputs: Any, training: bool) -> Any:
        return _logits(network.classifier, rows, inputs, training)

    lengths = [len(row) for row in rows.ids]
    return Task(network.trained, logits, _signature(rows), lengths, rows.batch, rows.labels)


def _signature(rows: TokenRows) -> tuple[Any, ...]:
    return (tf.TensorSpec([None, None], tf.int32),) * len(rows.names)


def _logits(model: Any, rows: TokenRows, inputs: Sequence[Any], training: bool) -> Any:
    """Logits of a classifier of transformers, [batch, classes], from a batch of `rows`."""
    return model(**dict(zip(rows.names, inputs, strict=True)), training=training).logits


def train(
    task: Task, recipe: Recipe, steps: int, seed: int, scratch: Scratch, every_s: float, on_step: OnStep
) -> Progress:
    """Train `task.model` in place, from the last checkpoint on; one is written after every epoch and every `every_s`.

    Raises:
        UsageError: the device's memory is full, or the loss is no number any more.
    """
    optimizer = tf.keras.optimizers.Adam(  # β 0.9 and 0.999
        recipe.learning_rate, epsilon=recipe.epsilon, clipnorm=recipe.clip_norm
    )
    optimizer.build(task.model.trainable_variables)
    kept = [*task.model.weights, *optimizer.variables, *_generator_states(task.model)]
    before = scratch.restore(kept)
    losses, started, saved = list(before.losses), time.monotonic(), time.monotonic()
    step = _step_function(task, optimizer)
    for members, epoch_ends in _order(task.lengths, recipe.batch_rows, steps, seed, before.step):
        optimizer.learning_rate.assign(learning_rate(recipe, len(losses), steps))
        with _full_memory_explained(recipe):
            losses.append(float(step(*task.load(members), task.labels[members])))
        _check_loss(losses, recipe)
        now = time.monotonic()
        if epoch_ends or now - saved >= every_s:
            scratch.save(kept, Progress(tuple(losses), before.seconds + now - started))
            saved = time.monotonic()
        on_step("training, steps", len(losses), steps, f"loss {np.mean(losses[-_SMOOTHED:]):.3f}")
    return Progress(tuple(losses), before.seconds + time.monotonic() - started)


def _check_loss(losses: Sequence[float], recipe: Recipe) -> None:
    if not math.isfinite(losses[-1]):
        raise UsageError(
            f"the loss is {losses[-1]} after step {len(losses)} with --learning-rate {recipe.learning_rate}",
            expected="a number",
            remedy="train anew with a smaller --learning-rate",
        )


def _order(
    lengths: Sequence[int], rows: int, steps: int, seed: int, done: int
) -> Iterator[tuple[npt.NDArray[np.int64], bool]]:
    """The batches of all steps after the first `done`, each with whether an epoch ends with it.

    The order follows from the seed alone, so a resumed training goes on in the one it was begun in.
    """
    rng = np.random.default_rng(seed)
    step = 0
    while step < steps:
        batches = length_batches(lengths, rows, rng)
        for number, members in enumerate(batches[: steps - step], 1):
            step += 1
            if step > done:
                yield members, number == len(batches) or step == steps


def _step_function(task: Task, optimizer: Any) -> Callable[..., Any]:
    variables = task.model.trainable_variables

    @tf.function(input_signature=[*task.signature, tf.TensorSpec([None], tf.int32)])
    def step(*inputs_and_labels: Any) -> Any:
        *inputs, labels = inputs_and_labels
        with tf.GradientTape() as tape:
            logits = tf.cast(task.logits(*inputs, training=True), tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    return step


def _generator_states(model: Any) -> list[Any]:
    """Variables of the generators that dropout draws from, where it does (see `models.build`).

    Keras keeps them out of a model's weights on purpose, and has no public name for them.
    """
    layers = [layer for layer in model.submodules if hasattr(layer, "_random_generator")]
    generators = [getattr(layer._random_generator, "_generator", None) for layer in layers]
    return [generator.state for generator in generators if generator is not None]


@contextmanager
def _full_memory_explained(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UsageError(
            f"the device's memory is full at --batch-rows {recipe.batch_rows} and --max-length {recipe.max_length}",
            expected="a batch that fits",
            remedy="give a smaller --batch-rows or --max-length",
        ) from error


def judge(model: Any, rows: TokenRows, on_step: OnStep) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""

    @tf.function(input_signature=_signature(rows))
    def logits(*inputs: Any) -> Any:
        return tf.cast(_logits(model, rows, inputs, training=False), tf.float32)

    order = np.argsort([len(row) for row in rows.ids], kind="stable")
    loss, right = 0.0, 0
    for start in range(0, len(order), _JUDGED_AT_ONCE):
        members = order[start : start + _JUDGED_AT_ONCE]
        values, labels = logits(*rows.batch(members)), rows.labels[members]
        loss += float(tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, values)))
        right += int((values.numpy().argmax(-1) == labels).sum())
        on_step("testing, texts", start + len(members), len(order), f"accuracy {right / (start + len(members)):.3f}")
    return loss / len(rows), right / len(rows)
