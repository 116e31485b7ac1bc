"""Which files a data set is: one, a folder of them, those that a pattern names, or several of these."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import urllib.parse
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.fs as pafs

from ig_worker.data.files import DataFile, file_faults, find_place, printable, suffixes_of, without_query
from ig_worker.data.saved import is_saved, saved_files
from ig_worker.data.splits import of_split, split_in
from ig_worker.errors import DataError, did_you_mean

_MOST_FILES = 100_000
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
# What keeps its rows in files like ours, but says elsewhere which of them count.
_LAKES = {"_delta_log": "a Delta Lake table", ".hoodie": "a Hudi table"}

Format = Callable[[str], str]  # suffix -> the format that it means, such as ".parquet"; empty for none


@dataclass(frozen=True)
class Part:
    """One file of a data set."""

    file: DataFile
    name: str  # within the data set, such as ``language=de/part-0.parquet``

    @property
    def constants(self) -> dict[str, str | None]:
        """Columns whose value stands in the path, as in the partitions of Hive and Spark: ``language=de/``."""
        found: dict[str, str | None] = {}
        for folder in self.name.split("/")[:-1]:
            key, mark, value = folder.partition("=")
            if mark and key:
                found[key] = None if value == _NO_VALUE else urllib.parse.unquote(value)
        return found


@dataclass(frozen=True)
class Place:
    """The files of a data set, in the order in which they are read."""

    name: str  # for people
    parts: tuple[Part, ...]
    one: bool = True  # whether rows are numbered through all parts: it is one file, or one table in several files
    splits: tuple[str, ...] = ()  # where the place has some; the parts are of one of them
    notes: tuple[str, ...] = ()  # what was assumed, for people
    folder: DataFile | None = None  # of `saved`: where the notes of the whole are
    names: Collection[str] = field(default=(), repr=False)


def find_parts(datasets: Sequence[str], split: str, format_of: Format) -> Place:
    """The files that one or several paths, URIs or patterns with ``*`` name, in the order of their names.

    A file is read whatever its name is like; in folders only what is of a known format.

    Args:
        datasets: as the user gives them.
        split: which part, where a folder has named ones.
        format_of: the format that the end of a name means.

    Raises:
        DataError: something is not there, or it is not clear what is meant.
    """
    if not all(map(str.strip, datasets)):  # which would be the current folder
        raise DataError("--dataset is '', among others", expected="demo, imdb, or a path")
    places = [_expanded(place, split, format_of) for place in dict.fromkeys(datasets)]
    if len(places) == 1 and len(datasets) == 1:
        return places[0]
    parts = [part for place in places for part in place.parts]
    paths = Counter((part.file.filesystem.type_name, part.file.path) for part in parts)
    if len(datasets) > len(places) or max(paths.values()) > 1:
        twice = next((path for (_, path), count in paths.items() if count > 1), datasets[0])
        raise DataError(f"--dataset names {printable(twice)} twice", remedy="name every file once")
    parts = sorted(_together(parts), key=lambda part: part.name)
    name = f"{printable(parts[0].name)} and {len(parts) - 1} more"
    return Place(name, tuple(parts), one=False, notes=tuple(note for place in places for note in place.notes))


def _together(parts: list[Part]) -> list[Part]:
    """Parts of several places, named by their way from the folder that they have in common."""
    if len({part.file.filesystem.type_name for part in parts}) > 1:
        return [Part(part.file, part.file.name) for part in parts]
    common = posixpath.commonpath([posixpath.dirname(part.file.path) or "." for part in parts]) if parts else ""
    return [Part(part.file, part.file.path[len(common) :].lstrip("/")) for part in parts]


def _expanded(place: str, split: str, format_of: Format) -> Place:
    filesystem, path, info = find_place(place)
    if info.type == pafs.FileType.File:
        file = DataFile(place, path, filesystem, info.size)
        return Place(file.short_name, (Part(file, posixpath.basename(path)),))
    if info.type == pafs.FileType.Directory:
        return _folder(place, filesystem, path.rstrip("/"), split, format_of)
    if "*" in without_query(place):
        return _pattern(place, filesystem, path, format_of)
    if not format_of(suffixes_of(path)[0]) and "://" not in place and "/" not in place:
        raise DataError(
            f"--dataset {printable(place)} is the name of no data set, file or folder",
            expected="demo, imdb, or a path",
            remedy=did_you_mean(place, ("demo", "imdb")) or "check it",
        )
    if info.type == pafs.FileType.Unknown:
        raise DataError(
            f"{printable(place)} is a pipe or a device",
            expected="a file or a folder, as rows are read more than once",
            remedy="write it to a file first",
        )
    odd = {"?", "["} & set(without_query(place))
    raise DataError(
        f"{printable(place)} does not exist",
        expected="a file or a folder",
        remedy="check the path given with --dataset"
        + ("; in a pattern only * stands for other characters" if odd else ""),
    )


def _folder(place: str, filesystem: pafs.FileSystem, path: str, split: str, format_of: Format) -> Place:
    where, name = printable(place), posixpath.basename(path)
    sizes, links = _files_below(filesystem, path, where)
    _refuse_lakes(sizes, where)
    if is_saved(sizes):
        chosen, splits = saved_files(filesystem, path, where, sizes, split)
        folder = DataFile(place, path, filesystem)
        parts = tuple(Part(_inner(folder, name, sizes[name]), name) for name in chosen)
        title = printable(f"{name} ({split} split)" if splits else name)
        return Place(title, parts, True, splits, (), folder, [*sizes])
    names = [name for name in sizes if not _is_hidden(name)]
    chosen = _of_one_format(names, where, format_of)
    chosen, splits = of_split(chosen, where, split)
    chosen, empty = _without_empty(chosen, sizes, where)
    told = [f"of the splits {', '.join(splits)} of {where}, {split} is read"] if splits else []
    notes = (*told, *_of_links(links, where), *empty)
    folder = DataFile(place, path, filesystem)
    parts = tuple(Part(_inner(folder, name, sizes[name]), name) for name in sorted(chosen))
    title = f"{name} ({f'{split} split, ' if splits else ''}{len(parts)} file{'s' if len(parts) > 1 else ''})"
    return Place(printable(title), parts, False, splits, notes)


def _pattern(place: str, filesystem: pafs.FileSystem, path: str, format_of: Format) -> Place:
    where, segments = printable(place), path.rstrip("/").split("/")
    first = next(number for number, segment in enumerate(segments) if "*" in segment)
    root, wanted = "/".join(segments[:first]), segments[first:]
    sizes, links = _files_below(filesystem, root or "/", where)
    named = [name for name in sizes if _fits(name.split("/"), wanted)]
    if not named:
        raise DataError(f"{where} names no file", expected="a pattern that some files fit")
    chosen, notes = _without_empty(sorted(_of_one_format(named, where, format_of)), sizes, where)
    links = [link for link in links if _fits(link.split("/"), wanted[: link.count("/") + 1])]
    base = without_query(place).rstrip("/")
    folder = DataFile("/".join(base.split("/")[: -len(wanted)]) + place[len(without_query(place)) :], root, filesystem)
    parts = tuple(Part(_inner(folder, name, sizes[name]), name) for name in chosen)
    splits = sorted({split_in(name) for name in chosen} - {""})
    if len(splits) > 1:
        notes = [
            *notes,
            f"{where} fits files of the splits {', '.join(map(printable, splits))}, which are read together",
        ]
    title = f"{printable('/'.join(wanted))} ({len(parts)} file{'s' if len(parts) > 1 else ''})"
    return Place(title, parts, one=False, notes=(*_of_links(links, where), *notes))


def _inner(folder: DataFile, name: str, size: int) -> DataFile:
    base = without_query(folder.place)
    place = f"{base.rstrip('/')}/{name}" if base else name
    return DataFile(place + folder.place[len(base) :], posixpath.join(folder.path, name), folder.filesystem, size)


def _fits(names: list[str], wanted: list[str]) -> bool:
    """Whether a pattern fits a path, or a folder on the way to it; ``**`` is any number of folders."""
    if not wanted:
        return not _is_hidden("/".join(names))
    if wanted[0] == "**":
        return any(_fits(names[start:], wanted[1:]) for start in range(len(names)))
    if not names or not fnmatch.fnmatchcase(names[0], wanted[0]) or (_is_hidden(names[0]) and wanted[0][0] == "*"):
        return False
    return _fits(names[1:], wanted[1:])


def _is_hidden(name: str) -> bool:
    """Whether a path has a part that writers use for what is no data, such as ``_SUCCESS`` and ``.part-0.crc``."""
    return any(part.startswith((".", "_")) and "=" not in part for part in name.split("/"))


def _files_below(filesystem: pafs.FileSystem, path: str, where: str) -> tuple[dict[str, int], list[str]]:
    """(relative path -> bytes of all files below a folder, in the order of their names; links not followed)."""
    found: dict[str, int] = {}
    links: list[str] = []
    with file_faults(where):
        if isinstance(filesystem, pafs.LocalFileSystem):
            links = _walk(path, found)
        else:
            for info in filesystem.get_file_info(pafs.FileSelector(path, recursive=True)):
                if info.type == pafs.FileType.File:
                    found[info.path[len(path) :].lstrip("/")] = info.size
    if len(found) > _MOST_FILES:
        raise DataError(f"{where} holds more than {_MOST_FILES:,} files", expected="fewer", remedy="merge some of them")
    return dict(sorted(found.items())), sorted(links)


def _walk(path: str, found: dict[str, int]) -> list[str]:
    """As for `_files_below`; links to folders are not followed: they may lead in a circle, or to the same rows."""
    links = []

    def fail(error: OSError) -> None:
        raise error

    for folder, inner, names in os.walk(path, onerror=fail):
        linked = (os.path.join(folder, name) for name in inner)
        links += [os.path.relpath(whole, path) for whole in linked if os.path.islink(whole)]
        for name in names:
            whole = os.path.join(folder, name)
            if os.path.isfile(whole):
                found[os.path.relpath(whole, path)] = os.path.getsize(whole)
        if len(found) > _MOST_FILES:
            break
    return links


def _of_links(links: Sequence[str], where: str) -> list[str]:
    """What to say of links to folders."""
    seen = [link for link in links if not _is_hidden(link)]
    more = f" and {len(seen) - 1} more" if len(seen) > 1 else ""
    return [f"{printable(seen[0])}{more} in {where}, a link to a folder, is not followed"] if seen else []


def _without_empty(names: Sequence[str], sizes: Mapping[str, int], where: str) -> tuple[list[str], list[str]]:
    """(files, what to say) without those of no byte, which Spark writes where a partition has no rows."""
    empty = [name for name in names if not sizes[name]]
    if len(empty) == len(names) or not empty:
        return list(names), []
    more = f", and so are {len(empty) - 1} more" if len(empty) > 1 else ""
    return [name for name in names if sizes[name]], [f"{printable(empty[0])} in {where} is empty{more}: left out"]


def _refuse_lakes(names: Collection[str], where: str) -> None:
    tops = {name.partition("/")[0] for name in names}
    kind = next((kind for mark, kind in _LAKES.items() if mark in tops), "")
    if any(name.startswith("metadata/") and name.endswith(".metadata.json") for name in names):
        kind = "an Iceberg table"
    if kind:
        raise DataError(
            f"{where} is {kind}, whose files also hold rows that were deleted",
            expected="plain files",
            remedy="export it to Parquet by its own reader",
        )


def _of_one_format(names: Sequence[str], where: str, format_of: Format) -> list[str]:
    """The files of a folder that hold rows; raises DataError where there are none, or of several formats."""
    by_format: dict[str, list[str]] = {}
    for name in names:
        by_format.setdefault(format_of(suffixes_of(name)[0]), []).append(name)
    others = by_format.pop("", [])
    if len(by_format) > 1 and "json" in {suffixes_of(name)[0].lstrip(".") for name in names}:
        # Beside files of rows, .json is about them.
        by_format = {
            key: kept
            for key, files in by_format.items()
            if (kept := [name for name in files if suffixes_of(name)[0] != ".json"])
        }
    if len(by_format) > 1:
        held = ", ".join(f"{len(files)} {key}" for key, files in sorted(by_format.items()))
        raise DataError(
            f"{where} holds files of several formats ({held})",
            expected="files of one, as they may hold the same rows",
            remedy=f"name those that are meant, such as --dataset '{where.rstrip('/')}/*{min(by_format)}'",
        )
    if not by_format:
        ends = Counter(suffixes_of(name)[0] or "no suffix" for name in others).most_common(3)
        held = f"holds {', '.join(f'{count} files of {end}' for end, count in ends)}" if ends else "is empty"
        raise DataError(
            f"{where} has no data files: it {held}",
            expected="files ending in .parquet, .csv, .jsonl or .arrow",
            remedy="check the path given with --dataset",
        )
    return next(iter(by_format.values()))
