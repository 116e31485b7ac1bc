"""What a reader of files is told, and what it gives back: the same for every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from ig_worker.data.columns import DEFAULT_COLUMNS, ColumnNames
from ig_worker.data.kept_types import KeptColumn
from ig_worker.data.labels import LabelCounter


@dataclass(frozen=True)
class Reading:
    """How a file is to be read."""

    columns: ColumnNames  # as the user calls them
    counter: LabelCounter  # is shown every row once, while the file is opened
    encoding: str | None = None  # of a text file, from `sniff.find_encoding`; None expects UTF-8
    checked: bool = (
        True  # whether a text file of another encoding is refused, or only costs the rows that are not UTF-8
    )
    delimiter: str | None = None  # between the cells of a CSV file; None finds it
    constants: Mapping[str, str | None] = field(default_factory=dict)  # columns whose value the file's place says
    made_prefix: str = ""  # of ids that are made: tells rows of several files apart
    made_first: int = 0  # number in the id that is made for the first row
    lists: bool = False  # whether a label may be a list of several
    kept: tuple[str, ...] = ()  # further columns that are kept, by the run's names for them


@dataclass(frozen=True)
class Rows:
    """The rows of one file or data set."""

    count: int
    # Each call begins at the first row. Batches of `columns.RAW`, in which labels, and columns that are kept, are of
    # whatever type the file has.
    batches: Callable[[], Iterator[pa.RecordBatch]]
    used: ColumnNames = DEFAULT_COLUMNS  # as the file calls them; None for what it does not have
    columns: tuple[str, ...] = ()  # all columns of the file, so far as they are known
    class_names: tuple[str, ...] = ()  # by class number, where the file says so
    settings: Mapping[str, str] = field(default_factory=dict)  # what else decides how its bytes become rows
    notes: tuple[str, ...] = ()  # what was assumed, for people
    kept: Mapping[str, KeptColumn] = field(default_factory=dict)  # by the run's names for them, in their order


@dataclass(frozen=True)
class Source:
    """The rows of a data set, and what decides them."""

    name: str  # for people
    rows: Rows
    content: tuple[str, ...]  # hashes of the bytes read
    settings: Mapping[str, object] = field(default_factory=dict)  # of `DataSpec`, as far as they determine the rows
    class_names: tuple[str, ...] = ()  # by the data set's own numbers
    splits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
