"""Models at a URI: each machine copies one once into ~/.cache/ig_worker/models, under a hash of what lies there."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from ig_worker.data.access import cache_folder, reason_of
from ig_worker.data.files import brief, without_secrets
from ig_worker.errors import ModelError

_BLOCK = 1 << 22
_KEPT_S = 30 * 24 * 3600.0  # a copy that nobody has asked for in so long is removed


def fetch_model(uri: str, patterns: Sequence[str]) -> Path:
    """The directory on this machine that holds the files at `uri`; copied unless what lies there has been before.

    Args:
        uri: of a folder, such as ``s3://bucket/models/production``.
        patterns: names of the files that are wanted, such as ``*.safetensors``.

    Raises:
        ModelError: nothing is there, or it cannot be read, or there is no room for it.
    """
    shown = without_secrets(uri)
    try:
        filesystem, root = pafs.FileSystem.from_uri(uri)
        if isinstance(filesystem, pafs.LocalFileSystem):
            return Path(root)
        found = filesystem.get_file_info(pafs.FileSelector(root, recursive=False))
        files = [info for info in found if any(fnmatch.fnmatch(info.base_name, pattern) for pattern in patterns)]
        files = sorted((info for info in files if info.type == pafs.FileType.File), key=lambda info: info.base_name)
        if not files:
            raise ModelError(
                f"there is no model at {shown}", expected="a folder written by save_pretrained or jobs.finetune"
            )
        target = _place(shown, files)
        if not target.is_dir():
            _copy(filesystem, files, target)
            _forget_old(target.parent)
        with suppress(OSError):  # another user's, in a cache that they share
            os.utime(target)
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        reason = reason_of(error) if isinstance(error, PermissionError) else brief(error)
        raise ModelError(
            f"the model at {shown} cannot be fetched ({without_secrets(reason)})",
            expected="a URI such as s3://bucket/models/production that this machine may read, and room in "
            f"{cache_folder()} (HOME, XDG_CACHE_HOME)",
        ) from error
    return target


def _place(shown: str, files: Sequence[pafs.FileInfo]) -> Path:
    """Where the copy is: another one as soon as a file's size or time of change is another."""
    content = [shown, [(info.base_name, info.size, info.mtime_ns) for info in files]]
    name = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    return cache_folder() / "models" / name


def _copy(filesystem: pafs.FileSystem, files: Sequence[pafs.FileInfo], target: Path) -> None:
    """Copy into a folder of its own that becomes the target in one step: other actors start at the same time."""
    scratch = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    scratch.mkdir(parents=True)
    try:
        for info in files:
            with filesystem.open_input_stream(info.path) as source, (scratch / info.base_name).open("wb") as sink:
                while block := source.read(_BLOCK):
                    sink.write(block)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # else another actor was faster
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _forget_old(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                shutil.rmtree(path)
