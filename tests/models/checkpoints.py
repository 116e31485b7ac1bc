"""Checkpoints as other programs write them, made from the tiny networks, without torch."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ig_worker.models.encoders import ENCODERS
from ig_worker.models.files import find_model
from ig_worker.models.layers import NetworkShape
from ig_worker.models.network_weights import find_weights
from ig_worker.models.tensors import Stored
from ig_worker.models.weights import weight_parts, weight_paths

_PYTORCH = {"gamma": "weight", "beta": "bias", "kernel": "weight", "embeddings": "weight"}
_CODES = {"float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int64": "I64"}
State = dict[str, Any]  # name -> array, or (safetensors' code, shape, bytes)


def pytorch_state(model: Path) -> State:
    """The weights of a tiny model as PyTorch names and turns them."""
    shape = find_model(str(model)).shape
    names, paths = pytorch_names(shape), weight_paths(shape)
    return {
        names[weight]: np.ascontiguousarray(values.T if paths[weight].endswith("kernel") else values)
        for weight, values in find_weights("tiny", model, shape).values()
    }


def pytorch_names(shape: NetworkShape) -> dict[str, str]:
    """PyTorch's name of each weight of transformers' classifier."""
    encoder, names = ENCODERS[shape.architecture], {}
    for weight, part in weight_parts(shape).items():
        path = part.pytorch or part.path
        *parts, leaf = path.replace("_._", "/").replace(".", "/").split("/")
        # The poolers of BERT and ALBERT are the encoder's, DeBERTa's is the classifier's.
        own = not weight.startswith("head/") or (parts[0] == "pooler" and encoder.name != "deberta-v2")
        names[weight] = ".".join([*([encoder.prefix] if own else []), *parts, _PYTORCH.get(leaf, leaf)])
    return names


def write_safetensors(path: Path, state: State, metadata: dict[str, str] | None = None) -> None:
    """Write what safetensors' own numpy side could not: bfloat16, 8-bit floats, no metadata."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    blob = b""
    for name, value in state.items():
        if not isinstance(value, tuple):
            value = (_CODES[str(value.dtype)], value.shape, np.ascontiguousarray(value).tobytes())
        code, shape, data = value
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)


def write_shards(directory: Path, state: State, parts: int = 3) -> None:
    """Write `state` in parts, with their index, as PyTorch's save_pretrained does with large networks."""
    names, places = list(state), {}
    for i in range(parts):
        file = f"model-{i + 1:05d}-of-{parts:05d}.safetensors"
        write_safetensors(directory / file, {name: state[name] for name in names[i::parts]}, {"format": "pt"})
        places |= dict.fromkeys(names[i::parts], file)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def copy_of(model: Path, target: Path, state: State | None = None, **config: Any) -> Path:
    """A copy of a tiny model with other weights and other keys in config.json; None drops a key."""
    shutil.copytree(model, target)
    if state is not None:
        (target / "tf_model.h5").unlink()
        write_safetensors(target / "model.safetensors", state, {"format": "pt"})
    content = json.loads((target / "config.json").read_text()) | config
    (target / "config.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return target


def as_bfloat16(values: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    """The upper halves of float32 numbers."""
    return "BF16", values.shape, (np.ascontiguousarray(values).view(np.uint32) >> 16).astype("<u2").tobytes()


def headers(state: Mapping[str, np.ndarray]) -> dict[str, Stored]:
    return {name: Stored(value.shape, str(value.dtype)) for name, value in state.items()}


def as_pytorch(variables) -> dict[str, np.ndarray]:
    """A TensorFlow network's weights under PyTorch's names, kernels transposed."""
    state = {}
    for variable in variables:
        path = variable.name.split(":")[0].replace("layer_._", "layer.").split("/")
        path = path[1:] if path[0].startswith("tf") else path
        values, last = variable.numpy(), path[-1]
        name = ".".join([*path[:-1], _PYTORCH.get(last, last)])
        state[name] = np.ascontiguousarray(values.T if last == "kernel" else values)
    return state
