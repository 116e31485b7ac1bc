"""Files of tables and lines, one or several, as the rows of one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.data.columnar import arrow_rows, parquet_rows
from ig_worker.data.columns import DEFAULT_LABEL_COLUMN, ColumnNames, plain_name, suggested
from ig_worker.data.delimited import csv_rows
from ig_worker.data.faults import shown
from ig_worker.data.files import DataFile
from ig_worker.data.jsonlines import jsonl_rows
from ig_worker.data.kept_columns import kept_names
from ig_worker.data.kept_types import KeptColumn, type_of_all
from ig_worker.data.label_lists import ListCounter
from ig_worker.data.labels import LabelCounter
from ig_worker.data.places import Part, Place, find_parts
from ig_worker.data.reading import Reading, Rows
from ig_worker.data.saved import saved_class_names
from ig_worker.data.sniff import find_encoding
from ig_worker.data.splits import NO_SPLITS, SPLIT
from ig_worker.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from ig_worker.data.sources import DataSpec

# Dispatch: a new format is one function (file, reading) -> Rows and its suffixes here.
FORMATS: dict[str, tuple[str, Callable[[DataFile, Reading], Rows]]] = {
    ".parquet": (".parquet", parquet_rows),
    ".pq": (".parquet", parquet_rows),
    ".arrow": (".arrow", arrow_rows),
    ".csv": (".csv", csv_rows),
    ".tsv": (".csv", csv_rows),
    ".tab": (".csv", csv_rows),
    ".jsonl": (".jsonl", jsonl_rows),
    ".ndjson": (".jsonl", jsonl_rows),
    ".json": (".jsonl", jsonl_rows),
}
# What to do with files of other formats.
_OTHERS = dict.fromkeys((".xlsx", ".xls", ".ods", ".xml", ".sqlite", ".db"), "export it as CSV in UTF-8")
_OTHERS |= dict.fromkeys((".zip", ".tar", ".7z", ".rar", ".xz", ".tgz"), "unpack it")
_OTHERS |= dict.fromkeys((".feather", ".orc", ".avro", ".pkl", ".pickle", ".h5", ".hdf5"), "write it as Parquet")
_FILES_COMPARED = 20
_TEXT_FORMATS = (".csv", ".jsonl")  # which can be packed, and in any encoding
_NAMED = ".npz, .parquet, .arrow, .csv, .tsv, .jsonl or .ndjson, the last four also with .gz, .zst or .bz2"


@dataclass(frozen=True)
class Tables:
    """The rows of files, and what decides them."""

    name: str
    rows: Rows
    content: tuple[str, ...]  # hashes of the files, in order
    settings: dict[str, object]
    splits: tuple[str, ...]
    notes: tuple[str, ...]


def table_rows(datasets: Sequence[str], spec: DataSpec, counter: LabelCounter) -> Tables:
    """The rows of the files that `datasets` name, in the order of their names.

    Raises:
        DataError: a file cannot be read, or a setting does not fit the files.
    """
    place = find_parts(datasets, spec.split, lambda suffix: FORMATS.get(suffix, ("",))[0])
    for part in place.parts:
        _check_format(part.file)
    reading = _reading(spec, place, counter)
    parts = [_part_rows(part, place, reading) for part in place.parts]
    if place.folder is not None:
        label = parts[0].used.label
        first = place.parts[0].name
        names = saved_class_names(place.folder.filesystem, place.folder.path, place.names, first, label)
        parts = [replace(rows, class_names=rows.class_names or names) for rows in parts]
    content = tuple(part.file.digest() for part in place.parts)
    settings, notes = _settings(place, parts, reading.columns), _notes(place, parts, reading.columns)
    copies = _copies(place, parts, content)
    notes += copies
    if not copies and (alike := _numbered_alike(place, parts)):
        parts = [_told_apart(rows, part.name) for part, rows in zip(place.parts, parts, strict=True)]
        settings["ids"] = "begin with the name of their file"
        notes.append(alike)
    return Tables(
        name=place.name,
        rows=_joined(parts, place),
        content=content,
        settings=settings,
        splits=place.splits,
        notes=(
            *place.notes,
            *(
                []
                if place.splits or spec.split == SPLIT
                else [f"{place.name} {NO_SPLITS}: --split {spec.split} chooses nothing"]
            ),
            *notes,
        ),
    )


def _copies(place: Place, parts: Sequence[Rows], content: Sequence[str]) -> list[str]:
    """What to say of a file that is there twice, under another name."""
    first: dict[str, str] = {}
    for part, rows, digest in zip(place.parts, parts, content, strict=True):
        if rows.count and not part.constants and digest in first:
            return [f"{part.file.name} holds the same bytes as {first[digest]}: its rows are read again"]
        first.setdefault(digest, part.file.name)
    return []


def _numbered_alike(place: Place, parts: Sequence[Rows]) -> str:
    """A note where two of the first files have an id in common among their first rows, else ""."""
    first: dict[str, str] = {}
    for part, rows in list(zip(place.parts, parts, strict=True))[:_FILES_COMPARED]:
        batch = None if rows.used.id is None or len(parts) == 1 else next(iter(rows.batches()), None)
        ids = [] if batch is None else batch.column("id").drop_null().to_pylist()
        if shared := [row_id for row_id in ids if row_id in first]:
            return (
                f"{part.file.name} has ids of {first[shared[0]]}, such as {shown(shared[0])}: to tell them apart, the "
                "ids of all rows begin with the name of their file"
            )
        first |= dict.fromkeys(ids, part.file.name)
    return ""


def _told_apart(rows: Rows, name: str) -> Rows:
    """The same rows with ids that begin with the name of their file."""
    if rows.used.id is None:  # then they do
        return rows

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows.batches():
            given = batch.column("id")
            ids = pc.if_else(pc.equal(given, ""), "", pc.binary_join_element_wise(f"{name}:", given, ""))  # null: null
            yield batch.set_column(batch.schema.get_field_index("id"), "id", ids)

    return replace(rows, batches=batches)


def _check_format(file: DataFile) -> None:
    suffix, packing = file.suffixes
    kind = FORMATS.get(suffix, ("",))[0]
    if not kind or (packing and kind not in _TEXT_FORMATS):
        what = f"packed by {file.packing}" if kind else "of no known format"
        stem = file.short_name[: -len(packing)] if packing else ""
        named = f"give it the name of its format, such as {stem}.csv{packing}" if stem and not suffix else ""
        known = named or _OTHERS.get(suffix) or did_you_mean(suffix, FORMATS) if suffix or named else ""
        raise DataError(
            f"--dataset {file.name} is {what}",
            expected=f"demo, imdb, or a file ending in {_NAMED}",
            remedy="unpack it" if kind else known or "rename or convert it",
        )


def _reading(spec: DataSpec, place: Place, counter: LabelCounter) -> Reading:
    kinds = {FORMATS[part.file.suffixes[0]][0] for part in place.parts}
    for name, value, fitting in (("encoding", spec.encoding, _TEXT_FORMATS), ("delimiter", spec.delimiter, (".csv",))):
        if value is not None and kinds.isdisjoint(fitting):
            raise DataError(
                f"--{name} is {value!r}, which {', '.join(sorted(kinds))} files do not have", remedy="leave it out"
            )
    return Reading(
        ColumnNames(spec.text_column, spec.label_column or None, spec.id_column or None, spec.pair_column or None),
        counter,
        find_encoding(spec.encoding),
        spec.encoding is None,
        _delimiter(spec.delimiter),
        lists=isinstance(counter, ListCounter),
        kept=kept_names(spec.keep_columns),
    )


def _delimiter(given: str | None) -> str | None:
    found = {"tab": "\t", "\\t": "\t"}.get(given or "", given)
    if found is not None and (len(found) != 1 or not found.isascii() or found in '"\r\n\0'):
        raise DataError(f"--delimiter is {given!r}", expected="one character, such as ; or tab")
    return found


def _part_rows(part: Part, place: Place, reading: Reading) -> Rows:
    # Rows of one table in several files are numbered through; those of other files are told apart by the files' names.
    prefix = "" if place.one else f"{part.name}:"
    read = FORMATS[part.file.suffixes[0]][1]
    made_first = reading.counter.rows if place.one else 0
    return read(part.file, replace(reading, constants=part.constants, made_prefix=prefix, made_first=made_first))


def _joined(parts: list[Rows], place: Place) -> Rows:
    if len(parts) == 1:
        return parts[0]
    names = {rows.class_names for rows in parts if rows.class_names}
    if len(names) > 1:
        raise DataError(
            f"the files of {place.name} name their classes differently ({', '.join(map(str, sorted(names)[:2]))})",
            expected="files of one kind",
            remedy="name those that are meant with --dataset",
        )

    def batches() -> Iterator[pa.RecordBatch]:
        for rows in parts:
            yield from rows.batches()

    columns = dict.fromkeys(name for rows in parts for name in rows.columns)
    count, kept = sum(rows.count for rows in parts), _one_type_each(parts)
    return Rows(count, batches, parts[0].used, tuple(columns), next(iter(names), ()), kept=kept)


def _one_type_each(parts: Sequence[Rows]) -> dict[str, KeptColumn]:
    """The columns that are kept, each with the type that its values have in all files."""
    return {
        name: KeptColumn(one.used, type_of_all(rows.kept[name] for rows in parts))
        for name, one in parts[0].kept.items()
    }


def _settings(place: Place, parts: list[Rows], wanted: ColumnNames) -> dict[str, object]:
    """What decides the rows besides the bytes of the files. For one file it has the form of earlier versions."""
    found: dict[str, object] = {
        "text_column": wanted.text,
        "label_column": wanted.label or "",
        "id_column": wanted.id or "",
    }
    if wanted.pair:  # else it is what it was when every row had one text
        found["pair_column"] = wanted.pair
    if parts[0].kept:
        found["keep_columns"] = [[name, str(one.type)] for name, one in _one_type_each(parts).items()]
    each = [_own_settings(part, rows, wanted, place.one) for part, rows in zip(place.parts, parts, strict=True)]
    if len(each) == 1 and place.one:
        return found | each[0]
    return found | ({"files": each} if any(each) else {})


def _own_settings(part: Part, rows: Rows, wanted: ColumnNames, one: bool) -> dict[str, object]:
    found: dict[str, object] = dict(rows.settings)
    keys = ("text_column", "label_column", "id_column", "pair_column")
    for key, name, other in zip(keys, wanted, rows.used, strict=True):
        if other is not None and other != name:
            found[key] = other
        if other in part.constants and other is not None:
            found[f"{key} is"] = part.constants[other]
    for name, (other, *_) in rows.kept.items():
        if other != name:
            found[f"keep_columns {name}"] = other
        if other in part.constants:
            found[f"keep_columns {name} is"] = part.constants[other]
    if rows.used.id is None and not one:
        found["name"] = part.name
    return found


def _notes(place: Place, parts: list[Rows], wanted: ColumnNames) -> list[str]:
    """What was assumed of columns, for people."""
    notes: dict[str, None] = {}
    for part, rows in zip(place.parts, parts, strict=True):
        asked = [*zip(wanted, rows.used, strict=True), *((name, one.used) for name, one in rows.kept.items())]
        for name, other in asked:
            if other is not None and other != name:
                notes[f"the column {other!r} of {part.file.name} is taken for {name!r}"] = None
        if wanted.label == DEFAULT_LABEL_COLUMN and rows.used.label is None and rows.count:
            others = [name for name in rows.columns if name not in rows.used.present()]
            close = suggested(others, wanted.label)
            if others or any(other.used.label is not None for other in parts):
                hint = f" (with --label-column {close} they have)" if close else ""
                notes[f"{part.file.name} has no column 'label': its rows have no labels{hint}"] = None
        for name in rows.columns:
            same = [used for used in rows.used.present() if plain_name(used) == plain_name(name)]
            if same and name not in same:
                notes[f"the column {name!r} of {part.file.name} is not read: {same[0]!r} is"] = None
        notes.update(dict.fromkeys(rows.notes))
    told = list(notes)
    return told if len(told) <= 5 else [*told[:4], f"and {len(told) - 4} such things of other files"]
