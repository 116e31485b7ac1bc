"""The forward pass of all encoders' classifiers as pure functions over a dictionary of weights.

Symbols: h is a layer's output, float32 [batch, tokens, hidden]; mask is int32 [batch, tokens], 1 for tokens that are
attended to; w is a dictionary of weights by their names in `weights`. What most encoders' blocks share is in
`models.post_norm`, and where one differs is in its file in `models.encoders`. Conformance with transformers is tested
layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ig_worker.models.attention import dense
from ig_worker.models.elementwise import ACTIVATION, sigmoid, sigmoids, size, softmax
from ig_worker.models.encoders import ENCODERS
from ig_worker.models.inputs import ModelInput
from ig_worker.models.layers import LABELS, VALUES, NetworkShape, Tensor, Weights
from ig_worker.models.runtime import tf
from ig_worker.models.weights import block_kernels


def embed(w: Weights, shape: NetworkShape, text: ModelInput) -> Tensor:
    """Output of the embeddings layer, float32 [batch, tokens, hidden], of texts, fields int32 [batch, tokens]."""
    return ENCODERS[shape.architecture].embed(w, shape, text)


def surroundings(w: Weights, shape: NetworkShape, mask: Tensor, dtype: Any = tf.float32) -> Any:
    """What `block` reads besides its input, for texts with that mask."""
    return ENCODERS[shape.architecture].blocks().surroundings(w, shape, mask, dtype)


def blocks(w: Weights, shape: NetworkShape, h: Tensor, around: Any, start: int, stop: int) -> Tensor:
    """`h` after the transformer blocks from `start` up to, but without, `stop`; `around` is their `surroundings`."""
    for k in range(start, stop):
        h = block(w, shape, k, h, around)
    return h


def block(w: Weights, shape: NetworkShape, k: int, h: Tensor, around: Any) -> Tensor:
    """Output of block k for its input `h`."""
    arithmetic = ENCODERS[shape.architecture].blocks()
    return arithmetic.attend(w, shape, k, (h, *arithmetic.project(w, shape, k, h)), around)


def head_input(w: Weights, shape: NetworkShape, h: Tensor, mask: Tensor) -> Tensor:
    """Input z of the head's activation, float32 [batch, units], from the last block's output."""
    if shape.head is not None:
        return flattened(w, shape.head.length, h)
    return ENCODERS[shape.architecture].read(w, shape, h, mask)


def flattened(w: Weights, length: int, h: Tensor) -> Tensor:
    """Input of a flatten head's activation, float32 [batch, units], from all positions of the last block's output.

    The head gets as many positions as it was trained with; those behind the text are zero.
    """
    tokens = size(h)[1]
    if isinstance(tokens, int) and tokens >= length:
        h = h[:, :length]
    else:
        h = tf.pad(h[:, :length], [[0, 0], [0, tf.maximum(length - tokens, 0)], [0, 0]])
    return dense(w, "head/hidden", tf.reshape(h, [-1, length * h.shape[-1]]))


def readout(w: Weights, shape: NetworkShape, z: Tensor) -> Tensor:
    """The outputs, float32 [batch, classes], from the input z of the head's activation, float32 [batch, units]."""
    return outputs(shape, logits(w, shape, z))


def logits(w: Weights, shape: NetworkShape, z: Tensor) -> Tensor:
    """What `readout` makes outputs of, float32 [batch, logits]."""
    if shape.head is not None:
        return dense(w, "head/logits", ACTIVATION["relu"](z))
    return ENCODERS[shape.architecture].logits(w, shape, z)


def outputs(shape: NetworkShape, logits: Tensor) -> Tensor:
    """What a network says by its logits, float32 [batch, logits]; see `layers.OUTPUTS`.

    Class probabilities, which add up to 1; or the probability of each label; or the numbers themselves.
    """
    if shape.outputs == VALUES:
        return logits
    return sigmoid(logits) if shape.outputs == LABELS else probabilities(logits)


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities from logits, float32 [batch, logits]: softmax, or [1 - p, p] of a single logit's sigmoid."""
    return sigmoids(logits) if logits.shape[-1] == 1 else softmax(logits)


@dataclass(frozen=True)
class SplitNetwork:
    """A classifier cut at a layer, and once more where all that follows is cheap.

    All are pure TensorFlow functions that graphs can trace:

    `below(text)` gives the layer's output h, float32 [batch, tokens, hidden].
    `project(h)` gives h and the next block's projections of it, each float32 [batch, tokens, width]: all affine in h
    and each row from its own row of h, so that on a straight path they need to be known at its ends only.
    `encode(parts, mask)` goes from there to a vector z, float32 [batch, units].
    `readout(z)` gives the outputs, such as class probabilities, float32 [batch, classes]. It is cheap: it may run a
    thousand times a text.
    """

    below: Callable[[ModelInput], Tensor]
    project: Callable[[Tensor], tuple[Tensor, ...]]
    encode: Callable[[Sequence[Tensor], Tensor], Tensor]
    readout: Callable[[Tensor], Tensor]

    def above(self, h: Tensor, mask: Tensor) -> Tensor:
        """The outputs, float32 [batch, classes], from the layer's output."""
        return self.readout(self.encode(self.project(h), mask))

    @classmethod
    def of(cls, below: Callable[[ModelInput], Tensor], above: Callable[[Tensor, Tensor], Tensor]) -> SplitNetwork:
        """A network of which nothing is known but its two halves."""
        return cls(below, lambda h: (h,), lambda parts, mask: above(parts[0], mask), lambda z: z)


def split(w: Weights, shape: NetworkShape, depth: int, dtype: Any = None) -> SplitNetwork:
    """The network cut behind the embeddings (depth 0) or behind block depth - 1, and before the head's activation.

    `dtype` is that of the factors of matrix products in `encode`'s blocks, where nearly all arithmetic is; none: that
    of the weights. The ends of a path, normalisations, softmax, the last block where one row is enough, z and what
    follows stay in the weights' own dtype, float32 (float64 where truth is looked for: see `tests.truth`).
    """
    encoder = ENCODERS[shape.architecture]
    arithmetic = encoder.blocks()
    # Of the last block the first row alone is read, unless the head reads all positions.
    first = shape.head is None and encoder.reads_first(shape) and depth < shape.blocks
    whole = shape.blocks - 1 if first else shape.blocks

    # Blocks that share their weights share what they are rounded to.
    kernels = block_kernels(shape, range(depth, whole)) if dtype is not None else []
    casts = {id(w[name]): tf.cast(w[name], dtype) for name in kernels}
    rounded = {**w, **{name: casts[id(w[name])] for name in kernels}}

    def below(text: ModelInput) -> Tensor:
        h = embed(w, shape, text)
        return blocks(w, shape, h, surroundings(w, shape, text.mask, h.dtype), 0, depth) if depth else h

    def project(h: Tensor) -> tuple[Tensor, ...]:
        return (h, *arithmetic.project(w, shape, depth, h)) if depth < whole else (h,)

    def encode(parts: Sequence[Tensor], mask: Tensor) -> Tensor:
        h = parts[0]
        around = surroundings(w, shape, mask, h.dtype)
        if depth < whole:
            h = arithmetic.attend(rounded, shape, depth, parts, around)
            h = blocks(rounded, shape, h, around, depth + 1, whole)
        if first:
            h = arithmetic.first_row(w, shape, whole, h, around)[:, None]
        return head_input(w, shape, h, mask)

    return SplitNetwork(below, project, encode, lambda z: readout(w, shape, z))
