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
        number: of a class; None: the predicted one.
        minus: number of a class whose output is taken away; ``SECOND``: of all classes but `number` the likeliest at
            the text, which for a prediction is the runner-up; None: nothing is taken away.

    Raises:
        UsageError: a class is to be taken away from itself. (Where it turns out so for a prediction, F is 0.)
    """

    number: int | None = None
    minus: int | Literal["second"] | None = None

    def __post_init__(self) -> None:
        if self.number is not None and self.number == self.minus:
            raise UsageError(f"the target is class {self.number} less itself", expected="a contrast of two classes")

    def check(self, classes: int) -> None:
        """See that a network with so many outputs has what the target asks for.

        Raises:
            UsageError: it has not.
        """
        for number in (self.number, self.minus):
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
        first = int(outputs.argmax()) if self.number is None else self.number
        if self.minus != SECOND:
            return Scalar(first, self.minus)
        among = int(np.delete(outputs, first).argmax())
        return Scalar(first, among + (among >= first))


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
