"""Random weights of a transformers classifier, from a weight's name alone, so that two machines draw the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def draw(name: str, shape: Sequence[int]) -> np.ndarray:
    """The weight `name`, float32: normal with deviation 0.02 around 0, or around 1 for a normalisation's gamma."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    values = np.random.default_rng(seed).standard_normal(tuple(shape), np.float32) * np.float32(0.02)
    return values + np.float32(1) if name.endswith("gamma") else values


def as_pytorch(name: str, values: np.ndarray) -> tuple[str, np.ndarray]:
    """A TensorFlow weight under PyTorch's name; TensorFlow keeps dense kernels transposed."""
    *path, last = name.split(":")[0].replace("layer_._", "layer.").split("/")
    renamed = {"gamma": "weight", "beta": "bias", "kernel": "weight", "embeddings": "weight"}.get(last, last)
    return ".".join([*path, renamed]), np.ascontiguousarray(values.T if last == "kernel" else values)
