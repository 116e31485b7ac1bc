"""The work on one chunk, without Ray: read rows, explain them, commit. An actor holds one `ChunkWorker`."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from ig_worker.data.faults import RowFaults
from ig_worker.errors import RunDamagedError
from ig_worker.explain.explanation import STATUS_CONVERGED, STATUS_LIMIT, Explanation
from ig_worker.explain.packing import BatchShape
from ig_worker.explain.precision import AUTO, FLOAT32, Choice, concrete, untried
from ig_worker.explain.predicted import predicted_labels
from ig_worker.models.files import ModelFiles
from ig_worker.run.chunk.ahead import Ahead
from ig_worker.run.chunk.engines import Engines, Purpose
from ig_worker.run.chunk.evaluator import FaithfulnessTest
from ig_worker.run.chunk.pilot import PilotRecord, calibrate, explanations, one_of, pilot_table
from ig_worker.run.chunk.records import DELTA_BOUNDS, UNBOUND, Binding, ChunkRecord
from ig_worker.run.chunk.row_engine import RowEngine
from ig_worker.run.chunk.row_reader import RowReader, TokenizedTable
from ig_worker.run.chunk.rows import Explained, Row, explain_rows, require_health
from ig_worker.run.chunk.tables import attributions_table, quarantine_table
from ig_worker.run.config import ExplainConfig
from ig_worker.run.later_config import EvaluateConfig
from ig_worker.run.store.run_files import PILOT
from ig_worker.run.store.run_store import RunStore


class ChunkWorker:
    """Model, tokenizer and engine of one process.

    Args:
        config: the run's configuration.
        files: the model's files, on this node.
    """

    def __init__(self, config: ExplainConfig, files: ModelFiles) -> None:
        from ig_worker.models.classifier import load_classifier  # TensorFlow: seconds

        self.config = config
        self.classifier = load_classifier(files)
        self.reader = RowReader(config, self.classifier)
        self.engines = Engines(config, self.classifier)
        self._ahead = Ahead(self.reader)
        self._pilot: tuple[str, dict[str, tuple[Explanation, ...]]] = (
            "",
            {},
        )  # digest of its rows, and these by their ids

    def measure_batch(self, device: str, rows: int) -> int:
        """Tokens in one batch of evaluations that suit this device, for a run of so many rows; see `explain.sweep`."""
        from ig_worker.explain.sweep import suitable_batch
        from ig_worker.models.runtime import products

        longest, precision = self.config.max_length, concrete(self.config.precision)
        network = self.classifier.split(self.config.layer, precision)
        with products(precision):
            return suitable_batch(network, self.classifier.shape, device, longest, precision, rows)

    def explain_chunk(
        self, store: RunStore, index: int, binding: Binding, guilty: Sequence[int] = (), ahead: int | None = None
    ) -> ChunkRecord:
        """Explain a chunk and commit it. Rows that cannot be explained go to quarantine, each with its reason.

        Args:
            store: the run.
            index: of the chunk.
            binding: of the run.
            guilty: rows that have been found to end their process; they are not tried.
            ahead: the chunk that is probably asked for next, which is read meanwhile; None: that is not known.
        """
        started = time.monotonic()
        tokenized = self._ahead.read(store, index, guilty)
        self._recall(store, binding)
        with self._ahead.preparing(store, ahead):
            explained, failed, engine_seconds = self.explain_tokenized(tokenized, binding)
            quarantined = quarantine_table(index, tokenized.table, failed)
            results = attributions_table(explained, self.hidden, tokenized.pairs, tokenized.outputs, tokenized.kept)
            store.results.commit(index, results, quarantined, binding.fingerprint)
        every = [result for _, found in explained for result in found]
        deltas = [max(abs(result.delta) for result in found) for _, found in explained]
        verdicts = [one for row, found in explained if (one := self._is_right(row, found[0])) is not None]
        return ChunkRecord(
            index=index,
            rows=tokenized.table.num_rows,
            explained=len(explained),
            quarantined=len(failed),
            correct=sum(verdicts),
            labelled=len(verdicts),
            evaluations=sum(result.evaluations for result in every),
            converged=sum(all(result.status != STATUS_LIMIT for result in found) for _, found in explained),
            seconds=time.monotonic() - started,
            engine_seconds=engine_seconds,
            peak_memory=peak_memory(),
            deltas=tuple(sum(delta <= bound for delta in deltas) for bound in DELTA_BOUNDS),
        )

    def _is_right(self, row: Row, result: Explanation) -> bool | None:
        """Whether the prediction is the label, or all labels are; None where that is not known or has no meaning."""
        if row.labels is not None:
            return predicted_labels(result.probabilities, self.config.threshold) == list(row.labels)
        return None if row.label is None else row.label == result.prediction

    def probe_rows(self, store: RunStore, index: int, start: int, stop: int, binding: Binding = UNBOUND) -> None:
        """Explain rows of a chunk and forget the result: what matters is whether this process survives it."""
        table, faults = store.chunks.read(index)
        within = {position - start: fault for position, fault in faults.items() if start <= position < stop}
        self.explain_table(table.slice(start, stop - start), within, binding.anew)

    def try_known_good(self, binding: Binding = UNBOUND) -> None:
        """Explain a text that every healthy device can explain.

        Raises:
            RunStoppedError: what came out are no numbers.
        """
        require_health(self.engines.of(Purpose.RUN, binding), self.reader.known_good)

    def rows(self, purpose: Purpose, binding: Binding = UNBOUND) -> RowEngine:
        """What explains rows, for a purpose, in a run that is bound so."""
        return RowEngine(
            self.engines.of(purpose, binding), self.reader.target, lambda texts: self.engines.forward.outputs(texts)
        )

    @property
    def hidden(self) -> int | None:
        """Hidden units kept of every token; None without `--keep-hidden`."""
        return self.classifier.shape.hidden if self.config.keep_hidden else None

    def explain_table(
        self, table: pa.Table, faults: RowFaults, binding: Binding = UNBOUND
    ) -> tuple[Explained, RowFaults, float]:
        """Explain the rows of a table with the columns of `schema.inputs` that have no fault.

        Those of the pilot that `binding` names are taken as they are; `_recall` has them.

        Returns:
            The explained rows, the others with their reasons, and the seconds spent inside the engine.
        """
        return self.explain_tokenized(self.reader.tokenize(table, faults), binding)

    def explain_tokenized(self, tokenized: TokenizedTable, binding: Binding) -> tuple[Explained, RowFaults, float]:
        """What `explain_table` gives for a table whose rows are tokenized."""
        rows, failed = tokenized.rows, dict(tokenized.faults)
        engine = self.rows(Purpose.RUN, binding)
        digest, done = self._pilot
        known = done if binding.pilot and binding.pilot == digest else {}
        begun = time.monotonic()
        fresh = explain_rows(engine, [row for row in rows if row.id not in known], failed, self.reader.known_good)
        seconds = time.monotonic() - begun
        taken = [(row, known[row.id]) for row in rows if row.id in known]
        return sorted(fresh + taken, key=lambda pair: pair[0].position), failed, seconds

    def _recall(self, store: RunStore, binding: Binding) -> None:
        """Read the rows of the pilot, once.

        Raises:
            RunDamagedError: they are gone since the driver looked.
        """
        if not binding.pilot or self._pilot[0] == binding.pilot:
            return
        rows = store.pilot.read(binding.pilot)
        if rows is None:
            raise RunDamagedError(
                f"{store.storage.describe(PILOT)} is not what the pilot wrote", remedy="run jobs.explain again"
            )
        self._pilot = binding.pilot, explanations(rows)

    def explain_pilot(self, store: RunStore, count: int, binding: Binding, rows_each: int = 0) -> PilotRecord:
        """Explain `count` rows of the run, chosen by their ids, write them, and tell what the others go by.

        Args:
            store: the run.
            count: rows of the pilot.
            binding: of the run, so far.
            rows_each: rows of the run that each actor has to explain, about.
        """
        from ig_worker.explain.pilot import PilotEngine

        started, config = time.monotonic(), self.config
        shape, tokenized = self.engines.shape(binding.batch_tokens), self.reader.tokenize(pilot_table(store, count), {})
        rows = tokenized.rows
        choice, tried = self._choose_precision(rows[:count], shape, rows_each)
        binding = replace(binding, precision=choice.precision)
        exact = choice.precision == FLOAT32 or not choice.exact_truth
        engine = PilotEngine(
            self.classifier.split(config.layer, choice.precision), config.tolerance, shape, config.risk,
            programs=self.engines.programs(choice.precision), exact=None if exact else self.engines.programs(FLOAT32),
        )  # fmt: skip
        plain = self.rows(Purpose.RUN, binding)
        calibration, explained = calibrate(engine, plain, rows, count, self.reader.known_good)
        if not choice.exact_truth:  # by its own rules alone, a precision does not see what it rounds
            calibration = replace(calibration, certified=None)
        count, spent = len(explained), tried + sum(result.evaluations for _, (result,) in explained)
        if not exact:  # by one rule each; what that was too few for is explained again with the others
            explained = [(row, found) for row, found in explained if found[0].status == STATUS_CONVERGED]
        # The pilot keeps no hidden units, and explains one target of each row.
        keep = explained and not config.keep_hidden and self.reader.target.most == 1
        table = attributions_table(explained, None, tokenized.pairs, tokenized.outputs)
        digest = store.pilot.write(table) if keep else ""
        return PilotRecord(calibration, digest, count, spent, time.monotonic() - started, choice)

    def _choose_precision(self, rows: Sequence[Row], shape: BatchShape, rows_each: int) -> tuple[Choice, float]:
        """The precision of the run, and the evaluations that this took."""
        from ig_worker.explain.precision_trial import PrecisionTrial
        from ig_worker.models.runtime import faster_products

        config = self.config
        candidates, lacking = faster_products() if config.precision == AUTO else ((), "")
        reason = untried(config.precision, len(rows), candidates, lacking, final=not config.keep_hidden)
        if reason:
            asked = concrete(config.precision)
            return Choice(asked, reason, exact_truth=asked == FLOAT32), 0.0
        rows = self.rows(Purpose.RUN).decide(rows).rows
        problems = [problem for row in rows for problem in one_of(row)]
        trial = PrecisionTrial(self.engines.programs, problems, shape, tolerance=config.tolerance, risk=config.risk)
        if config.precision == AUTO:
            return trial.choose(candidates, rows_each), trial.evaluations
        return trial.judge(config.precision), trial.evaluations

    def faithfulness(self, config: EvaluateConfig) -> FaithfulnessTest:
        """What tests how faithful the attributions of chunks are."""
        reader, paired = self.reader, bool(self.config.pair_column)
        return FaithfulnessTest(
            self.engines.forward,
            reader.special,
            self.config.text_style == "plain",
            config,
            reader.encoder.counting,
            reader.encoder.pair_template.types_of_segments if paired else None,
        )


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
