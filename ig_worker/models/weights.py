"""The weights of a classifier: the names that `network` knows them by, transformers' names, and their shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.encoders import ENCODERS, TITLES
from ig_worker.models.encoders.encoder import Parts, dense
from ig_worker.models.layers import NetworkShape


def weight_parts(shape: NetworkShape) -> Parts:
    """Path and shape of every weight of a network, by its name here; weights that blocks share once."""
    parts = ENCODERS[shape.architecture].weights(shape)
    if shape.head is None:
        return parts
    encoder = {name: weight for name, weight in parts.items() if not name.startswith("head/")}
    read, units = shape.head.length * shape.hidden, shape.head.hidden
    head = dense("head/hidden", "head_hidden", read, units) | dense("head/logits", "head_logits", units, shape.logits)
    return encoder | head


def weight_paths(shape: NetworkShape) -> dict[str, str]:
    """The name here -> the end of transformers' TensorFlow name, of every weight of a network."""
    return {name: weight.path for name, weight in weight_parts(shape).items()}


def weight_shapes(shape: NetworkShape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a network, by its name here; kernels are [units in, units out]."""
    return {name: weight.shape for name, weight in weight_parts(shape).items()}


def with_shared(weights: Mapping[str, Any], shape: NetworkShape) -> dict[str, Any]:
    """The weights, under the name of every block that has them."""
    owner, whole = ENCODERS[shape.architecture].owner, dict(weights)
    for k in range(shape.blocks):
        if (first := owner(shape, k)) != k:
            own = {name.partition("/")[2]: value for name, value in weights.items() if name.startswith(f"{first}/")}
            whole |= {f"{k}/{rest}": value for rest, value in own.items()}
    return whole


def block_kernels(shape: NetworkShape, blocks: Iterable[int]) -> list[str]:
    """The names of what blocks multiply their input with."""
    kernels = [name for name in weight_shapes(shape) if name.endswith("/kernel")]
    return [name for k in blocks for name in with_shared(dict.fromkeys(kernels), shape) if name.startswith(f"{k}/")]


def find_variable(by_name: Mapping[str, Any], path: str) -> Any:
    """The variable whose name ends with `path`.

    Raises:
        ModelError: there is none, or there are several.
    """
    found = [variable for name, variable in by_name.items() if name == path or name.endswith("/" + path)]
    if len(found) != 1:
        raise ModelError(
            f"the network has {len(found)} weights named {path!r}",
            expected=f"one, as transformers' TensorFlow {' and '.join(TITLES)} classifiers have",
        )
    return found[0]
