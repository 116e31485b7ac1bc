"""Files that stand in for what their names say: links to nothing, git's notes, other formats. Needs no TensorFlow.

A link whose target is gone is no file to any program. Without a word about it, the next file in order would be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from ig_worker.data.access import reason_of
from ig_worker.errors import ModelError

_POINTER = b"version https://git-lfs"  # how a file begins that git has left for its large-file storage
_NOTE = "git's note of where"
_PICKLE, _PAGE = "a pickle, which could run code", "a web page"
# How files begin: git's note, torch's archives, older pickles, HDF5, and what servers send in place of a file.
_BEGINNINGS = (
    (_POINTER, _NOTE),
    (b"PK\x03\x04", _PICKLE),
    (b"\x80\x02", _PICKLE),
    (b"\x80\x03", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"\x89HDF", "HDF5"),
    (b"<!DOCTYPE", _PAGE),
    (b"<!doctype", _PAGE),
    (b"<html", _PAGE),
)
# Weights that only other programs read.
_OTHER_FORMATS = ("flax_model*.msgpack", "*.onnx", "*.gguf", "*.ckpt", "*.ckpt.index", "*.keras", "saved_model.pb")


def refuse_stand_ins(name: str, directory: Path, files: Iterable[str], texts: Iterable[str]) -> None:
    """Refuse a model whose files are not there though their names are.

    Args:
        name: of the model, for messages.
        directory: the model's.
        files: names, of which a model need not have any.
        texts: those that are small and text, so that git's note of one could be taken for it.

    Raises:
        ModelError: one is a link to nothing, or git's note.
    """
    for file in files:
        path = directory / file
        if path.is_symlink() and not path.exists():
            raise ModelError(
                f"{file} in {name} is a link to {path.readlink()}, which is not there",
                expected="a file",
                remedy="copy or download the model once more, with what its links lead to; or remove the link",
            )
    for file in texts:
        if (directory / file).is_file() and kind_of(directory / file) == _NOTE:
            raise git_note(name, directory / file)


def kind_of(path: Path) -> str:
    """What a file of weights is by how it begins, for people; "" where that is what its name says, or unknown."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(64)
    except OSError:
        return ""
    if path.suffix == ".h5" and beginning[8:9] == b"{":  # behind its header's size
        return "a safetensors file"
    own = "HDF5" if path.suffix == ".h5" else ""
    return next((kind for start, kind in _BEGINNINGS if beginning.lstrip().startswith(start) and kind != own), "")


def unreadable(name: str, path: Path, error: Exception) -> ModelError:
    """The error for a file of weights that a reader could not read."""
    try:
        path.open("rb").close()
    except PermissionError as denied:  # which HDF5 tells in a paragraph, without the owner
        return ModelError(
            f"model file {path} cannot be read ({reason_of(denied, path)})",
            expected="files that this user may read",
            remedy=f"as their owner: chmod -R a+rX {path.parent}",
        )
    except OSError:
        pass  # the reader's own words say it
    kind = kind_of(path)
    if kind == _NOTE:
        return git_note(name, path)
    return ModelError(
        f"the weights in {name} cannot be read: {path.name} "
        + (f"is {kind}, by how it begins" if kind else f"({type(error).__name__}: {error})"),
        expected="a whole file of weights",
        remedy="give it the name of what it is" if kind in ("HDF5", "a safetensors file") else "download it once more",
    )


def git_note(name: str, path: Path) -> ModelError:
    """The error for a file that git has left in place of a large one."""
    what = "the weights are, and not the weights" if path.suffix in (".safetensors", ".h5") else "it is, and not it"
    return ModelError(
        f"{path.name} in {name} is {_NOTE} {what}",
        expected="the file itself",
        remedy="run git lfs pull in the directory, or download it from the hub",
    )


def other_formats(directory: Path) -> list[str]:
    """Names of files that hold weights for other programs."""
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    return [name for name in names if any(fnmatch(name, pattern) for pattern in _OTHER_FORMATS)]


def models_below(directory: Path) -> list[str]:
    """Names of folders in a directory that hold a model, such as a trainer's ``checkpoint-500``."""
    if not directory.is_dir():
        return []
    return sorted(path.parent.name for path in directory.glob("*/config.json"))
