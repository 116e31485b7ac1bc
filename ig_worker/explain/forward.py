"""Class probabilities of many texts, and gradients of the layer, in full batches of texts of one padded length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ig_worker.explain.explanation import Float32
from ig_worker.explain.memory import Memory
from ig_worker.explain.packing import BatchShape, group_by_length, stack_texts
from ig_worker.explain.targets import Scalar, weighted
from ig_worker.models.inputs import ModelInput
from ig_worker.models.network import SplitNetwork
from ig_worker.models.runtime import tf


class Forward:
    """Programs that take any number of texts, so that each is traced once.

    Args:
        network: the classifier, cut at the layer of the run.
        shape: how batches are cut.
    """

    def __init__(self, network: SplitNetwork, shape: BatchShape) -> None:
        self._network, self._shape, self._memory = network, shape, Memory()
        tokens, classes = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, 2], tf.int32)
        text = ModelInput.every(tokens)
        self._chosen = tf.function(self._chosen_program, [text, classes], autograph=False)
        self._every = tf.function(self._every_program, [text, classes], autograph=False)
        self._products = tf.function(self._products_program, [text, classes], autograph=False)

    def probabilities(self, texts: Sequence[ModelInput], scalars: Sequence[Scalar]) -> Float32:
        """F(x) of each text's own scalar, float32 [texts]."""
        return np.array(self._run(self._chosen, texts, scalars), np.float32)

    def outputs(self, texts: Sequence[ModelInput]) -> list[Float32]:
        """All outputs of the network at each text, float32 [classes]."""
        return self._run(self._every, texts, [Scalar(0)] * len(texts))

    def gradient_times_input(self, texts: Sequence[ModelInput], scalars: Sequence[Scalar]) -> list[Float32]:
        """Σ_d h[i,d] ∂F/∂h[i,d] at the text itself, float32 [tokens] each (Shrikumar et al. 2016, arXiv:1605.01713)."""
        found = self._run(self._products, texts, scalars)
        return [values[: len(text.ids)] for text, values in zip(texts, found, strict=True)]

    def _run(self, program: Callable[..., Any], texts: Sequence[ModelInput], scalars: Sequence[Scalar]) -> list[Any]:
        """What the program gives for each text, in their order."""
        found: list[Any] = [None] * len(texts)
        for group in group_by_length([len(text.ids) for text in texts], self._shape):
            members = [texts[i] for i in group.members]
            targets = np.array([_classes(scalars[i]) for i in group.members], np.int32)

            def run(
                size: int, members: Any = members, targets: Any = targets, length: int = group.length
            ) -> npt.NDArray[np.float32]:
                parts = [slice(i, i + size) for i in range(0, len(targets), size)]
                return np.concatenate([_batch(program, members[p], targets[p], length, size) for p in parts])

            values = self._memory.fit(run, group.rows, group.length)
            for position, value in zip(group.members, values, strict=True):
                found[position] = value
        return found

    def _chosen_program(self, text: ModelInput, classes: Any) -> Any:
        return self._above(self._network.below(text), text.mask, classes)

    def _every_program(self, text: ModelInput, _: Any) -> Any:
        return self._network.above(self._network.below(text), text.mask)

    def _products_program(self, text: ModelInput, classes: Any) -> Any:
        h = self._network.below(text)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(h)
            chosen = self._above(h, text.mask, classes)
        return tf.reduce_sum(tape.gradient(chosen, h) * h, axis=-1)

    def _above(self, h: Any, mask: Any, classes: Any) -> Any:
        outputs = self._network.above(h, mask)
        first, second = tf.unstack(tf.one_hot(classes, tf.shape(outputs)[1]), axis=1)  # no class has the number -1
        return weighted(outputs, first - second)


def _classes(scalar: Scalar) -> tuple[int, int]:
    """The class, and the one that is taken away or -1."""
    return scalar.target, -1 if scalar.contrast is None else scalar.contrast


def _batch(program: Callable[..., Any], texts: Sequence[ModelInput], targets: Any, length: int, most: int) -> Any:
    """Run one batch, filled up to a power of two: compiled parts of a network are compiled again for every size."""
    rows = min(most, 1 << (len(targets) - 1).bit_length())
    filled = np.resize(targets, (rows, *targets.shape[1:]))
    return program(stack_texts(texts, rows, length), filled).numpy()[: len(targets)]
