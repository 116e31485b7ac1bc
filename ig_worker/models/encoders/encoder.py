"""What differs between encoders, as a value. Needs no TensorFlow: functions import it when they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ig_worker.errors import ModelError
from ig_worker.models.inputs import Counting, ModelInput, from_zero
from ig_worker.models.keys import Key, json_name
from ig_worker.models.layers import NetworkShape, Tensor, Weights


class Weight(NamedTuple):
    """A weight of transformers' network."""

    path: str  # the end of transformers' TensorFlow name; PyTorch's, in that spelling, where there is none
    shape: tuple[int, ...]  # kernels are [units in, units out]
    pytorch: str = ""  # the end of PyTorch's name, in that spelling, where it is another


Parts = dict[str, Weight]  # by the names that `models.network` knows weights by


@dataclass(frozen=True)
class Blocks:
    """The arithmetic of blocks, each a function of weights, sizes, the number of the block and what follows.

    `surroundings(w, shape, mask, dtype)` is what all blocks read besides their input, made once: of the mask, int32
    [batch, tokens], for arithmetic in `dtype`.
    `project(w, shape, k, h)` gives the projections of h that block k computes first, each float32 [batch, tokens,
    width]: affine in h, and each row from its own row of h. None where there are none.
    `attend(w, shape, k, parts, surroundings)` is the output of block k from its input h and the projections of it.
    `first_row(w, shape, k, h, surroundings)` is the first row of that output, float32 [batch, hidden], at less cost.
    """

    surroundings: Callable[[Weights, NetworkShape, Tensor, Any], Any]
    project: Callable[[Weights, NetworkShape, int, Tensor], tuple[Tensor, ...]]
    attend: Callable[[Weights, NetworkShape, int, Any, Any], Tensor]
    first_row: Callable[[Weights, NetworkShape, int, Tensor, Any], Tensor]


def post_norm() -> Blocks:
    """Blocks that normalise behind each sum, as BERT's do."""
    from ig_worker.models.post_norm import POST_NORM  # TensorFlow: seconds

    return POST_NORM


def first_token(w: Weights, shape: NetworkShape, h: Tensor, mask: Tensor) -> Tensor:
    """Input z of the head's activation, float32 [batch, units], from the first row of the last block's output h."""
    from ig_worker.models.attention import dense  # TensorFlow: seconds

    return dense(w, "head/hidden", h[:, 0])


def activated(w: Weights, shape: NetworkShape, z: Tensor, activation: str) -> Tensor:
    """Logits, float32 [batch, logits]: activation and dense layer behind the head's input z."""
    from ig_worker.models.attention import dense  # TensorFlow: seconds
    from ig_worker.models.elementwise import ACTIVATION

    return dense(w, "head/logits", ACTIVATION[activation](z))


@dataclass(frozen=True)
class Encoder:
    """An encoder: how its files are read, and where its arithmetic is its own. `models.network` has what all share."""

    name: str  # model_type in config.json
    title: str  # for people
    classes: str  # how transformers' class names begin: Bert of BertConfig and TFBertForSequenceClassification
    prefix: str  # the encoder's part of the network in files
    tokenizer: str  # the kind that published networks have, for people

    sizes: Mapping[str, str]  # field of NetworkShape -> key of config.json
    activation: str  # key of config.json
    epsilon: str | None  # key of config.json; None: always 1e-12
    dropouts: tuple[str, ...]  # keys of config.json that only training reads
    second_names: Mapping[str, str] = field(default_factory=dict)  # key of config.json -> another name, which wins
    keys: Mapping[str, Key] = field(default_factory=dict)  # what becomes of any other key
    usual: Mapping[str, Any] = field(default_factory=dict)  # what transformers takes where config.json lacks a key

    # Further fields of NetworkShape, from config.json with what is usual; raises ModelError.
    further: Callable[[Mapping[str, Any]], dict[str, Any]] = field(default=lambda config: {}, kw_only=True)
    weights: Callable[[NetworkShape], Parts] = field(kw_only=True)  # of transformers' classifier
    # The block whose weights block k has: ALBERT's blocks share theirs.
    owner: Callable[[NetworkShape, int], int] = field(default=lambda shape, k: k, kw_only=True)
    leftovers: str = field(kw_only=True)  # pattern of tensors that no classifier reads, in PyTorch's names
    tensorflow: bool = field(default=True, kw_only=True)  # whether transformers has it for TensorFlow

    # (weights, shape, text, its fields int32 [batch, tokens]) -> float32 [batch, tokens, hidden]
    embed: Callable[[Weights, NetworkShape, ModelInput], Tensor] = field(kw_only=True)
    counting: Callable[[NetworkShape], Counting] = field(default=lambda shape: from_zero, kw_only=True)
    blocks: Callable[[], Blocks] = field(default=post_norm, kw_only=True)
    # (weights, shape, last block's output, mask) -> z, float32 [batch, units], the head's input before its activation
    read: Callable[[Weights, NetworkShape, Tensor, Tensor], Tensor] = field(default=first_token, kw_only=True)
    # Whether that reads nothing but the first row.
    reads_first: Callable[[NetworkShape], bool] = field(default=lambda shape: True, kw_only=True)
    logits: Callable[[Weights, NetworkShape, Tensor], Tensor] = field(kw_only=True)  # from z
    adaptive_evaluations: float = field(kw_only=True)  # of a row by the adaptive method, as a guess


