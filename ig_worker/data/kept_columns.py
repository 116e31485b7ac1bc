"""Which further columns of a data set a run keeps (``--keep-columns``): as the user names them, and as files do."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ig_worker.data.columns import ColumnNames, column_called, column_of, no_column, plain_name
from ig_worker.data.faults import shown
from ig_worker.data.kept_types import CellTypes, KeptColumn, cells_of, stored
from ig_worker.errors import DataError
from ig_worker.schema import OWN

FLAG = "--keep-columns"


def kept_names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns that a run keeps, by the names that it has for them, in their order.

    Args:
        given: names with commas between them; a name with a comma in it stands in double quotes. None or "": none.

    Raises:
        DataError: a name is there twice, or is that of a column that each run has.
    """
    names = [name.strip() for part in ([given] if isinstance(given, str) else given or ()) for name in _parts(part)]
    seen: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)  # programs that read the files may not tell case apart
        if not plain:
            raise DataError(f"{FLAG} is {shown(given)}, which has an empty name", expected="names such as source,lang")
        if plain in OWN:
            raise DataError(
                f"{FLAG} names {shown(name)}, and every run has a column of that name for itself",
                expected="another name",
                remedy="rename it in the data set",
            )
        if plain in seen:
            alike = f"{shown(name)} twice" if seen[plain] == name else f"{shown(seen[plain])} and {shown(name)}"
            raise DataError(f"{FLAG} names {alike}", expected="every column once", remedy="leave one out")
        seen[plain] = name
    return tuple(names)


def _parts(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise DataError(f"{FLAG} is {shown(text)} ({error})", expected="names such as source,lang") from error


def kept_used(names: Sequence[str], wanted: Sequence[str], used: ColumnNames, where: str) -> dict[str, str]:
    """What a file calls the columns that are kept, by the run's names for them.

    Args:
        names: the columns of the file.
        wanted: from `kept_names`.
        used: what it calls the others. That of the labels may be kept, too, as it is, and that of the ids.
        where: the file, for messages.

    Raises:
        DataError: there is no such column, or it is that of the texts.
    """
    found = {}
    for name in wanted:
        column = column_called(names, name, where)
        if column is None:
            raise no_column(names, name, where, FLAG)
        if column in (used.text, used.pair):
            raise DataError(
                f"{FLAG} names {shown(name)}, which is a column of texts already",
                expected=f"another column of {where}",
                remedy="leave it out: the run's chunks have it",
            )
        found[name] = column
    return found


def constant_column(used: str, value: str | None) -> KeptColumn:
    """A column whose value the file's place says: its type is that of a cell."""
    types = CellTypes()
    types.add(cells_of(pa.array([value], pa.string())))
    return types.of(used)


def kept_of(
    batch: pa.RecordBatch, kept: Mapping[str, KeptColumn], constants: Mapping[str, str | None], where: str
) -> dict[str, pa.Array]:
    """The columns of a batch of a typed file that are kept, by the run's names for them.

    Args:
        batch: of the file.
        kept: they.
        constants: columns whose value the file's place says, as a cell.
        where: the file, for messages.
    """
    return {
        name: cells_of(column_of(batch, one.used, constants))
        if one.used in constants
        else stored(column_of(batch, one.used, constants), one, where)
        for name, one in kept.items()
    }
