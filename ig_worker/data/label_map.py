"""What a user says that labels mean: ``--label-map 0=negative,4=positive``, or a TOML file of such lines."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from ig_worker.data.faults import shown
from ig_worker.data.files import brief, file_faults, find_file
from ig_worker.errors import DataError


@dataclass(frozen=True)
class LabelMap:
    """What labels mean: numbers or names of classes."""

    entries: Mapping[str, int | str]  # "" for no label
    quoted: bool = True  # whether what is a string is a name wherever it can be one, even where it looks like a number


_MOST_BYTES = 1 << 20


def read_label_map(text: str | None) -> LabelMap | None:
    """The map that ``--label-map`` gives, its keys as they were written; None where there is none.

    Raises:
        DataError: it is no map, or its file cannot be read.
    """
    if text is None:
        return None
    quoted = text.endswith(".toml")
    found = _from_file(text) if quoted else _from_pairs(text)
    if not found:
        raise _no_map(text, "is empty")
    return LabelMap(found, quoted)


def _from_pairs(text: str) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    for pair in filter(str.strip, text.split(",")):
        label, mark, value = (part.strip() for part in pair.partition("="))
        if not mark or not label or "=" in value:
            raise _no_map(text, f"has the part {shown(pair)}")
        if label in found:
            raise _no_map(text, f"has {label} twice")
        found[label] = value
    return found


def _from_file(place: str) -> dict[str, int | str]:
    file = find_file(place, "--label-map")
    with file_faults(file.name), file.open() as stream:
        data = stream.read(_MOST_BYTES)
    try:
        content = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _no_map(file.name, f"is not TOML ({brief(error)})") from error
    for label, value in content.items():
        if type(value) not in (int, str):
            raise _no_map(file.name, f"says {shown(value)} of {label}")
    return content


def _no_map(text: str, what: str) -> DataError:
    return DataError(
        f"--label-map {shown(text)} {what}",
        expected='pairs such as 0=negative,4=positive, or the name of a .toml file of lines such as 4 = "positive"',
    )
