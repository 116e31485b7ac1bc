"""A model's files: where they are, whether they suffice, and a digest of them. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ig_worker.errors import ModelError
from ig_worker.models.layers import NetworkShape, read_shape

# Only formats that cannot carry code: safetensors and HDF5, never a pickle.
WEIGHT_FILES = ("model.safetensors", "tf_model.h5")
HEAD_WEIGHTS = "head.safetensors"  # see `models.head`
SHARD_INDEXES = ("model.safetensors.index.json", "tf_model.h5.index.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
_HUB_PATTERNS = [
    "config.json",
    "*.safetensors",
    "tf_model*.h5",
    "*.index.json",
    "tokenizer*",
    "vocab.txt",
    "special_tokens_map.json",
]


@dataclass(frozen=True)
class ModelFiles:
    """A directory that holds a classifier and its tokenizer."""

    name: str  # as the user gave it
    directory: str
    shape: NetworkShape
    weights_digest: str  # SHA-256, hexadecimal
    tokenizer_digest: str


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """The files of a local model directory, or of a hub name, which is downloaded into the hub's own cache.

    Raises:
        ModelError: no such model, or files are missing.
    """
    try:
        directory = Path(name).expanduser()
    except RuntimeError as error:  # ~nobody
        raise ModelError(f"--model {name} is no directory ({error})", expected="a model directory") from error
    if not directory.is_dir():
        directory = _from_hub(name, revision)
    config = _read_config(directory)
    weights = [path for path in sorted(directory.iterdir()) if _is_weights(path)]
    if not weights and list(directory.glob("pytorch_model*.bin")):
        raise ModelError(
            f"model directory {name} has its weights in pytorch_model.bin, a pickle, which could run code",
            expected=" or ".join(WEIGHT_FILES),
            remedy="where torch is installed, AutoModelForSequenceClassification.from_pretrained(DIR)"
            ".save_pretrained(DIR, safe_serialization=True) writes model.safetensors",
        )
    if not weights:
        raise ModelError(
            f"model directory {name} has no weights",
            expected=" or ".join(WEIGHT_FILES),
            remedy="write it with save_pretrained, or train one with jobs.finetune",
        )
    tokenizer = [path for path in sorted(directory.iterdir()) if _is_tokenizer(path)]
    if not any(path.name in TOKENIZER_FILES for path in tokenizer):
        raise ModelError(
            f"model directory {name} has no tokenizer",
            expected=" or ".join(TOKENIZER_FILES),
            remedy="save the tokenizer beside the weights with tokenizer.save_pretrained",
        )
    return ModelFiles(
        name=name,
        directory=str(directory.absolute()),
        shape=read_shape(config),
        weights_digest=_digest([*weights, directory / "config.json"]),
        tokenizer_digest=_digest(tokenizer),
    )


def _is_weights(path: Path) -> bool:
    sharded = "-of-" in path.name and path.suffix in (".safetensors", ".h5")
    return path.is_file() and (path.name in (*WEIGHT_FILES, HEAD_WEIGHTS, *SHARD_INDEXES) or sharded)


def _is_tokenizer(path: Path) -> bool:
    names = (*TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
    return path.is_file() and path.name in names


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise ModelError(
            f"model directory {directory} has no readable config.json ({error.strerror})",
            expected="a directory written by save_pretrained or jobs.finetune",
        ) from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error})", expected="a transformers configuration") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object", expected="a transformers configuration")
    return config


def _from_hub(name: str, revision: str | None) -> Path:
    import huggingface_hub  # ships with transformers
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=_HUB_PATTERNS))
    except HFValidationError as error:
        raise ModelError(
            f"--model {name} is no directory", expected="a model directory, or a hub name such as user/model"
        ) from error
    except Exception as error:
        raise ModelError(
            f"--model {name} is no directory here, and the model hub did not deliver it ({type(error).__name__})",
            expected="a model directory, or a hub name that can be reached",
            remedy="check the path, or download the model on a machine with network and give its directory",
        ) from error


def _digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            total.update(f"{path.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
