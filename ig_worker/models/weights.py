"""The weights of a classifier: the names that `network` knows them by, transformers' names, and their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.encoders import ENCODERS, TITLES
from ig_worker.models.layers import NetworkShape

AFFINE = ("kernel", "bias")
_SCALED = ("gamma", "beta")  # of a normalisation
_NORM = {"embeddings/norm": "embeddings/LayerNorm"}
_FLATTEN_HEAD = {"head/hidden": "head_hidden", "head/logits": "head_logits"}


def weight_paths(shape: NetworkShape) -> dict[str, str]:
    """The name here -> the end of transformers' TensorFlow name, of every weight of a network."""
    encoder = ENCODERS[shape.architecture]
    norms, dense = dict(_NORM), dict(encoder.head if shape.head is None else _FLATTEN_HEAD)
    for k in range(shape.blocks):
        norms |= {f"{k}/{name}": path.format(k=k) for name, path in encoder.norms.items()}
        dense |= {f"{k}/{name}": path.format(k=k) for name, path in encoder.dense.items()}
    table = {name: path for name, (path, _) in encoder.tables.items()}
    table |= {f"{name}/{part}": f"{path}/{part}" for name, path in norms.items() for part in _SCALED}
    return table | {f"{name}/{part}": f"{path}/{part}" for name, path in dense.items() for part in AFFINE}


def weight_shapes(shape: NetworkShape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a network, by its name here; kernels are [units in, units out]."""
    encoder, width, wide = ENCODERS[shape.architecture], shape.hidden, shape.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        name: (getattr(shape, rows), width) for name, (_, rows) in encoder.tables.items()
    }
    norms = [*_NORM]
    dense: dict[str, tuple[int, int]] = {}  # units in, units out
    for k in range(shape.blocks):
        norms += [f"{k}/{name}" for name in encoder.norms]
        dense |= {f"{k}/{name}": (width, width) for name in encoder.dense}
        dense |= {f"{k}/widen": (width, wide), f"{k}/narrow": (wide, width)}
    read, units = (width, width) if shape.head is None else (shape.head.length * width, shape.head.hidden)
    dense |= {"head/hidden": (read, units), "head/logits": (units, shape.logits)}
    shapes |= {f"{name}/{part}": (width,) for name in norms for part in _SCALED}
    for name, (into, out) in dense.items():
        shapes |= {f"{name}/kernel": (into, out), f"{name}/bias": (out,)}
    return shapes


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
