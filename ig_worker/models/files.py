"""A model's files: where they are, whether they suffice, and a digest of them. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ig_worker.data.access import reason_of
from ig_worker.data.files import without_secrets
from ig_worker.errors import ModelError
from ig_worker.models.cache import fetch_model
from ig_worker.models.layers import NetworkShape, read_shape

# Only formats that cannot carry code: safetensors and HDF5, never a pickle.
WEIGHT_FILES = ("model.safetensors", "tf_model.h5")
HEAD_WEIGHTS = "head.safetensors"  # see `models.head`
SHARD_INDEXES = ("model.safetensors.index.json", "tf_model.h5.index.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
_PATTERNS = [
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

    name: str  # as the user gave it, without the secrets that a URI may carry
    directory: str
    shape: NetworkShape
    weights_digest: str  # SHA-256, hexadecimal
    tokenizer_digest: str
    source: str | None = field(default=None, repr=False)  # URI or hub name that every machine can fetch it from
    revision: str | None = None  # of the hub, exactly


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """The files of a local model directory, or of a URI or a hub name, which are fetched into a cache of this machine.

    Raises:
        ModelError: no such model, or files are missing.
    """
    if "://" in name:
        return _read(without_secrets(name), fetch_model(name, _PATTERNS), name, None)
    try:
        directory = Path(name).expanduser()
        local = directory.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, ~nobody
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"--model {name} is no directory ({reason})", expected="a model directory") from error
    if local:
        return _read(name, directory, None, None)
    directory = _from_hub(name, revision)
    exact = directory.name if directory.parent.name == "snapshots" else revision
    return _read(name, directory, name, exact)


def on_this_machine(files: ModelFiles) -> ModelFiles:
    """A model that another machine has found, here: the same files, fetched where need be.

    Raises:
        ModelError: they are not here, or not the same.
    """
    remedy = "give --model a directory that all nodes share, a URI such as s3://…, or a hub name with --revision"
    if files.source is None and not Path(files.directory).is_dir():
        raise ModelError(f"model directory {files.directory} is not on node {socket.gethostname()}", remedy=remedy)
    here = find_model(files.source or files.directory, files.revision)
    if (here.weights_digest, here.tokenizer_digest) != (files.weights_digest, files.tokenizer_digest):
        raise ModelError(
            f"model {files.name} on node {socket.gethostname()} is not the driver's: its weights or tokenizer differ",
            remedy=remedy,
        )
    return here


def _read(name: str, directory: Path, source: str | None, revision: str | None) -> ModelFiles:
    try:
        return _read_all(name, directory, source, revision)
    except OSError as error:
        raise ModelError(
            f"model file {error.filename or directory} cannot be read ({reason_of(error, directory)})",
            expected="files that this user may read",
            remedy=f"as their owner: chmod -R a+rX {directory}",
        ) from error


def _read_all(name: str, directory: Path, source: str | None, revision: str | None) -> ModelFiles:
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
    for path in weights:
        if path.suffix == ".h5":
            _refuse_other_files(path)
    shape = read_shape(config)
    _check_vocabulary(directory, name, shape.vocabulary)
    return ModelFiles(
        name=name,
        directory=str(directory.absolute()),
        shape=shape,
        weights_digest=_digest([*weights, directory / "config.json"]),
        tokenizer_digest=_digest(tokenizer),
        source=source,
        revision=revision,
    )


def _refuse_other_files(path: Path) -> None:
    """HDF5 can take its numbers from any file of this machine, and so bring that file's bytes into a model."""
    import h5py

    def look(group: Any) -> str:
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                return str(name)
            item = group.get(name)
            if isinstance(item, h5py.Group):
                if found := look(item):
                    return found
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                return str(name)
        return ""

    try:
        with h5py.File(path, "r") as content:
            found = look(content)
    except (OSError, RuntimeError, ValueError, KeyError, RecursionError):
        return  # no HDF5 at all, or a damaged one: whoever loads it says so
    if found:
        raise ModelError(
            f"{path} takes {found} from another file",
            expected="weights that are all in their own file",
            remedy="do not use it; ask for model.safetensors",
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
    except FileNotFoundError as error:
        raise ModelError(
            f"model directory {directory} has no readable config.json ({error.strerror})",
            expected="a directory written by save_pretrained or jobs.finetune",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON ({error})", expected="a transformers configuration") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object", expected="a transformers configuration")
    return config


def _check_vocabulary(directory: Path, name: str, embeddings: int) -> None:
    """What can be known of a tokenizer that does not fit, before TensorFlow is loaded; `models.tokenize` knows all."""
    try:
        ids, lost = _read_vocabulary(directory)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"the tokenizer in {name} cannot be read ({type(error).__name__}: {error})",
            expected="a tokenizer.json or vocab.txt as save_pretrained writes it",
        ) from error
    if lost:
        raise ModelError(
            f"the vocabulary of the tokenizer in {name} lacks {lost}, which stands for unknown words",
            expected="a tokenizer that can read any text",
        )
    refuse_token_ids(name, max(ids, default=-1), embeddings)


def _read_vocabulary(directory: Path) -> tuple[list[int], str]:
    """(token ids, the token for unknown words where the vocabulary lacks it) of a tokenizer's files."""
    path = directory / "tokenizer.json"
    if not path.is_file():
        with (directory / "vocab.txt").open("rb") as stream:
            return list(range(sum(1 for _ in stream))), ""
    content = json.loads(path.read_bytes())
    model = content["model"]
    vocabulary = model["vocab"] if isinstance(model["vocab"], dict) else {}
    ids = [*vocabulary.values(), *(token["id"] for token in content.get("added_tokens", []))]
    unknown = str(model.get("unk_token"))
    lost = unknown if model.get("type") == "WordPiece" and unknown not in vocabulary else ""
    return [int(number) for number in ids], lost


def refuse_token_ids(name: str, highest: int, embeddings: int) -> None:
    """Raises ModelError where a tokenizer has a token beyond the last row of the network's embedding table."""
    if highest >= embeddings:
        raise ModelError(
            f"the tokenizer in {name} numbers its tokens up to {highest}, the network has {embeddings} embeddings",
            expected="a tokenizer and a network that belong together",
        )


def _from_hub(name: str, revision: str | None) -> Path:
    import huggingface_hub  # ships with transformers
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=_PATTERNS))
    except HFValidationError as error:
        raise ModelError(
            f"--model {name} is no directory", expected="a model directory, or a hub name such as user/model"
        ) from error
    except Exception as error:
        reason = reason_of(error) if isinstance(error, PermissionError) else type(error).__name__
        raise ModelError(
            f"--model {name} is no directory here, and the model hub did not deliver it ({reason})",
            expected="a model directory, or a hub name that can be reached",
            remedy="check the path, or download the model on a machine with network and give its directory",
        ) from error


def _digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            total.update(f"{path.name}:{hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
