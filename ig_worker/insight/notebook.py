"""Explaining a few texts in a notebook, in this process and without Ray."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from html import escape
from typing import Any

import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import DOCUMENTS, FaultFinder
from ig_worker.errors import UsageError, did_you_mean
from ig_worker.insight.explanation import TextExplanation
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.run.checks import check_model
from ig_worker.run.config import ExplainConfig
from ig_worker.run.rows import Explained, Failures
from ig_worker.run.tables import attributions_table
from ig_worker.run.worker import ChunkWorker

_SETTINGS = {field.name for field in fields(ExplainConfig)} - {"dataset", "model"}


class TextExplanations(Sequence[TextExplanation]):
    """Explained texts, in the order in which they were given; `failures` names those that could not be explained.

    Attributes:
        table: Arrow table, schema `schema.attributions`.
        failures: position of a text -> reason, for those without a row.
    """

    def __init__(self, explained: Explained, failures: Failures, worker: ChunkWorker, config: ExplainConfig) -> None:
        self.table: pa.Table = attributions_table(explained, worker.hidden)
        self.failures = {position: failure.detail for position, failure in sorted(failures.items())}
        self.labels = worker.classifier.shape.labels
        self._explained = explained
        self._pad = worker.classifier.tokenizer.pad_token_id
        self._config = config

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"explanation {index} of {len(self)}")
        return TextExplanation(self.table.slice(index % len(self), 1).to_pylist()[0], self.labels)

    def __iter__(self) -> Iterator[TextExplanation]:
        return (self[i] for i in range(len(self)))

    def to_arrow(self) -> pa.Table:
        """An Arrow table, schema `schema.attributions`."""
        return self.table

    def to_pandas(self) -> Any:
        """A pandas frame with the same columns."""
        return self.table.to_pandas()

    def to_alibi(self) -> Any:
        """alibi's own Explanation (`attributions`, `deltas`, `predictions`, `meta`); needs ``keep_hidden=True``."""
        from ig_worker.explain.alibi_format import as_alibi

        names = ("method", "n_steps", "layer", "baseline", "target")
        return as_alibi(
            [row.document for row, _ in self._explained],
            [result for _, result in self._explained],
            self._config.max_length,
            self._pad,
            {name: getattr(self._config, name) for name in names},
        )

    def _repr_html_(self) -> str:
        failed = "".join(f"<p>text {position}: {escape(why)}</p>" for position, why in self.failures.items())
        return "".join(explanation.html() for explanation in self) + failed


def explain_texts(
    texts: Sequence[str | None], *, model: str, labels: Sequence[int | None] | None = None, **config: Any
) -> TextExplanations:
    """Explain texts in this process.

    Args:
        texts: what to explain.
        model: a model directory or hub name.
        labels: true class numbers, for ``target="label"``.
        config: settings of `jobs.explain`, such as ``n_steps=50`` or ``layer="block:0"``.

    Raises:
        UsageError: unknown settings, or values that cannot be right.
        ModelError: a model that cannot be loaded.
    """
    unknown = sorted(set(config) - _SETTINGS)
    if unknown:
        nearest = did_you_mean(unknown[0], sorted(_SETTINGS))
        raise UsageError(
            f"there is no setting {', '.join(unknown)}",
            expected="" if nearest else f"settings among {', '.join(sorted(_SETTINGS))}",
            remedy=nearest,
        )
    if isinstance(texts, str):
        raise UsageError("texts is one string", expected="a list of texts", remedy="put it in a list")
    settings = ExplainConfig(dataset="texts", model=model, **config)
    settings.check()
    files = find_model(model, settings.revision)
    check_model(settings, files)
    files.tell_notes()
    worker = _worker(settings, files)
    columns = {"id": [str(i) for i in range(len(texts))], "text": list(texts), "label": labels or [None] * len(texts)}
    table = pa.Table.from_pydict({**columns, "fault": [None] * len(texts)}, schema=DOCUMENTS)
    faults = FaultFinder(settings.max_text_bytes).check(table)
    explained, failures, _ = worker.explain_table(table.select(schema.INPUT.names), faults)
    return TextExplanations(explained, failures, worker, settings)


@lru_cache(maxsize=2)
def _worker(config: ExplainConfig, files: ModelFiles) -> ChunkWorker:
    """Loading a model and compiling its programs takes seconds: keep them for the next call."""
    return ChunkWorker(config, files)
