"""Files of several splits of a data set, known by what they, or the folders that they are in, are called. All pure."""

from __future__ import annotations

import re

from ig_worker.data.files import printable
from ig_worker.errors import DataError

# Names of files of splits, as on Hugging Face's hub and as people call them; and of folders of them.
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")
SPLIT = "test"  # that is read where nobody says which
NO_SPLITS = "has no splits"  # in the note on a split that nothing reads
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|unsupervised)(?:[-_ ].*)?", re.IGNORECASE)


def of_split(names: list[str], where: str, split: str) -> tuple[list[str], tuple[str, ...]]:
    """(files of a split, all splits), where files, or the folders that they are in, are named after several."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(split_in(name), []).append(name)
    others = found.pop("", [])
    splits = tuple(sorted(found))
    if len(found) < 2:
        return names, ()
    if others:
        raise DataError(
            f"{where} holds files of the splits {', '.join(map(printable, splits))} and others, such as "
            f"{printable(others[0])}",
            expected="files of splits only, or none",
            remedy="name those that are meant with --dataset",
        )
    if split not in found:
        named = ", ".join(map(printable, splits))
        raise DataError(f"--split is {split!r}", expected=f"one of the splits of {where}: {named}")
    return found[split], splits


def split_in(name: str) -> str:
    """The split that a path is named after, or an empty string: the file's name counts more than its folders'."""
    *folders, file = name.split("/")
    stem = file.partition(".")[0]
    if shard := _SHARD.fullmatch(stem):
        return shard[1]
    matches = [_SPLIT.fullmatch(part) for part in (stem, *reversed(folders))]
    return next((match[1].lower() for match in matches if match), "")
