"""Labels that seem wrong as a file for annotators, who open it as a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import numpy as np

from ig_worker.insight.findings.corpus import Corpus
from ig_worker.insight.findings.label_errors import Accused, accused

COLUMNS = (
    "id",
    "given_label",
    "suggested_label",
    "given_probability",
    "suggested_probability",
    "margin",
    "words_for_suggested",
)
_WORDS = 5
# What a spreadsheet takes for a formula (OWASP, CSV Injection), the full-width signs included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def annotation_file(corpus: Corpus, texts: Mapping[str, str] | None = None) -> str:
    """CSV (RFC 4180) with a row for each label that seems wrong, what is surest first; only a header where none does.

    Args:
        corpus: the run.
        texts: by id, where the caller has them: a column more.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([*COLUMNS, *(["text"] if texts is not None else [])])
    rows = [(one, place) for one in accused(corpus) for place in range(len(one.rows))]
    rows.sort(key=lambda row: (-row[0].found.margin[row[1]], row[0].rows[row[1]]))
    for one, place in rows:
        name = corpus.ids(one.rows[place : place + 1])[0]
        numbers = (one.own[place], one.other[place], one.found.margin[place])
        cells = [name, one.given, one.seems]
        words = " ".join(_speakers(corpus, one, int(one.rows[place])))
        last = [words, *([texts.get(name, "")] if texts is not None else [])]
        writer.writerow([*map(safe, cells), *(f"{value:.4f}" for value in numbers), *map(safe, last)])
    return file.getvalue()


def safe(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _speakers(corpus: Corpus, one: Accused, text: int) -> list[str]:
    """Words of a text that spoke most for what seems so; none where something else was explained."""
    begin, end = np.searchsorted(corpus.entry_text, [text, text + 1])
    term = corpus.entry_term[begin:end]
    sign = float(corpus.towards(one.output)[text]) * one.sign
    value = np.where(corpus.size[term] == 1, corpus.entries.column("push").to_numpy()[begin:end] * sign, 0.0)
    order = np.argsort(-value, kind="stable")[:_WORDS]
    return [corpus.terms[int(term[i])].as_py() for i in order if value[i] > 0]
