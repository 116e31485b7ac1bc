"""Targets: which scalar of a network's outputs is explained, F = Σ_c w_c P_c.

P are the outputs that `network.readout` gives. Nothing is assumed of them: neither that they sum to 1, nor that there
are several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ig_worker.errors import UsageError
from ig_worker.explain.explanation import Float32

PREDICTED: Literal["predicted"] = "predicted"
SECOND: Literal["second"] = "second"


@dataclass(frozen=True)
class Scalar:
    """What is explained of one text: F = P_target, or the contrast F = P_target − P_contrast.

    A contrast of a class with itself is 0 everywhere, and so are its attributions.
    """

    target: int  # number of the class
    contrast: int | None = None  # number of the class that is taken away

    def of(self, outputs: Float32) -> float:
        """F, where the network gives these outputs, [classes]."""
        f = float(outputs[self.target])
        return f if self.contrast is None else f - float(outputs[self.contrast])

    def weights(self, classes: int) -> Float32:
        """w of F = Σ_c w_c P_c, float32 [classes]."""
        w = np.zeros(classes, np.float32)
        w[self.target] += 1
        if self.contrast is not None:
            w[self.contrast] -= 1
        return w

    def as_probability(self, f: float) -> float:
        """F on the scale of a probability: what was learnt about those says something of (1 + F) / 2, too.

        Of two classes with P_0 + P_1 = 1, the contrast so becomes the probability of its first class.
        """
        return f if self.contrast is None else (1 + f) / 2


@dataclass(frozen=True)
class Target:
    """Which scalar is to be explained, to be decided from the network's outputs at the text.

    Args:
        number: of a class; None: `rank` says which.
        minus: number of a class whose output is taken away; ``PREDICTED``: that of the predicted one; ``SECOND``: of
            all classes but the first the likeliest at the text, which for a prediction is the runner-up; None: nothing
            is taken away.
        rank: place of the class among all by their outputs at the text, from 0, which is the predicted one.

    A class less itself is 0 at any text, as is a contrast with the prediction where that is the class itself.
    """

    number: int | None = None
    minus: int | Literal["predicted", "second"] | None = None
    rank: int = 0

    @property
    def relative(self) -> bool:
        """Whether the outputs at the text decide which classes it is about."""
        return self.number is None or isinstance(self.minus, str)

    def check(self, classes: int) -> None:
        """See that a network with so many outputs has what the target asks for.

        Raises:
            UsageError: it has not.
        """
        for number in (self.number, self.minus, self.rank):
            if isinstance(number, int) and not 0 <= number < classes:
                raise UsageError(f"a class of the target is {number}", expected=f"0 to {classes - 1}")
        if self.minus == SECOND and classes < 2:
            raise UsageError("a target with the second class, and a network with one output", expected="two or more")

    def of(self, outputs: Float32) -> Scalar:
        """The scalar, where the network gives these outputs, [classes], at the text.

        Raises:
            UsageError: the network does not have what is asked for.
        """
        self.check(len(outputs))
        if self == Target():  # of nearly all rows
            return Scalar(int(outputs.argmax()))
        first = likeliest(outputs)[self.rank] if self.number is None else self.number
        if self.minus == PREDICTED:
            return Scalar(first, likeliest(outputs)[0])
        if self.minus != SECOND:
            return Scalar(first, self.minus)
        return Scalar(first, next(number for number in likeliest(outputs) if number != first))


def likeliest(outputs: Float32) -> list[int]:
    """Numbers of the classes by their outputs, float32 [classes], the largest first; of equal ones the lower number."""
    return [int(number) for number in np.argsort(-outputs, kind="stable")]


def weights_of(scalars: Sequence[Scalar], classes: int) -> Float32:
    """The weights of scalars, float32 [scalars, classes]."""
    return np.stack([scalar.weights(classes) for scalar in scalars])


def weighted(outputs: Any, weights: Any) -> Any:
    """F of each text of a batch, float32 [rows], as TensorFlow differentiates it.

    Args:
        outputs: tensor float32 [rows, classes].
        weights: tensor float32 [rows, classes]. Those of one class give its output to the bit, as x · 1 + 0 is exact.
    """
    from ig_worker.models.runtime import tf  # seconds, which what only chooses need not cost

    return tf.reduce_sum(outputs * weights, axis=-1)
