"""Which types columns of texts, ids and labels can have. One that no row could be right in is a fault of the file."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from ig_worker.data.columns import PAIR
from ig_worker.errors import DataError

# A column of dates has no row with a label; and what Arrow makes of some dates, Python's cannot hold.
_LABELS = (
    pt.is_integer,
    pt.is_boolean,
    pt.is_floating,
    pt.is_decimal,
    pt.is_binary,
    pt.is_large_binary,
    pt.is_binary_view,
    pt.is_fixed_size_binary,
    pt.is_null,
)


def check_types(
    text: pa.DataType,
    row_id: pa.DataType | None,
    label: pa.DataType | None,
    where: str,
    pair: pa.DataType | None = None,
    lists: bool = False,
) -> None:
    """Raises DataError where no row of a column of these types could be used; labels may be `lists` of such as well."""

    text, row_id, label, pair = (
        kind.value_type if kind is not None and pt.is_dictionary(kind) else kind for kind in (text, row_id, label, pair)
    )
    for name, kind in (("text", text), (PAIR, pair)):
        if kind is not None and not is_string(kind) and not is_binary(kind):
            raise DataError(
                f"the {name} column of {where} has type {kind}",
                expected="strings",
                remedy=f"name another with --{name}-column",
            )
    if row_id is not None and not (is_string(row_id) or is_binary(row_id) or pt.is_integer(row_id)):
        raise DataError(
            f"the id column of {where} has type {row_id}",
            expected="strings or integers",
            remedy="name another with --id-column, or make ids with --id-column ''",
        )
    inner = _inside(label) if lists else label
    if inner is not None and not (is_string(inner) or any(fits(inner) for fits in _LABELS)):
        several = (
            "" if _inside(label) is label or lists else ", or say --outputs multi-label if the model gives several"
        )
        raise DataError(
            f"the label column of {where} has type {label}",
            expected=f"numbers or names of classes{', or lists of them' if lists else ''}",
            remedy=f"name another with --label-column, or read no labels with --label-column ''{several}",
        )


def _inside(kind: pa.DataType | None) -> pa.DataType | None:
    """The type of the values of a list; of anything else its own."""
    if kind is None or not (pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)):
        return kind
    return kind.value_type.value_type if pt.is_dictionary(kind.value_type) else kind.value_type


def is_string(kind: pa.DataType) -> bool:
    """Whether values of a type are strings, however Arrow lays them out."""
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Whether values of a type are bytes, which may be strings that nobody has said to be any."""
    fixed = pt.is_fixed_size_binary(kind) and kind.byte_width > 0  # of nothing a file can have any number of rows
    return fixed or pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)
