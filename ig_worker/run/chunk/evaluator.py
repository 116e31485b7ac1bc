"""How faithful the attributions of a chunk are: their texts without the tokens that they rank first, and its file.

RUN/evaluation holds one file a chunk, `schema.EVALUATION`, written in one step. Its footer says whose it is; one of
other settings, or damaged, counts as none.

A text's tokens are ranked in up to four ways, in the column `method`:

    integrated_gradients   the attributions as they are stored, towards the explained class, with their sign
    random                 an order drawn from the row's id
    gradient_input         |Σ_d h[i,d] ∂F/∂h[i,d]| at the run's layer h
    occlusion              F(x) − F(x without token i), the token replaced as in the evaluation (Li et al. 2016,
                           arXiv:1612.08220)
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ig_worker import schema
from ig_worker.data.plan import chunk_name
from ig_worker.explain.baselines import SpecialIds
from ig_worker.explain.explanation import Float32, Int32
from ig_worker.explain.perturb import Eraser, Positions, ranked, shuffled
from ig_worker.explain.targets import Scalar
from ig_worker.models.inputs import Counting, ModelInput
from ig_worker.run.chunk.sampling import audit_positions
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.store import checksummed_parquet
from ig_worker.run.store.results import Commit
from ig_worker.run.store.run_store import RunStore

if TYPE_CHECKING:  # TensorFlow takes seconds, and the driver needs none
    from ig_worker.explain.forward import Forward

log = logging.getLogger(__name__)

EVALUATION = "evaluation"
ATTRIBUTED, RANDOM, GRADIENT_INPUT, OCCLUSION = "integrated_gradients", "random", "gradient_input", "occlusion"
RANKINGS = (ATTRIBUTED, RANDOM, GRADIENT_INPUT, OCCLUSION)
_ROWS_AT_ONCE = 64  # bounds memory: each is a hundred texts or so, with occlusion as many as it has tokens


@dataclass(frozen=True)
class FaithfulnessRecord:
    """What the driver learns of an evaluated chunk."""

    index: int
    rows: int  # evaluated
    forwards: int  # texts that went through the network
    seconds: float


@dataclass(frozen=True)
class Subject:
    """One explained text that is evaluated, by the first of its targets."""

    id: str
    scalar: Scalar
    text: ModelInput
    attributions: Float32  # [tokens]
    positions: Positions  # of the tokens that may be taken, at least one
    baselines: bool  # whether it is also ranked in the ways that cost more


class FaithfulnessTest:
    """Tests how faithful the attributions of chunks are.

    Args:
        forward: the run's network.
        special: the tokenizer's special tokens.
        plain: whether texts are of style ``plain``, whose padding is part of them.
        config: what is evaluated, and how.
        counting: how the network counts the positions of tokens.
        types: where rows have two texts: token types from a row's segments, int32 [tokens] both. The segments that are
            stored say how many tokens of each text there are, and the tokenizer gives all else of a pair the same.
    """

    def __init__(
        self,
        forward: Forward,
        special: SpecialIds,
        plain: bool,
        config: EvaluateConfig,
        counting: Counting,
        types: Callable[[Int32], Int32] | None = None,
    ) -> None:
        self._forward, self._config, self._grid = forward, config, config.grid()
        self._plain, self._pad = plain, special.pad
        self._eraser = Eraser(config.replace, special, keep_length=plain)
        self._counting, self._types = counting, types
        self._forwards = 0

    def measure_chunk(self, store: RunStore, index: int) -> FaithfulnessRecord:
        """Test a share of a chunk's explained rows, chosen by their ids, and write their curves."""
        started, self._forwards = time.monotonic(), 0
        commit = store.results.read_commit(index)
        names = [
            "id",
            "target",
            "contrast",
            "rank",
            "windows",
            "input_ids",
            "attributions",
            *([schema.SEGMENTS] if self._types else []),
        ]
        rows = store.results.read(index, names)
        # The network does not read a text of several windows, whole or in parts, at once.
        one = pc.and_(pc.equal(rows.column("rank"), 0), pc.equal(rows.column("windows"), 1))
        subjects = self.subjects(rows.filter(one))
        write_curves(store, commit, self.curves(subjects), self._config)
        return FaithfulnessRecord(index, len(subjects), self._forwards, time.monotonic() - started)

    def subjects(self, table: pa.Table) -> list[Subject]:
        """The rows of a table of attributions that are evaluated: those of the share that have ordinary tokens."""
        ids = table.column("id").to_pylist()
        also = set(audit_positions(ids, self._config.baselines_share))
        found = []
        for position in audit_positions(ids, self._config.share):
            row = table.slice(position, 1).to_pylist()[0]
            tokens = np.array(row["input_ids"], np.int32)
            attended = tokens != self._pad if self._plain else np.ones(len(tokens), bool)
            types = self._types and self._types(np.array(row[schema.SEGMENTS], np.int32))
            text = ModelInput.single(tokens, attended.astype(np.int32), self._counting, types)
            allowed = self._eraser.ordinary(tokens)
            if len(allowed):
                attributions = np.array(row["attributions"], np.float32)
                scalar = Scalar(row["target"], row["contrast"])
                found.append(Subject(row["id"], scalar, text, attributions, allowed, position in also))
        return found

    def curves(self, subjects: Sequence[Subject]) -> list[dict[str, Any]]:
        """Records of `schema.EVALUATION`, in the order of the subjects."""
        slices = (subjects[i : i + _ROWS_AT_ONCE] for i in range(0, len(subjects), _ROWS_AT_ONCE))
        return [record for part in slices for record in self._curves(part)]

    def _curves(self, subjects: Sequence[Subject]) -> list[dict[str, Any]]:
        ends = self._probabilities(subjects, [[s.text, self._eraser.without(s.text, s.positions)] for s in subjects])
        rankings = self._rankings(subjects, [whole for whole, _ in ends])
        ranked_subjects = [subjects[i] for i, _, _ in rankings]
        counts = [self._grid.counts(len(order)) for _, _, order in rankings]
        texts = [
            [self._eraser.without(s.text, part) for k in points[1:-1] for part in (order[:k], order[k:])]
            for s, points, (_, _, order) in zip(ranked_subjects, counts, rankings, strict=True)
        ]
        records = []
        for found, points, (i, method, _) in zip(
            self._probabilities(ranked_subjects, texts), counts, rankings, strict=True
        ):
            whole, none = ends[i]
            records.append(
                {
                    "id": subjects[i].id,
                    "method": method,
                    "target": subjects[i].scalar.target,
                    "counts": points,
                    "deletion": np.array([whole, *found[::2], none], np.float32),
                    "insertion": np.array([none, *found[1::2], whole], np.float32),
                }
            )
        return records

    def _rankings(self, subjects: Sequence[Subject], whole: Sequence[float]) -> list[tuple[int, str, Positions]]:
        """(number of the subject, ranking, its order of the tokens), by subject and in the order of `RANKINGS`."""
        found = [(i, ATTRIBUTED, ranked(s.attributions, s.positions)) for i, s in enumerate(subjects)]
        found += [(i, RANDOM, shuffled(s.id, s.positions)) for i, s in enumerate(subjects)]
        also = [i for i, subject in enumerate(subjects) if subject.baselines]
        products = self._forward.gradient_times_input(
            [subjects[i].text for i in also], [subjects[i].scalar for i in also]
        )
        self._forwards += len(also)
        for i, product in zip(also, products, strict=True):
            found.append((i, GRADIENT_INPUT, ranked(np.abs(product), subjects[i].positions)))
        short = [i for i in also if len(subjects[i].positions) <= self._config.occlusion_tokens]
        for i, left in zip(short, self._each_left_out([subjects[i] for i in short]), strict=True):
            effects = np.zeros(len(subjects[i].text.ids))
            effects[subjects[i].positions] = whole[i] - left.astype(np.float64)
            found.append((i, OCCLUSION, ranked(effects, subjects[i].positions)))
        return sorted(found, key=lambda ranking: (ranking[0], RANKINGS.index(ranking[1])))

    def _each_left_out(self, subjects: Sequence[Subject]) -> list[Float32]:
        """F without one token, for each that may be taken, float32 [positions] each."""
        without = self._eraser.without
        singles = [[without(s.text, s.positions[j : j + 1]) for j in range(len(s.positions))] for s in subjects]
        return self._probabilities(subjects, singles)

    def _probabilities(self, subjects: Sequence[Subject], texts: Sequence[Sequence[ModelInput]]) -> list[Float32]:
        """F of some texts of each subject, float32 [its texts] each."""
        flat = [text for part in texts for text in part]
        targets = [subject.scalar for subject, part in zip(subjects, texts, strict=True) for _ in part]
        self._forwards += len(flat)
        found = self._forward.probabilities(flat, targets)
        return np.split(found, np.cumsum([len(part) for part in texts])[:-1]) if texts else []


