"""Folders that Hugging Face's ``save_to_disk`` wrote, found without that library: which Arrow files hold a split."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection
from typing import Any

import pyarrow.fs as pafs

from ig_worker.data.faults import shown
from ig_worker.data.files import file_faults
from ig_worker.errors import DataError

_STATE, _SPLITS, _INFO = "state.json", "dataset_dict.json", "dataset_info.json"
_MOST_BYTES = 16 << 20  # of each of these


def is_saved(names: Collection[str]) -> bool:
    """Whether a folder with files of these names (relative paths) is one."""
    return _SPLITS in names or (_STATE in names and any(name.endswith(".arrow") for name in names))


def saved_files(
    filesystem: pafs.FileSystem, folder: str, where: str, names: Collection[str], split: str
) -> tuple[list[str], tuple[str, ...]]:
    """(Arrow files of a split, relative to the folder and in order; all splits, where there are any).

    Raises:
        DataError: there is no such split, or the folder is not whole.
    """
    inside, splits = "", tuple[str, ...]()
    if _SPLITS in names:
        found = _read(filesystem, folder, _SPLITS, where).get("splits")
        splits = tuple(found) if isinstance(found, list) and all(map(_is_name, found)) else ()
        if not splits:
            raise _broken(where, _SPLITS, found)
        if split not in splits:
            raise DataError(f"--split is {split!r}", expected=f"one of the splits of {where}: {', '.join(splits)}")
        inside = split
    state = _read(filesystem, folder, posixpath.join(inside, _STATE), where)
    files = state.get("_data_files")
    if state.get("_indices_data_files"):
        raise DataError(
            f"{where} holds a selection of its rows, by their numbers",
            expected="the rows themselves",
            remedy="save it again after flatten_indices()",
        )
    listed = (
        [file.get("filename") if isinstance(file, dict) else None for file in files] if isinstance(files, list) else []
    )
    # Nothing but the name of a file beside it: a path could lead to any file of this machine.
    if not listed or not all(map(_is_name, listed)):
        raise _broken(where, _STATE, files)
    found_files = [posixpath.join(inside, str(name)) for name in listed]
    missing = [name for name in found_files if name not in names]
    if missing:
        raise DataError(f"{where} has no file {shown(missing[0])}, which its {_STATE} names", remedy="copy all of it")
    return found_files, splits


def saved_class_names(
    filesystem: pafs.FileSystem, folder: str, names: Collection[str], file: str, label: str | None
) -> tuple[str, ...]:
    """Names of the classes of a label column, by number, that ``dataset_info.json`` beside a file of the folder has."""
    info = posixpath.join(posixpath.dirname(file), _INFO)
    return class_names_of(_read(filesystem, folder, info, folder), label) if info in names else ()


def class_names_of(info: Any, label: str | None) -> tuple[str, ...]:
    """Names of the classes of a label column in what Hugging Face's library writes of its ``features``."""
    try:
        feature = info["features"][label]
        while not (isinstance(feature, dict) and "names" in feature):  # of lists, the entries'
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        names = feature["names"]
        return tuple(names) if all(isinstance(name, str) for name in names) else ()
    except (KeyError, IndexError, TypeError):
        return ()


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)


def _read(filesystem: pafs.FileSystem, folder: str, name: str, where: str) -> dict[str, Any]:
    with file_faults(f"{where}/{name}"), filesystem.open_input_stream(posixpath.join(folder, name)) as stream:
        data = stream.read(_MOST_BYTES)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise _broken(where, name, content)
    return content


def _broken(where: str, name: str, found: object) -> DataError:
    return DataError(
        f"{where}/{name} holds {shown(found)}", expected="what save_to_disk writes", remedy="save the data set again"
    )
