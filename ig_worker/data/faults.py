"""Which rows cannot be explained, decided before any model is loaded: pure checks of ids, texts and labels.

A reader yields batches of the schema `documents`: the input columns and `FAULT_COLUMN`, which is null where the
reader could represent the row, and otherwise one line on what it could not, whose first word says of what:
``label 'good' is not an integer``, ``text is not UTF-8 (byte 17)``, ``line 8 is not JSON (...)``. In such rows the
broken field is null. A row fault never stops a run; the row goes to quarantine with a reason code and that line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker import schema
from ig_worker.data.seen import HASH_BYTES, Seen

FAULT_COLUMN = "fault"
FaultLines = dict[int, str]  # position in the batch -> what goes into `FAULT_COLUMN`


def documents(pairs: bool = False, outputs: str = schema.CLASSES, kept: Iterable[pa.Field] = ()) -> pa.Schema:
    """The columns of batches of documents: those of `schema.inputs`, and what is wrong with a row."""
    return schema.inputs(pairs, outputs, kept).append(pa.field(FAULT_COLUMN, pa.string()))


DOCUMENTS = documents()

DEFAULT_MAX_TEXT_BYTES = 500_000

REASONS = (
    "unreadable_row",  # the reader could not decode the row's id, text or line
    "null_id",
    "duplicate_id",  # the second and any later of equal ids
    "null_text",
    "empty_text",  # also text that is only white space
    "empty_pair",  # the second of two texts, also where it is null
    "text_too_long",
    "bad_label",
)


@dataclass(frozen=True)
class RowFault:
    """Why a row cannot be explained, from here to its line in RUN/quarantine."""

    reason: str  # a short code: one of `REASONS`, or that of an error while the row was explained
    detail: str  # one line for a person
    traceback: str | None = None


RowFaults = dict[int, RowFault]  # by position in the batch or chunk

_SHOWN = 60  # characters of a value that a message repeats


def shown(value: object) -> str:
    """`value` as a message repeats it: its repr on one line, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def row_fault(
    row_id: str | None,
    text: str | None,
    fault: str | None = None,
    *,
    duplicate: bool = False,
    paired: bool = False,
    pair: str | None = None,
    max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES,
) -> RowFault | None:
    """Why one row cannot be explained, or None where it can.

    Args:
        row_id: the row's id.
        text: the row's text; ``\\0`` is a character like any other.
        fault: the row's `FAULT_COLUMN`.
        duplicate: whether an earlier row has the same id.
        paired: whether it is to have two texts.
        pair: the second of them.
        max_text_bytes: the largest text that is explained, in bytes of UTF-8.

    The first reason in the order of `REASONS` wins: without an id, what is wrong with the text matters little.
    """
    about = fault.partition(" ")[0] if fault else ""
    if fault and about != "label":
        return RowFault("unreadable_row", fault)
    if not row_id:
        return RowFault("null_id", "id is null" if row_id is None else "id is empty")
    if duplicate:
        return RowFault("duplicate_id", f"id {shown(row_id)} is already the id of an earlier row")
    if text is None:
        return RowFault("null_text", "text is null")
    if not text.strip():
        return RowFault("empty_text", f"text {shown(text)} has no words")
    if paired and (pair is None or not pair.strip()):
        return RowFault("empty_pair", "pair is null" if pair is None else f"pair {shown(pair)} has no words")
    for what, value in (("text", text), ("pair", pair or "")):
        size = len(value.encode())
        if size > max_text_bytes:
            detail = f"{what} of {size} bytes is over the limit of {max_text_bytes} (--max-text-bytes)"
            return RowFault("text_too_long", detail)
    return RowFault("bad_label", fault) if fault else None


class FaultFinder:
    """Finds the rows of a stream of batches that cannot be explained.

    Duplicate ids are found across batches: 16 bytes of hash are kept per row, never the ids themselves.
    """

    def __init__(self, max_text_bytes: int = DEFAULT_MAX_TEXT_BYTES) -> None:
        self.max_text_bytes = max_text_bytes
        self._seen = Seen()

    def check(self, batch: pa.RecordBatch | pa.Table) -> RowFaults:
        """The rows of `batch` that cannot be explained.

        Args:
            batch: the columns of `documents`; `FAULT_COLUMN` may be missing. Every row is to be shown once, in order.
        """
        ids = batch.column("id").to_pylist()
        repeated = self._repeated(ids)
        texts = batch.column("text")
        has_faults, paired = FAULT_COLUMN in batch.schema.names, "pair" in batch.schema.names
        faults = batch.column(FAULT_COLUMN) if has_faults else pa.nulls(len(ids), pa.string())
        pairs = batch.column("pair") if paired else None
        suspects = self._suspects(batch.column("id"), [texts] if pairs is None else [texts, pairs], faults)
        found = {}
        for position in sorted(repeated | suspects):
            fault = row_fault(
                ids[position],
                texts[position].as_py(),
                faults[position].as_py(),
                duplicate=position in repeated,
                paired=paired,
                pair=None if pairs is None else pairs[position].as_py(),
                max_text_bytes=self.max_text_bytes,
            )
            if fault:
                found[position] = fault
        return found

    def _repeated(self, ids: list[str | None]) -> set[int]:
        given = [position for position, row_id in enumerate(ids) if row_id]
        digests = [hashlib.blake2b((ids[i] or "").encode(), digest_size=HASH_BYTES).digest() for i in given]
        return {given[i] for i in self._seen.add(digests)}

    def _suspects(self, ids: pa.Array, texts: Sequence[pa.Array], faults: pa.Array) -> set[int]:
        # Whole columns are searched for rows that may have a fault, and only those are looked at one by one. Arrow and
        # Python need not agree on what white space is, so any text that begins with some is a suspect.
        masks = [pc.is_null(ids), pc.equal(pc.binary_length(ids), 0), pc.is_valid(faults)]
        for column in texts:
            masks += [
                pc.is_null(column),
                pc.greater(pc.binary_length(column), self.max_text_bytes),
                pc.match_substring_regex(column, r"^(?:$|[\x00-\x20]|[^\x00-\x7f])"),
            ]
        suspects: set[int] = set()
        for mask in masks:
            # Not by pc.indices_nonzero, which ends the process where a column has no chunks (pyarrow 25).
            found = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
            suspects.update(np.flatnonzero(found).tolist())
        return suspects