def whole(config: Mapping[str, Any], name: str, least: int = 1) -> int:
    """A whole number in config.json; raises ModelError where it is none, or less."""
    value = config.get(name)
    if type(value) is not int or value < least:
        raise ModelError(
            f"the model's config.json has {name} {value!r}", expected=f"a whole number of at least {least}"
        )
    return value


def number(config: Mapping[str, Any], name: str) -> float:
    """A positive number in config.json; raises ModelError where it is none."""
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ModelError(f"the model's config.json has {name} {value!r}", expected="a positive number")
    return value


def flag(config: Mapping[str, Any], name: str) -> bool:
    """A switch in config.json; raises ModelError where it is none."""
    return bool(one_of(config, name, (True, False)))


def one_of(config: Mapping[str, Any], name: str, values: Sequence[Any]) -> Any:
    """One of several values in config.json; raises ModelError where it is another."""
    value = config.get(name)
    if not any(type(value) is type(known) and value == known for known in values):
        raise ModelError(
            f"the model's config.json has {name} {value!r}", expected=f"one of {', '.join(map(json_name, values))}"
        )
    return value


def table(name: str, path: str, rows: int, columns: int) -> Parts:
    """A table of embeddings."""
    return {name: Weight(path, (rows, columns))}


def dense(name: str, path: str, into: int, out: int, *, bias: bool = True, pytorch: str = "") -> Parts:
    """A dense layer; `pytorch` is its path there, where that is another."""
    sizes: dict[str, tuple[int, ...]] = {"kernel": (into, out), **({"bias": (out,)} if bias else {})}
    return {
        f"{name}/{part}": Weight(f"{path}/{part}", size, f"{pytorch}/{part}" if pytorch else "")
        for part, size in sizes.items()
    }


def norm(name: str, path: str, width: int, *, beta: bool = True) -> Parts:
    """A layer normalisation."""
    parts = {f"{name}/gamma": Weight(f"{path}/gamma", (width,))}
    return parts | ({f"{name}/beta": Weight(f"{path}/beta", (width,))} if beta else {})


def post_norm_block(name: int, shape: NetworkShape, layers: Mapping[str, str]) -> Parts:
    """A block as `post_norm` computes them.

    Args:
        name: its number.
        shape: of the network.
        layers: ``query``, ``key``, ``value``, ``mix``, ``attention_norm``, ``widen``, ``narrow`` and ``output_norm``,
            each with its path.
    """
    width, wide = shape.hidden, shape.intermediate
    sizes = {"widen": (width, wide), "narrow": (wide, width)}
    parts: Parts = {}
    for layer, path in layers.items():
        if layer.endswith("norm"):
            parts |= norm(f"{name}/{layer}", path, width)
        else:
            parts |= dense(f"{name}/{layer}", path, *sizes.get(layer, (width, width)))
    return parts


def post_norm_blocks(shape: NetworkShape, path: str, layers: Mapping[str, str]) -> Parts:
    """All blocks; `path` is that of block ``{k}``, and `layers` are paths within it."""
    parts: Parts = {}
    for k in range(shape.blocks):
        block = path.format(k=k)
        parts |= post_norm_block(k, shape, {name: f"{block}/{inside}" for name, inside in layers.items()})
    return parts


def two_layer_head(shape: NetworkShape, hidden: str, logits: str) -> Parts:
    """A head of two dense layers with an activation between."""
    width = shape.hidden
    return dense("head/hidden", hidden, width, width) | dense("head/logits", logits, width, shape.logits)
