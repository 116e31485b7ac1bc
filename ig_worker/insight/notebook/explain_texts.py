"""Explaining a few texts in a notebook, in this process and without Ray."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from html import escape
from os import PathLike, fsdecode
from typing import Any

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import FaultFinder, RowFaults, documents, shown
from ig_worker.data.in_memory import label_values, pairs_of, texts_of
from ig_worker.data.label_lists import class_lists
from ig_worker.data.label_map import LabelMap, read_label_map
from ig_worker.data.label_numbers import label_numbers
from ig_worker.data.labels import class_numbers
from ig_worker.errors import UsageError, did_you_mean
from ig_worker.insight.notebook.text import TextExplanation, each_text, starts
from ig_worker.models.files import ModelFiles, find_model
from ig_worker.run.chunk.rows import Explained
from ig_worker.run.chunk.tables import attributions_table
from ig_worker.run.chunk.worker import ChunkWorker
from ig_worker.run.config import ExplainConfig
from ig_worker.run.steps.preflight import check_model

log = logging.getLogger(__name__)

_GIVEN = ("dataset", "model", "pair_column", "keep_columns")  # what arguments of their own say, or what no text has
_KNOWN = {field.name: field for field in fields(ExplainConfig) if field.name not in _GIVEN}
_KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}


class TextExplanations(Sequence[TextExplanation]):
    """Explained texts, in the order in which they were given; `failures` names those that could not be explained.

    Attributes:
        table: Arrow table, schema `schema.attributions`.
        failures: position of a text -> reason, for those without a row.
    """

    def __init__(self, explained: Explained, faults: RowFaults, worker: ChunkWorker, config: ExplainConfig) -> None:
        outputs = worker.classifier.shape.outputs
        self.table: pa.Table = attributions_table(explained, worker.hidden, bool(config.pair_column), outputs)
        self.failures = {position: fault.detail for position, fault in sorted(faults.items())}
        self.labels = worker.classifier.shape.labels
        self._explained = explained
        self._starts = starts(self.table)
        self._pad = worker.classifier.tokenizer.pad_token_id
        self._config = config

    def __len__(self) -> int:
        return len(self._explained)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"explanation {index} of {len(self)}")
        index, begins = index % len(self), self._starts
        rows = self.table.slice(begins[index], len(self._explained[index][1])).to_pylist()
        return each_text(rows, self.labels, self._config.threshold)[0]

    def __iter__(self) -> Iterator[TextExplanation]:
        return (self[i] for i in range(len(self)))

    def to_arrow(self) -> pa.Table:
        """An Arrow table, schema `schema.attributions`: a row for each target of a text."""
        return self.table

    def to_pandas(self) -> Any:
        """A pandas frame with the same columns."""
        return self.table.to_pandas()

    def to_alibi(self, rank: int = 0) -> Any:
        """alibi's own Explanation (`attributions`, `deltas`, `predictions`, `meta`); needs ``keep_hidden=True``.

        Args:
            rank: which target of each text, from 0. Texts without such a one are left out.

        Raises:
            UsageError: a text has several windows, which alibi's arrays have no place for; or see `as_alibi`.
        """
        from ig_worker.explain.alibi_format import as_alibi

        names = ("method", "n_steps", "layer", "baseline", "target")
        taken = [(row, found[rank]) for row, found in self._explained if 0 <= rank < len(found)]
        if any(len(row.paths) > 1 for row, _ in taken):
            raise UsageError(
                "a text has several windows, and alibi's explanation has no place for them",
                remedy="explain with overflow='truncate'",
            )
        return as_alibi(
            [row.paths[0] for row, _ in taken],
            [result for _, result in taken],
            self._config.max_length,
            self._pad,
            {name: getattr(self._config, name) for name in names},
        )

    def _repr_html_(self) -> str:
        failed = "".join(f"<p>text {position}: {escape(why)}</p>" for position, why in self.failures.items())
        return "".join(explanation.html() for explanation in self) + failed


def explain_texts(
    texts: Any, *, model: str | PathLike[str], pairs: Any = None, labels: Any = None, targets: Any = None, **config: Any
) -> TextExplanations:
    """Explain texts in this process.

    Args:
        texts: what to explain: a list, a generator, an array, or a column of a frame. What is no text in there is no
            error, but has its reason in the result's `failures`.
        model: a model directory or hub name.
        pairs: the second text of each, given as texts are, for a model that reads two: of premise and hypothesis,
            question and answer, query and passage. None: there are none.
        labels: the true classes, for ``target="label"``, as texts are given: numbers or names, None where one is
            unknown. For a model of several labels, lists of such; for a regression, numbers.
        targets: what is explained of each, such as ``"all"`` or ``"top:3"``; the same as the setting `target`.
        config: settings of `jobs.explain`, such as ``n_steps=50`` or ``layer="block:0"``; `label_map` may be a dict.

    Raises:
        UsageError: unknown settings, or values that cannot be right.
        ModelError: a model that cannot be loaded.
    """
    found, lines = texts_of(texts)
    second: dict[str, Any] = {}
    if pairs is not None:
        second["pair"], faults = pairs_of(pairs, texts, len(found))
        lines = [line or fault for line, fault in zip(lines, faults, strict=True)]
    given = labels.tolist() if isinstance(labels, np.ndarray) and labels.ndim == 2 else labels  # 0 or 1 of each label
    theirs = label_values(given, texts, len(found))
    label_map = _label_map(config.pop("label_map", None))
    if targets is not None:
        if "target" in config:
            raise UsageError(
                f"target is {shown(config['target'])} with targets {shown(targets)}", expected="one of them"
            )
        config["target"] = targets
    settings = ExplainConfig(
        dataset="texts", model=_place(model), pair_column=next(iter(second), None), **_settings(config)
    )
    settings.check()
    files = find_model(settings.model, settings.revision, outputs=settings.outputs)
    check_model(settings, files)
    outputs = files.shape.outputs
    truth = [None] * len(found) if theirs is None else _truths(theirs, files, label_map)
    files.tell_notes()
    worker = _worker(settings, files)
    columns = {"id": [str(i) for i in range(len(found))], "text": found, "fault": lines, **second}
    columns["label"] = truth if outputs == schema.CLASSES else [None] * len(found)
    if outputs in schema.TRUTHS:
        columns[schema.TRUTHS[outputs].name] = truth
    table = pa.Table.from_pydict(columns, schema=documents(bool(second), outputs))
    unfit = FaultFinder(settings.max_text_bytes).check(table)
    explained, failed, _ = worker.explain_table(table.select(schema.inputs(bool(second), outputs).names), unfit)
    return TextExplanations(explained, failed, worker, settings)


def _truths(given: Sequence[Any], files: ModelFiles, label_map: LabelMap | None) -> Sequence[Any]:
    """What the labels of texts mean for a model, in their order."""
    if files.shape.outputs == schema.LABELS:
        return class_lists(given, files.shape.labels, label_map, log.warning)
    if files.shape.outputs == schema.VALUES:
        return label_numbers(given, log.warning)
    return class_numbers(given, files.shape.labels, label_map, log.warning)


def _place(model: Any) -> str:
    """The name of a model: what a person has in hand may be a path."""
    try:
        place = fsdecode(model)
    except TypeError:
        place = ""
    if not place:
        remedy = "model.save_pretrained(DIRECTORY) writes one" if hasattr(model, "save_pretrained") else ""
        raise UsageError(
            f"model is {shown(model) if not remedy else f'a {type(model).__name__}'}",
            expected="the name of a model directory, or a hub name",
            remedy=remedy and f"{remedy}, with the tokenizer beside it",
        )
    return place


def _label_map(given: Any) -> LabelMap | None:
    """What labels mean: a dict from labels to classes, or what ``--label-map`` takes."""
    if not isinstance(given, Mapping):
        return read_label_map(_setting("label_map", given))
    entries = {key: value.item() if isinstance(value, np.generic) else value for key, value in given.items()}
    for label, value in entries.items():
        if type(value) not in (int, str):
            raise UsageError(
                f"label_map says {shown(value)} of {shown(label)}", expected="the number or name of a class"
            )
    return LabelMap(entries)


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as `ExplainConfig` has them, from what a person has in hand, such as numbers of numpy."""
    unknown = sorted(set(given) - set(_KNOWN))
    if unknown:
        nearest = did_you_mean(unknown[0], sorted(_KNOWN))
        raise UsageError(
            f"there is no setting {', '.join(unknown)}",
            expected="" if nearest else f"settings among {', '.join(sorted(_KNOWN))}",
            remedy=nearest,
        )
    return {name: _setting(name, value) for name, value in given.items()}


def _setting(name: str, value: Any) -> Any:
    field = _KNOWN[name]
    kind = field.metadata["kind"]
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if value is None and field.default is None:
        return None
    if name == "target" and isinstance(value, int | float) and value == int(value):
        return str(int(value))
    if isinstance(value, PathLike):
        value = fsdecode(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind is float and type(value) is int:
        value = float(value)
    choices = field.metadata["choices"]
    if type(value) is not kind or (choices and value not in choices):
        raise UsageError(
            f"{name} is {shown(value)}",
            expected=f"one of {', '.join(choices)}" if choices else _KINDS[kind],
            remedy=did_you_mean(str(value), choices) if choices else "",
        )
    return value


@lru_cache(maxsize=2)
def _worker(config: ExplainConfig, files: ModelFiles) -> ChunkWorker:
    """Loading a model and compiling its programs takes seconds: keep them for the next call."""
    return ChunkWorker(config, files)
