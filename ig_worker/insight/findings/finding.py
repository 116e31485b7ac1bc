"""A finding: one sentence about a run that somebody may act on, with what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

# What a finding is about, in the order in which equally costly ones are told.
SLICE, SHORTCUT, IGNORED, LABEL_ERROR, CONTRADICTION, COMPOSITION, DRIFT, TRUST = KINDS = (
    "slice",  # texts on which the model fails more than on the rest
    "shortcut",  # a word on which it leans without reason
    "ignored",  # a word that tells the label, and that it leaves aside
    "label_error",  # labels of the data that seem wrong
    "contradiction",  # texts that are nearly the same, and are told apart
    "composition",  # a word whose meaning depends on what stands before it
    "drift",  # what has changed since the run before
    "trust",  # rows whose explanation should not be relied on
)

SCHEMA = pa.schema(
    [
        ("number", pa.int32()),  # from 1, what costs most first
        ("kind", pa.string()),  # one of `KINDS`
        ("title", pa.string()),
        ("sentence", pa.string()),
        ("cost", pa.float64()),
        ("texts", pa.int64()),
        ("effect", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("measure", pa.string()),
        ("q", pa.float64()),
        ("marks", pa.list_(pa.string())),
        ("arithmetic", pa.list_(pa.string())),
        ("subject", pa.string()),
        ("ids", pa.list_(pa.string())),
    ]
)


# What costs no mistake that anybody knows of, in mistakes: a text whose explanation is not to be relied on at all, or
# of which something else is said than before and nobody knows whether that is right.
DOUBT = 0.1


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: one of `KINDS`.
        subject: what it is about, such as ``word = "not" and length > 200``; the same in another run.
        title: a few words.
        sentence: all of it, in plain English.
        cost: what it is ranked by: texts that are affected x effect, in texts.
        effect: how large it is, in the unit that `measure` names; low, high: its 95% interval, None where it has none.
        measure: what the effect is of, such as "accuracy less that of the rest".
        q: false discovery rate at which it holds (Benjamini and Hochberg 1995); None where it is a count and no guess.
        marks: what a reader should know of it at once, such as "function word".
        arithmetic: how the figures come about, a line each.
        ids: of the texts that it is about, in the order of the data, or by what concerns most where it says so.
        number: its place among the findings of the run, from 1; 0 where they are not ranked yet.
    """

    kind: str
    subject: str
    title: str
    sentence: str
    cost: float
    effect: float
    measure: str
    ids: Sequence[str]
    low: float | None = None
    high: float | None = None
    q: float | None = None
    marks: Sequence[str] = ()
    arithmetic: Sequence[str] = field(default=())
    number: int = 0

    def __post_init__(self) -> None:
        for name in ("ids", "marks", "arithmetic"):  # lists, so that one that was read equals the one that was written
            object.__setattr__(self, name, list(getattr(self, name)))


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """All findings, what costs most first, numbered from 1."""
    order = sorted(findings, key=lambda found: (-found.cost, KINDS.index(found.kind), found.subject))
    return [replace(found, number=number) for number, found in enumerate(order, 1)]


def to_table(findings: Sequence[Finding]) -> pa.Table:
    """A table of `SCHEMA`, a row a finding."""
    names = [name for name in SCHEMA.names if name != "texts"]
    rows = [{name: getattr(found, name) for name in names} | {"texts": len(found.ids)} for found in findings]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def from_table(table: pa.Table) -> list[Finding]:
    """What `to_table` was given."""
    return [Finding(**{name: value for name, value in row.items() if name != "texts"}) for row in table.to_pylist()]