def write_curves(store: RunStore, commit: Commit, records: Sequence[dict[str, Any]], config: EvaluateConfig) -> None:
    """Write RUN/evaluation/chunk-*.parquet in one step; `records` are of `schema.EVALUATION`."""
    table = pa.Table.from_pylist(list(records), schema=schema.EVALUATION)
    store.storage.write(_file(commit), checksummed_parquet.seal(table, _footer(commit, config)))


def read_curves(store: RunStore, commit: Commit, config: EvaluateConfig) -> pa.Table | None:
    """What was found about a chunk's result with these settings; None where that is still to be computed."""
    data = store.storage.read(_file(commit))
    if data is None:
        return None
    fault = checksummed_parquet.fault_of(data, lambda _: schema.EVALUATION)
    if fault:
        log.warning("%s %s; it is computed again", store.storage.describe(_file(commit)), fault)
        return None
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    return table if (_footer(commit, config).metadata.items() <= table.schema.metadata.items()) else None


def iter_curves(store: RunStore, config: EvaluateConfig) -> Iterator[pa.Table]:
    """What was found about each chunk of a run with these settings, in the order of the chunks."""
    for _, commit in sorted(store.results.commits().items()):
        table = read_curves(store, commit, config)
        if table is not None:
            yield table


def _footer(commit: Commit, config: EvaluateConfig) -> pa.Schema:
    """What tells a file from that of another run, chunk or evaluation, and from one with other rows in quarantine."""
    return schema.with_metadata(
        schema.EVALUATION,
        fingerprint=commit.fingerprint,
        chunk=str(commit.index),
        quarantined=json.dumps(commit.quarantined),
        evaluation=json.dumps(config.identity(), sort_keys=True),
    )


def _file(commit: Commit) -> str:
    return f"{EVALUATION}/{chunk_name(commit.index)}.parquet"
