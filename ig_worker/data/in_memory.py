"""Texts and labels that lie in memory, in whatever a notebook holds them: as lists, with each bad text's fault."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Set
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker.data.faults import shown
from ig_worker.errors import UsageError

_MISSING = ("NAType", "NaTType")  # pandas' own, known by their names: pandas takes long to import
_SOME_COLUMNS = 5  # that a message lists


def texts_of(given: Any, what: str = "text") -> tuple[list[str | None], list[str | None]]:
    """(texts, faults) of a list, generator, array or column; what is no text is null, and has a fault.

    None, NaN and the like are null without a fault. Bytes are read as UTF-8.

    Args:
        given: a list and so on.
        what: one of them is, for messages: ``text``, or ``pair`` for a second text.

    Raises:
        UsageError: it is nothing that has an order, or several columns.
    """
    found = [_text(value, what) for value in values_of(given, f"{what}s")]
    return [text for text, _ in found], [fault for _, fault in found]


def pairs_of(given: Any, texts: Any, rows: int) -> tuple[list[str | None], list[str | None]]:
    """(second texts, faults) of texts; see `texts_of`.

    Args:
        given: a list, generator, array or column.
        texts: as they were given; see `label_values`.
        rows: number of texts.

    Raises:
        UsageError: it is none of these, or not of these texts.
    """
    _check_order(given, texts, "pairs")
    found = texts_of(given, "pair")
    if len(found[0]) != rows:
        raise UsageError(f"there are {len(found[0])} pairs and {rows} texts", expected="a second text for each text")
    return found


def label_values(given: Any, texts: Any, rows: int) -> list[Any] | None:
    """The labels of texts, as they are, with None where one is missing; None where there are none at all.

    Args:
        given: a list, generator, array or column, or None.
        texts: as they were given. Where both have an index, it says which label is whose.
        rows: number of texts.

    Raises:
        UsageError: it is none of these, or not of these texts.
    """
    if given is None:
        return None
    _check_order(given, texts, "labels")
    labels = [None if _is_missing(value) else value for value in values_of(given, "labels")]
    if len(labels) != rows:
        raise UsageError(
            f"there are {len(labels)} labels and {rows} texts",
            expected="a label for each text, which may be None, or no labels",
        )
    return labels


def values_of(given: Any, what: str) -> list[Any]:
    """What is in a list, generator, array or column, in its order, as Python's or numpy's own values.

    Args:
        given: a list and so on.
        what: it is, for messages.

    Raises:
        UsageError: it is nothing that has an order, or several columns.
    """
    if isinstance(given, str | bytes):
        raise UsageError(f"{what} is one string", expected=f"a list of {what}", remedy="put it in a list")
    columns = getattr(given, "column_names", None) or getattr(given, "columns", None)  # of Arrow, pandas and polars
    if columns is not None and not callable(columns):
        _refuse_table(columns, what)
    dimensions = getattr(given, "ndim", 1)
    if isinstance(dimensions, int) and dimensions > 1:
        raise UsageError(f"{what} has {dimensions} dimensions", expected="one", remedy=f"give a column: {what}[:, 0]")
    if isinstance(given, Mapping | Set) and not hasattr(given, "mapping"):  # which a dict's keys have
        raise UsageError(
            f"{what} is a {type(given).__name__}", expected=f"a list of {what}, in an order", remedy="make it a list"
        )
    found = _listed(given)
    if not isinstance(found, list):
        kind = "None" if given is None else f"one value ({type(given).__name__})"
        raise UsageError(f"{what} is {kind}", expected=f"a list, an array or a column of {what}")
    return found


def _listed(given: Any) -> Any:
    """The values as a list; anything but a list where `given` is no collection of values."""
    if isinstance(given, pa.Array | pa.ChunkedArray):
        return _from_arrow(given)
    for name in ("tolist", "to_list"):  # of numpy and pandas; of polars
        if hasattr(given, name):
            return getattr(given, name)()
    if hasattr(given, "numpy"):  # TensorFlow's
        return given.numpy().tolist()
    return list(given) if isinstance(given, Iterable) or hasattr(given, "__getitem__") else None


def _from_arrow(given: pa.Array | pa.ChunkedArray) -> list[Any]:
    # As bytes: Arrow does not look whether strings are UTF-8, and one that is not would fail the whole column.
    kind = given.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        given = given.cast(pa.large_binary())
    values: list[Any] = given.to_pylist()
    return values


def _text(value: Any, what: str) -> tuple[str | None, str | None]:
    """(text, fault) of one value."""
    value = value.as_py() if isinstance(value, pa.Scalar) else value
    if _is_missing(value):
        return None, None
    if isinstance(value, bytes):
        try:
            return value.decode(), None
        except UnicodeDecodeError as error:
            return None, f"{what} is not UTF-8 (byte {error.start})"
    if not isinstance(value, str):
        value = value.item() if isinstance(value, np.generic) else value
        return None, f"{what} {shown(value)} is not a string"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return None, f"{what} has half a surrogate pair (character {error.start})"
    return str(value), None  # numpy's strings are of a class of their own


def _is_missing(value: Any) -> bool:
    if isinstance(value, float | Decimal | np.floating):
        return math.isnan(value)
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return value is None or type(value).__name__ in _MISSING


def _refuse_table(columns: Iterable[Any], what: str) -> None:
    names = list(columns)
    few = ", ".join(map(repr, names[:_SOME_COLUMNS])) + (" ..." if len(names) > _SOME_COLUMNS else "")
    remedy = f"give one of them, such as {what}[{names[0]!r}]" if names else ""
    raise UsageError(f"{what} is a table with the columns {few or 'none'}", expected="one column", remedy=remedy)


def _check_order(given: Any, texts: Any, what: str) -> None:
    """Refuse labels, or others, that pandas would put into another order: each would be taken for another text's."""
    theirs, ours = (getattr(one, "index", None) for one in (given, texts))
    if not isinstance(theirs, Collection) or not isinstance(ours, Collection) or len(theirs) != len(ours):
        return
    theirs, ours = list(theirs), list(ours)
    if theirs != ours and len(set(ours)) == len(ours) and set(theirs) == set(ours):
        raise UsageError(
            f"the index of {what} has another order than that of texts",
            expected=f"a {what.removesuffix('s')} at the place of its text",
            remedy=f"give {what}.loc[texts.index], or {what}.to_numpy() where they are in the right order",
        )
