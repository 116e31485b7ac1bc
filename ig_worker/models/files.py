"""A model's files: where they are, whether they suffice, and a digest of them. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ig_worker.data.access import reason_of
from ig_worker.data.files import without_secrets
from ig_worker.errors import ModelError
from ig_worker.models.cache import fetch_model
from ig_worker.models.config_keys import check_keys
from ig_worker.models.layers import HEAD_KEY, NetworkShape
from ig_worker.models.network_weights import HEAD_WEIGHTS, choice_of_files, find_head, find_weights
from ig_worker.models.shape import AUTO, read_shape, with_outputs
from ig_worker.models.stand_ins import models_below, refuse_stand_ins
from ig_worker.models.stored import ORDER
from ig_worker.models.tokenizer_files import TOKENIZER_FILES, check_tokenizer

log = logging.getLogger(__name__)

_TEXTS = ("config.json", "adapter_config.json", *TOKENIZER_FILES)
_PATTERNS = [
    "config.json",
    "*.safetensors",
    "tf_model*.h5",
    "*.index.json",
    "adapter_config.json",
    *TOKENIZER_FILES,
    "tokenizer*",  # transformers also writes tokenizer.4.0.0.json and the like
]


@dataclass(frozen=True)
class ModelFiles:
    """A directory that holds a classifier and its tokenizer."""

    name: str  # as the user gave it, without the secrets that a URI may carry
    directory: str
    shape: NetworkShape
    weights_digest: str  # SHA-256, hexadecimal
    tokenizer_digest: str
    notes: tuple[str, ...] = ()  # what its user should know, each as one line
    source: str | None = field(default=None, repr=False)  # URI or hub name that every machine can fetch it from
    revision: str | None = None  # of the hub, exactly

    def tell_notes(self) -> None:
        """Warn of what its user should know: once, by who was given the model."""
        for note in self.notes:
            log.warning("%s", note)


def find_model(name: str, revision: str | None = None, *, base: bool = False, outputs: str = AUTO) -> ModelFiles:
    """The files of a local model directory, or of a URI or a hub name, which are fetched into a cache of this machine.

    Args:
        name: of the model.
        revision: of a hub model.
        base: whether it is yet to be trained, and needs no head.
        outputs: what its logits say, one of `shape.SETTINGS`.

    Raises:
        ModelError: no such model, files are missing, or they are of a network that is not the one that would be
            explained.
        UsageError: its logits do not say that.
    """
    found = _find(name, revision, base)
    return replace(found, shape=with_outputs(found.shape, outputs))


def _find(name: str, revision: str | None, base: bool) -> ModelFiles:
    if "://" in name:
        return _read(without_secrets(name), fetch_model(name, _PATTERNS), name, None, base)
    try:
        directory = Path(name).expanduser()
        local = directory.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, ~nobody
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"--model {name} is no directory ({reason})", expected="a model directory") from error
    if local:
        return _read(name, directory, None, None, base)
    directory = _from_hub(name, revision)
    exact = directory.name if directory.parent.name == "snapshots" else revision
    return _read(name, directory, name, exact, base)


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
    return replace(here, shape=files.shape)  # which says how its logits are read


def _read(name: str, directory: Path, source: str | None, revision: str | None, base: bool) -> ModelFiles:
    try:
        return _read_all(name, directory, source, revision, base)
    except OSError as error:
        raise ModelError(
            f"model file {error.filename or directory} cannot be read ({reason_of(error, directory)})",
            expected="files that this user may read",
            remedy=f"as their owner: chmod -R a+rX {directory}",
        ) from error


def _read_all(name: str, directory: Path, source: str | None, revision: str | None, base: bool) -> ModelFiles:
    refuse_stand_ins(name, directory, (*_TEXTS, *ORDER, HEAD_WEIGHTS), _TEXTS)
    config = _read_config(directory)
    if (directory / "adapter_config.json").is_file():
        raise ModelError(
            f"model directory {name} has an adapter (adapter_config.json), which changes the weights of another model",
            expected="a whole model",
            remedy="where peft is installed, merge_and_unload() and save_pretrained write one",
        )
    shape = read_shape(config)
    notes = check_keys(config, shape.architecture, flatten=HEAD_KEY in config, base=base)
    weights = find_weights(name, directory, shape, base=base)
    notes += filter(None, [choice_of_files(weights, directory, shape, base=base)])
    paths = [*weights.files.paths, *([weights.files.index] if weights.files.index else [])]
    if shape.head is not None and not base:
        paths += find_head(name, directory, shape).files.paths
    tokenizer = [path for path in sorted(directory.iterdir()) if path.is_file() and path.name in TOKENIZER_FILES]
    notes += check_tokenizer(directory, name, shape.vocabulary)
    return ModelFiles(
        name=name,
        directory=str(directory.absolute()),
        shape=shape,
        weights_digest=_digest([*sorted(paths), directory / "config.json"]),
        tokenizer_digest=_digest(tokenizer),
        notes=tuple(f"model {name}: {note}" for note in notes),
        source=source,
        revision=revision,
    )


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError as error:
        below = models_below(directory)
        raise ModelError(
            f"model directory {directory} has no readable config.json ({error.strerror})",
            expected="a directory written by save_pretrained or jobs.finetune",
            remedy=f"there is one in {' and in '.join(below[-3:])}" if below else "",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON ({error})", expected="a transformers configuration") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object", expected="a transformers configuration")
    return config


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
