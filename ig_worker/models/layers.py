"""What can be known of a network without TensorFlow: its sizes, and the names of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ig_worker import schema
from ig_worker.errors import UsageError

ACTIVATIONS = ("gelu", "gelu_new", "relu", "tanh", "silu")  # `models.network` has them
Tensor = Any  # TensorFlow carries no types
Weights = Mapping[str, Tensor]  # by the names in `weights`
AFFINE = ("kernel", "bias")  # parts of a dense layer
_LAYER = re.compile(r"block:(\d+)")

# What a network's logits say. Of classes that exclude each other: a softmax, or the sigmoid p of a single logit, read
# as [1 − p, p]. Of labels, each of which may apply: a sigmoid for each. Of numbers: themselves.
CLASSES, LABELS, VALUES = OUTPUTS = schema.OUTPUTS
HEAD_KEY = "ig_worker_head"  # in config.json, where the head is not transformers' own


@dataclass(frozen=True)
class FlattenHead:
    """Sizes of a head that reads all token positions (see `models.head`)."""

    length: int  # positions, padding included
    hidden: int
    dropout: float

    def as_json(self) -> dict[str, Any]:
        return {"kind": "flatten", "length": self.length, "hidden": self.hidden, "dropout": self.dropout}


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a classifier."""

    architecture: str  # a key of `encoders.ENCODERS`
    hidden: int
    blocks: int
    heads: int
    vocabulary: int
    positions: int  # rows of the table of positions, or the longest input where there is no table
    activation: str
    epsilon: float  # of the layer normalisations
    logits: int
    names: tuple[str, ...]  # of what each logit stands for
    head: FlattenHead | None = None  # None: transformers' own, which reads [CLS]
    intermediate: int = field(kw_only=True)  # units between the two dense layers of a block
    types: int = field(default=0, kw_only=True)  # rows of token type embeddings; 0: there are none
    embedding: int = field(default=0, kw_only=True)  # width of the word embeddings; 0: that of the hidden states
    padding: int = field(default=0, kw_only=True)  # id of [PAD], where positions are counted by it
    unused_positions: int = field(default=0, kw_only=True)  # rows of the table of positions that no text's token has
    outputs: str = field(default="classes", kw_only=True)  # what the logits say: one of `OUTPUTS`
    assumed: bool = field(default=False, kw_only=True)  # whether neither config.json nor anybody has said so
    own: Any = field(default=None, kw_only=True)  # what only this encoder has: see its file

    @property
    def transformers_own(self) -> NetworkShape:
        """The same with transformers' head, which reads [CLS]."""
        return replace(self, head=None)

    @property
    def longest(self) -> int:
        """The longest input, in tokens."""
        return self.positions - self.unused_positions

    @property
    def told_positions(self) -> bool:
        """Whether transformers' TensorFlow network counts positions otherwise unless it is told them.

        Its RoBERTa takes 1 for the padding id, whatever config.json says; PyTorch's does not.
        """
        return self.unused_positions > 0 and self.padding != 1

    @property
    def word_width(self) -> int:
        """Width of the word embeddings."""
        return self.embedding or self.hidden

    @property
    def classes(self) -> int:
        """How many outputs there are."""
        return max(self.logits, 2) if self.outputs == CLASSES else self.logits

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.names if len(self.names) == self.classes else tuple(map(str, range(self.classes)))


def layer_depth(layer: str, blocks: int) -> int:
    """Number of transformer blocks below the output of `layer`: 0 for ``embeddings``, K + 1 for ``block:K``.

    Raises:
        UsageError: no layer of that name.
    """
    if layer == "embeddings":
        return 0
    match = _LAYER.fullmatch(layer)
    if match is None or int(match[1]) >= blocks:
        last = f"block:{blocks - 1}"
        raise UsageError(
            f"--layer is {layer!r}",
            expected=f"embeddings, or block:0 to {last}, as this model has {blocks} blocks",
        )
    return int(match[1]) + 1
