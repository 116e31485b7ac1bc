"""What tells one run from another: the settings and versions that decide its numbers, and their fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib import metadata
from typing import Any

from ig_worker import schema
from ig_worker.data.files import without_secrets
from ig_worker.data.sources import DataSpec
from ig_worker.errors import RunMismatchError
from ig_worker.explain.methods import unread, version
from ig_worker.models.environment import ONEDNN
from ig_worker.run.config import DataConfig, ExplainConfig

# Packages whose version may change a digit of the result.
_VERSIONED = ("tensorflow", "transformers", "tokenizers", "alibi", "numpy")


def identity(config: DataConfig) -> dict[str, Any]:
    """The settings that decide the result. Which rows, and which model, is in their digests instead."""
    apart = {f.name for f in fields(DataSpec)} | {"model", "revision"}
    if isinstance(config, ExplainConfig):  # settings that the method does not read decide nothing
        apart |= unread(config.method)
    return {f.name: getattr(config, f.name) for f in fields(config) if f.metadata["identity"] and f.name not in apart}


def run_identity(
    config: ExplainConfig, data: str, weights: str, tokenizer: str, outputs: str = schema.CLASSES
) -> dict[str, Any]:
    """Everything that the fingerprint is made of, flat, so that two runs' differences can be named.

    Args:
        config: of the run.
        data, weights, tokenizer: their digests.
        outputs: what the model says, of `schema.OUTPUTS`.
    """
    versions = {f"version of {name}": metadata.version(name) for name in _VERSIONED}
    if decided := version(config.method):
        versions[f"version of {config.method}"] = decided
    decisive = identity(config)
    if outputs != schema.LABELS:  # of which there is nothing to choose
        del decisive["threshold"]
    return {
        **decisive,
        **versions,
        "data": data,
        "weights": weights,
        "tokenizer": tokenizer,
        "device": "gpu" if config.gpus_per_actor else "cpu",
        ONEDNN: os.environ.get(ONEDNN, ""),  # its products differ from TensorFlow's own in their last bits
        "schema": schema.VERSION,
    }


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of `content` as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def refuse_differences(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise RunMismatchError naming the keys in which the run on disk differs from what was asked for."""
    if old.get("data") == new.get("data"):  # then it does not matter how the same rows were asked for
        asked = {f.name for f in fields(DataSpec)}
        old, new = ({key: value for key, value in side.items() if key not in asked} for side in (old, new))
    differing = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    if differing:
        changes = ", ".join(f"{key}: {_short(old.get(key))} there, {_short(new.get(key))} now" for key in differing)
        raise RunMismatchError(
            f"{place} was made with another configuration ({changes})",
            remedy="give another --run, or the settings that run was made with",
        )


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) > 40 else text


def settings(config: DataConfig) -> dict[str, Any]:
    """All settings as they go into run.json: without the secrets that a URI may carry."""
    return {key: _without_secrets(value) for key, value in asdict(config).items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_without_secrets(one) for one in value]
    return without_secrets(value) if isinstance(value, str) else value
