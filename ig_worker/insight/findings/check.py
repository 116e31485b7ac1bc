"""A finding held against the run: its arithmetic, and the texts that it is about as they stand in the results."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ig_worker.insight.findings.finding import Finding
from ig_worker.insight.format import signed
from ig_worker.insight.tables.flat_rows import first_of_texts
from ig_worker.insight.tables.run_outputs import threshold_of
from ig_worker.insight.verdicts import prediction_of, truth_of, verdict
from ig_worker.models.words import word_of
from ig_worker.run.store.run_store import RunStore

_WIDTH = 110
_OPENING = 24  # words of a text that are shown
_WORDS = 4  # with the most attribution


def headline(found: Finding) -> str:
    """One finding in one line: number, kind, title, what it costs, how sure it is."""
    marks = f" [{', '.join(found.marks)}]" if found.marks else ""
    sure = "" if found.q is None else f", q {found.q:.2g}"
    return f"{found.number:>3}  {found.kind:<13}  {found.title}{marks}  (cost {found.cost:.0f}{sure})"


def told(findings: Sequence[Finding], most: int | None = None) -> Iterator[str]:
    """Findings for a terminal, what costs most first; what is left out is counted."""
    if not findings:
        yield "nothing holds up: no slice, word, label or row stands out beyond chance"
        return
    for found in findings[:most]:
        yield headline(found)
        yield from _wrapped(found.sentence)
    left = len(findings) - len(findings[:most])
    if left:
        yield f"     and {left} more"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="     ", subsequent_indent="     ")


def checked(store: RunStore, found: Finding, rows: int) -> Iterator[str]:
    """The arithmetic of a finding, and the first `rows` of its texts, each in two lines."""
    yield headline(found)
    yield from _wrapped(found.sentence)
    yield "arithmetic"
    for line in found.arithmetic:
        yield from _wrapped(line)
    shown = list(found.ids[:rows])
    yield f"texts ({len(shown):,} of {len(found.ids):,})"
    yield from _texts(store, shown)


def rows_with(store: RunStore, ids: Sequence[str], columns: list[str] | None = None) -> pa.Table:
    """The rows of some texts, all targets of each, in the order of the run. Chunks that cannot have them are not read.

    Args:
        store: the run.
        ids: of texts.
        columns: names; None: all.
    """
    wanted, left, found = pa.array(ids, pa.string()), sorted(ids), []
    for index in store.results.indexes():
        bounds = store.results.id_bounds(index)
        if bounds is None or any(bounds[0] <= id <= bounds[1] for id in left):
            table = store.results.read(index, columns)
            found.append(table.filter(pc.is_in(table.column("id"), value_set=wanted)))
    return pa.concat_tables(found) if found else store.results.read(store.results.indexes()[0], columns).slice(0, 0)


def _texts(store: RunStore, ids: list[str]) -> Iterator[str]:
    names = (store.manifest.existing().get("data") or {}).get("class_names") or []
    threshold = threshold_of(store)

    def name(number: int) -> str:
        return str(names[number]) if number < len(names) else f"class {number}"

    by_id = {row["id"]: row for row in first_of_texts(rows_with(store, ids)).to_pylist()}
    for id in ids:
        row = by_id.get(id)
        if row is None:
            yield f"     {id}: not in this run"
            continue
        yield f"     {id}: {truth_of(row, name)}, predicted {prediction_of(row, name, threshold)}" + (
            " (wrong)" if verdict(row, threshold) == "wrong" else ""
        )
        words, pushes = words_with_attributions(row)
        strongest = sorted(range(len(words)), key=lambda i: -abs(pushes[i]))[:_WORDS]
        most = ", ".join(f"{words[i]} {signed(pushes[i])}" for i in strongest)
        opening = " ".join(words[:_OPENING]) + (" …" if len(words) > _OPENING else "")
        yield from textwrap.wrap(f"{opening}  | {most}", _WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 7)


def words_with_attributions(row: Mapping[str, Any]) -> tuple[list[str], list[float]]:
    """The words of a row of results in their order, and the attribution of each; special tokens are left out."""
    ids = np.asarray(row["word_ids"])
    starts = np.flatnonzero((ids >= 0) & (np.diff(ids, prepend=-2) != 0)).tolist()
    words, pushes = [], []
    for start in starts:
        end = start
        while end < len(ids) and ids[end] == ids[start]:
            end += 1
        words.append(word_of(row["tokens"][start:end]))
        pushes.append(float(np.sum(row["attributions"][start:end], dtype=np.float64)))
    return words, pushes
