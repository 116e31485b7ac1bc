"""From the file of a chunk to rows with token ids: all of the work on a chunk that comes before its explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ig_worker import schema
from ig_worker.data.faults import RowFault, RowFaults
from ig_worker.errors import RowError
from ig_worker.explain.baselines import SpecialIds, baseline_ids
from ig_worker.explain.explanation import Int32
from ig_worker.explain.problems import Problem
from ig_worker.explain.targets import Target
from ig_worker.models.read_tokenizer import refuse_token_types
from ig_worker.models.tokenize import TextEncoder
from ig_worker.models.windows import UNCUT, Window, Windows
from ig_worker.run.chunk.rows import Row
from ig_worker.run.config import WINDOWS, ExplainConfig
from ig_worker.run.store.run_store import RunStore
from ig_worker.run.targets import target_setting

if TYPE_CHECKING:
    from ig_worker.models.classifier import Classifier  # TensorFlow: seconds

ENDS_PROCESS = RowFault("ends_process", "the process ended, or hung, whenever it explained this row")


@dataclass(frozen=True)
class TokenizedTable:
    """A table with the columns of `schema.inputs`, its rows that can be explained, and the faults of the others."""

    table: pa.Table
    rows: list[Row]
    faults: RowFaults

    @property
    def pairs(self) -> bool:
        """Whether each row has two texts."""
        return "pair" in self.table.schema.names

    @property
    def outputs(self) -> str:
        """What the network says of them: of `schema.OUTPUTS`."""
        return schema.outputs_in(self.table.schema.names)

    @property
    def kept(self) -> pa.Table:
        """The columns of the data set that the run keeps, of all rows."""
        return self.table.select(schema.kept_in(self.table.schema))


class RowReader:
    """Reads and tokenizes chunks. Threads may share one.

    Args:
        config: of the run.
        classifier: that explains the rows.

    Raises:
        UsageError: the tokenizer lacks the token of the baseline, or there is no room for pairs.
        ModelError: rows have two texts, and tokenizer or network know of one.
    """

    def __init__(self, config: ExplainConfig, classifier: Classifier) -> None:
        self._config = config
        self.target = target_setting(config, classifier.shape)
        windows = config.overflow == WINDOWS
        self._windows = Windows(config.max_length, config.stride, classifier.counting) if windows else None
        longest = UNCUT if windows else config.max_length
        self.encoder = TextEncoder(classifier.tokenizer, config.text_style, longest, classifier.counting)
        if config.pair_column:
            refuse_token_types(self.encoder.pair_template.most, classifier.shape.types)
        self.special = SpecialIds.of(classifier.tokenizer)
        baseline_ids(np.zeros(0, np.int32), config.baseline, self.special)  # refuses what the tokenizer lacks
        (tokens,) = self.encoder.encode(["a"])
        # A problem that every healthy engine can explain.
        self.known_good = Problem(tokens.inputs, baseline_ids(tokens.inputs.ids, "zeros", self.special))

    def read(self, store: RunStore, index: int, guilty: Sequence[int] = ()) -> TokenizedTable:
        """The rows of a chunk, but for those that are known to end their process."""
        table, faults = store.chunks.read(index)
        return self.tokenize(table, dict.fromkeys(guilty, ENDS_PROCESS) | faults)

    def committed(self, store: RunStore, index: int) -> list[Row]:
        """The rows of a chunk that are explained, with the targets that were."""
        table, faults = store.chunks.read(index)
        faults |= dict.fromkeys(store.results.read_commit(index).quarantined, RowFault("quarantined", ""))
        written: dict[str, list[Target]] = {}
        for row in store.results.read(index, ["id", "target", "contrast"]).to_pylist():
            written.setdefault(row["id"], []).append(Target(row["target"], row["contrast"]))
        return [replace(row, targets=tuple(written[row.id])) for row in self.tokenize(table, faults).rows]

    def tokenize(self, table: pa.Table, faults: RowFaults) -> TokenizedTable:
        """The rows without known faults; others turn out to have a text, or a label, that cannot be explained."""
        failed = dict(faults)
        needed = table.drop_columns(schema.kept_in(table.schema))  # of which Python cannot hold every time
        records = [(i, record) for i, record in enumerate(needed.to_pylist()) if i not in failed]
        columns = ("text", "pair") if "pair" in table.schema.names else ("text",)
        texts = self.encoder.encode(*([record[name] for _, record in records] for name in columns))
        windows: list[list[Window]] = [[] for _ in texts]
        if self._windows is not None:
            for place, tokens in enumerate(texts):
                texts[place], windows[place] = self._windows.cut(tokens)
        baselines = self._baselines([tokens.inputs.ids for tokens in texts])
        rows = []
        for (position, record), tokens, parts, baseline in zip(records, texts, windows, baselines, strict=True):
            try:
                if not tokens.inputs.mask.any():
                    raise RowError("the text has no tokens in style plain", reason="no_tokens")
                targets = self.target.targets(record["label"], record.get(schema.LABEL_LISTS))
            except RowError as error:
                failed[position] = RowFault(error.reason, str(error))
                continue
            paths = tuple(
                Problem(part.inputs, baseline[part.places], weight=1 / len(parts), places=part.places) for part in parts
            ) or (Problem(tokens.inputs, baseline),)
            labels = record.get(schema.LABEL_LISTS)
            truth = {"labels": None if labels is None else tuple(labels), "value": record.get(schema.VALUE)}
            rows.append(Row(position, record["id"], record["label"], tokens, paths, targets, **truth))
        return TokenizedTable(table, rows, failed)

    def _baselines(self, ids: Sequence[Int32]) -> list[Int32]:
        """The baseline of each text's ids. All are made at once: numpy takes longer for a call than for a text."""
        if not ids:
            return []
        ends = np.cumsum([len(one) for one in ids])
        return np.split(baseline_ids(np.concatenate(ids), self._config.baseline, self.special), ends[:-1])
